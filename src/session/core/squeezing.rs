//! Memory is short: a replay ring gives some back. The price is a GAP at the most, never a session.

use super::{Core, Hold, Limits, State};

impl<L: Hold> Core<L> {
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
