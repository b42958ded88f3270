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
mod budget;
mod inspect;
mod kind;
mod kind_counters;
mod mail;
mod mail_counter;
mod panics;
mod registration;
mod rescued;
mod seat;
mod snapshots;
mod supervisor;

pub use actor_registry::{ActorId, ActorRegistry, Entry, ROOT};
pub use address::{CountedAddr, CountedRecipient, WeakCountedAddr, WeakCountedRecipient};
pub use budget::{Budget, Exhausted};
#[cfg(feature = "fault-injection")]
pub use inspect::Fault;
pub use inspect::{Account, Inspect, Inspectable};
pub use kind::Kind;
pub use kind_counters::KindCounters;
pub(crate) use mail::mailbox;
pub use mail::{Mail, Receive};
pub use mail_counter::MailCounter;
pub use panics::record_panics;
pub use registration::Registration;
pub use rescued::{RescueSlot, Rescued};
pub use seat::{Seat, SeatRecipient};
pub use snapshots::{ActorSnapshot, ActorState, KindSnapshot, LastError};
pub use supervisor::supervise;
