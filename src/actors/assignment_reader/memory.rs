//! The memory of users' assignments, and what becomes of them when it is short.

use std::time::Duration;

use actix::prelude::*;

use super::AssignmentReader;
use crate::memory::{self, Held, Part, Pressure};

/// Time between two looks at whether memory is short.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes that the connection to Redis keeps of a question under way, its key and its answer included.
const COMMAND_BYTES: usize = 512;

impl AssignmentReader {
    /// Counts what is known.
    pub(super) fn count(&mut self) {
        self.held.set(self.state.cache.bytes());
        self.counts.known(self.state.cache.len());
    }

    /// Tells whether there is room for a question that is asked by `read`, and counts it.
    pub(super) fn room_for_question<R>(&mut self, read: &R) -> (bool, Held) {
        self.count();
        let bytes = size_of_val(read) + COMMAND_BYTES;
        match memory::is_scarce() && !memory::admits(bytes) {
            true => (false, Held::new(Part::Assignments, 0)),
            false => (true, Held::new(Part::Assignments, bytes)),
        }
    }

    /// Tells whether there is room to know this answer.
    pub(super) fn may_keep(&self, endpoint: Option<&str>) -> bool {
        !memory::is_scarce() || memory::admits(self.state.cache.growth(endpoint))
    }

    /// Forgets those who were not used for a second or two, while new sessions are refused for want of memory: nobody
    /// else could give back what is held here.
    pub(super) fn look_at_memory_regularly(&mut self, ctx: &mut Context<Self>) {
        self.count();
        ctx.run_interval(LOOK, |reader, _| {
            if memory::pressure() >= Pressure::Sessions {
                reader.state.cache.forget_unused();
                reader.count();
            }
        });
    }
}
