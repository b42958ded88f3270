//! Admission: which connections are served, and whether sessions may start.

mod access_log;
mod addresses;
mod bans;
mod doors;
mod files;
mod gate;
mod live_config;

pub use access_log::AccessLog;
pub use addresses::AddressSeat;
pub use bans::{Ban, BanOrder, BanTarget, Banned, Bans, Ends, TooManyBans};
pub use doors::{AddressSource, Doors, Verdict, unix_seconds};
pub use files::{FileBudget, Room};
pub use gate::{Admission, Gate, Permit, SUSPENDED_BYTES, Suspension};
pub use live_config::{Change, Changed, Changes, LiveConfig, changeable, shown};
