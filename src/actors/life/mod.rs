//! What all actors have in common: how they are reached, counted, listed and, where they must not
//! be missing, started again.
//!
//! ```text
//!   Roster ── every actor but the clients, by id ──▶ Entry ── Port<Inspect> ──▶ the actor
//!                                                      │
//!   supervise(seat, make) ── starts ──▶ actor ── its Vitals are dropped with it ──▶ rebuilt
//!         ▲                                │
//!         └──── Legacy: what it knew ──────┘          Seat: where others reach whoever is there
//! ```

mod address;
mod meter;
mod panics;
mod roster;
mod supervision;
mod tally;
mod vitals;

pub use address::{Address, Port, WeakPort};
pub use meter::Meter;
pub use panics::record_panics;
pub use roster::{ActorId, Entry, ROOT, Roster};
pub use supervision::{Budget, Exhausted, Legacy, Outlet, Seat, supervise};
pub use tally::Tally;
#[cfg(feature = "fault-injection")]
pub use vitals::Fault;
pub(crate) use vitals::inspectable;
pub use vitals::{Account, Inspect, Vitals};
