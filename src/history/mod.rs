//! Events of the recent past that a worker keeps for operators: bounded, and counted as memory.

mod refusals;

pub use refusals::{Forgotten, Refusal, RefusalGroup, Refusals};
