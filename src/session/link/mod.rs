//! A link without its socket: its life, the sessions on it, how long it has had none.
//!
//! The actor asks and executes; [`Sessions::data`] lies on the way of a frame.

mod closed;
mod end;
mod given_up;
mod idle;
mod leaving;
mod lifecycle;
mod owed;
mod round;
mod sessions;
mod unread;
mod waiting;

pub use closed::Closed;
pub use end::LinkEnd;
pub use idle::Idle;
pub use leaving::LeaveAnswered;
pub use lifecycle::{Lifecycle, MISSING_PONGS, Phase, Pong, Quitting, Tick};
pub use owed::{ComesBack, Owed, OwedCloses, UnreadOn};
pub use round::Round;
pub use sessions::{Attached, Batch, OpenState, Recipient, Sessions};
pub use waiting::{Waiter, Waiting};
