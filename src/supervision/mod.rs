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
mod actor_times;
mod address;
mod budget;
mod entry;
mod fading;
mod inspect;
mod kind;
mod kind_counters;
mod mail;
mod mail_counter;
mod message_times;
mod pace;
mod panics;
mod pumped;
mod registration;
mod rescued;
mod restart;
mod seat;
mod snapshots;
mod supervisor;

pub use actor_registry::{ActorId, ActorRegistry, ROOT};
pub use address::{CountedAddr, CountedRecipient, WeakCountedAddr, WeakCountedRecipient};
pub use budget::{Budget, Exhausted};
pub use entry::Entry;
#[cfg(feature = "fault-injection")]
pub use inspect::Fault;
pub use inspect::{Account, Inspect, Inspectable};
pub use kind::Kind;
pub use kind_counters::KindCounters;
pub(crate) use mail::mailbox;
pub use mail::{Mail, Receive};
pub use mail_counter::MailCounter;
pub use message_times::Begun;
pub use pace::LOOK_INTERVAL;
pub use panics::record_panics;
pub use pumped::{Pump, Pumped};
pub use registration::Registration;
pub use rescued::{RescueSlot, Rescued};
pub use restart::{NotRestarted, Restart, Supervised};
pub use seat::{Seat, SeatRecipient};
pub use snapshots::{
    ActorSnapshot, ActorState, BusyActor, KindSnapshot, LastError, Load, TimesSnapshot, WorkerLoad,
};
pub use supervisor::supervise;
