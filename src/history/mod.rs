//! The recent past that workers keep for operators: bounded, and counted as memory.

mod ended;
mod refusals;
mod story;

pub use ended::{EndedSession, EndedSessions, KEPT_FOR, SessionRecord, UsedService};
pub use refusals::{Forgotten, Refusal, RefusalGroup, Refusals};
pub use story::{Event, Happening, LastWords, Speaker, Story};
