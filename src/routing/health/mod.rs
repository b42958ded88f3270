//! The health of endpoints as state machines without I/O or clock: events in, states out.

mod breaker;
mod openings;
mod orders;
mod retry_budget;
mod slow_start;
mod telling;

pub use breaker::{Breaker, BreakerState, IN_A_ROW, STABLE};
pub use openings::{OpeningWindows, Openings};
pub use orders::{MAX_ORDERS, NamedOrder, OperatorState, Order, Orders, TooManyOrders, Withdrawn};
pub use retry_budget::RetryBudget;
pub use slow_start::{LEAST_SHARE, SlowStart, WHOLE_SHARE};
pub use telling::Telling;
