//! The recent past that workers keep for operators: bounded, and counted as memory.

mod ended;
mod refusal_log;
mod refusals;
mod story;

pub use ended::{EndedSession, EndedSessions, KEPT_FOR, SessionRecord, UsedService};
pub use refusal_log::{RefusalLog, RefusalSums};
pub use refusals::{Forgotten, Refusal, RefusalGroup, Refusals};
pub use story::{Event, Happening, LastWords, ServiceMove, Speaker, Story};
