//! The health of endpoints as state machines without I/O or clock: events in, states out.

mod breaker;
mod telling;

pub use breaker::{Breaker, BreakerState, IN_A_ROW, STABLE};
pub use telling::Telling;
