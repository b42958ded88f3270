//! Common to all actors: counted addresses, the registry that lists them, and, for those that must
//! not be missing, seats and restarts.
//!
//! ```text
//!   ActorRegistry ── every actor but the clients, by id ──▶ Entry ── CountedRecipient<Inspect> ──▶ actor
//!
//!   supervise(seat, make) ── starts ──▶ actor ── its Registration is dropped with it ──▶ rebuilt
//!         ▲                                │
//!         └──── Rescued: its state ────────┘        Seat: the way to the actor, whichever it is by now
//! ```

mod actor_registry;
mod address;
mod kind;
mod kind_counters;
mod mail_counter;
mod panics;
mod registration;
mod snapshots;
mod supervisor;

pub use actor_registry::{ActorId, ActorRegistry, Entry, ROOT};
pub use address::{CountedAddr, CountedRecipient, WeakCountedRecipient};
pub use kind::Kind;
pub use kind_counters::KindCounters;
pub use mail_counter::MailCounter;
pub use panics::record_panics;
#[cfg(feature = "fault-injection")]
pub use registration::Fault;
pub(crate) use registration::inspectable;
pub use registration::{Inspect, Inspectable, Registration};
pub use snapshots::{ActorSnapshot, ActorState, KindSnapshot, LastError};
pub use supervisor::{Budget, Exhausted, Rescued, Seat, SeatRecipient, supervise};
