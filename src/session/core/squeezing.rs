//! What a session holds, and what it gives back where memory is short: frames of its replay ring. The price is
//! a GAP at the most, never a session.

use super::{Core, Hold, Limits, State};
use crate::session::replay::Replay;
use crate::session::state::Session;

impl<L: Hold> Core<L> {
    fn replay(&self) -> Option<&Replay> {
        match &self.state {
            State::Active { resume, .. } => resume.as_ref().map(|resume| &resume.replay),
            State::Suspended { resume, .. }
            | State::Resuming { resume, .. }
            | State::Leaving { resume, .. } => Some(&resume.replay),
            State::Claiming { claim, .. } => Some(&claim.replay),
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Ended(_) => None,
        }
    }

    /// Bytes of heap that the session's replay ring takes.
    #[inline]
    pub fn replay_bytes(&self) -> usize {
        self.replay().map_or(0, Replay::capacity)
    }

    /// Tells whether frames to the client are kept for a resume.
    pub fn has_ring(&self) -> bool {
        self.replay().is_some()
    }

    /// Bytes that wait for links.
    #[inline]
    pub fn waiting_bytes(&self) -> usize {
        self.session().map_or(0, Session::waiting_bytes)
    }

    /// Lets the replay ring have no more than `bytes`, until it is [eased](Self::ease_replay) or a resume sets its
    /// bound anew. The oldest frames give way.
    pub fn squeeze_replay(&mut self, bytes: usize) {
        match &mut self.state {
            State::Active {
                resume: Some(resume),
                ..
            }
            | State::Suspended { resume, .. }
            | State::Resuming { resume, .. }
            | State::Leaving { resume, .. } => resume.replay.squeeze(bytes),
            State::Claiming { claim, .. } => claim.replay.squeeze(bytes),
            State::Active { resume: None, .. }
            | State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Ended(_) => {}
        }
    }

    /// Lets the replay ring grow again as far as it may.
    pub fn ease_replay(&mut self, limits: &Limits) {
        match &mut self.state {
            State::Active {
                resume: Some(resume),
                ..
            }
            | State::Suspended { resume, .. } => {
                let promised = resume.promise.is_some();
                resume.replay.set_limit(if promised {
                    limits.outbound_queue
                } else {
                    limits.replay_bytes
                });
            }
            State::Resuming { resume, .. } | State::Leaving { resume, .. } => {
                resume.replay.set_limit(limits.outbound_queue);
            }
            State::Claiming { claim, .. } => claim.replay.set_limit(limits.outbound_queue),
            State::Active { resume: None, .. }
            | State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Ended(_) => {}
        }
    }
}
