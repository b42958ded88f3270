//! The core's deadlines: one at a time, in the driver's clock.

use super::{Core, Hold, Limits, Millis, State, Step};
use crate::codec::client::Kind;
use crate::session::closing::Closing;
use crate::session::state::Session;

/// Interval of the PONGs that tell a client that is not read, or whose RESUME waits, that its gateway lives
/// (protocol 1.2).
pub(super) const HELD_BACK_PONG: Millis = 5_000;

impl<L: Hold> Core<L> {
    /// When [`on_time`](Self::on_time) is due. It may lie behind what is due by then: a client that talks
    /// moves its idle deadline without a word.
    pub fn deadline(&self, limits: &Limits) -> Option<Millis> {
        let idle = self.alive + limits.idle_timeout;
        let promise = self.resume().and_then(|r| r.promise.as_ref());
        let promise = promise.map_or(Millis::MAX, |promise| promise.until);
        let own = match &self.state {
            State::Active { pause, .. } if !pause.reads() => self.alive + HELD_BACK_PONG,
            State::Locating(_) | State::Enlisting(_) => self.alive + HELD_BACK_PONG,
            State::Greeting { .. } | State::Registering { .. } | State::Active { .. } => idle,
            // A session that somebody is about to take up does not end.
            State::Suspended { resume, .. } if resume.promise.is_some() => Millis::MAX,
            State::Suspended { until, .. } => *until,
            State::Resuming { attempt, .. } | State::Claiming { attempt, .. } => {
                let connected = attempt.lost.is_none();
                let pong = connected.then(|| self.alive + HELD_BACK_PONG);
                attempt.until.min(pong.unwrap_or(Millis::MAX))
            }
            State::Leaving { leaving, .. } => leaving.until,
            State::Ended(_) => return None,
        };
        let moves = self.session().into_iter().flat_map(Session::moves);
        let moved = moves.map(|(_, moving)| moving.until).min();
        Some(own.min(promise).min(moved.unwrap_or(Millis::MAX)))
    }

    /// How long the client has said nothing whole.
    pub fn silence(&self, now: Millis) -> Millis {
        now.saturating_sub(self.alive)
    }

    /// The driver does not read the client for a reason of its own: the silence is not the client's, and it is
    /// told that this gateway lives.
    pub fn stand_by(&mut self, step: &mut Step<'_>) {
        match &self.state {
            State::Active { .. } => self.alive = step.now,
            // It owes a session, and has only so much time for it.
            State::Greeting { .. } => {}
            State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Suspended { .. }
            | State::Resuming { .. }
            | State::Claiming { .. }
            | State::Leaving { .. }
            | State::Ended(_) => return,
        }
        self.tell(Kind::Pong, &[], step);
    }

    /// The clock stands at `step.now`.
    pub fn on_time(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let promise = self.resume().and_then(|r| r.promise.as_ref());
        if promise.is_some_and(|promise| promise.until <= now) {
            return self.promise_broken(step);
        }
        if self.moves_overdue(step) {
            return;
        }
        match &self.state {
            // The silence is not the client's.
            State::Registering { .. } => self.alive = now,
            State::Locating(_) | State::Enlisting(_) => self.hold_back(step),
            State::Active { pause, .. } if !pause.reads() => self.hold_back(step),
            State::Greeting { .. } | State::Active { .. } => {
                if now.saturating_sub(self.alive) >= step.limits().idle_timeout {
                    self.close(Closing::Idle, step);
                } else {
                    self.renew_old_token(step);
                }
            }
            State::Suspended { until, resume, .. } if *until <= now => {
                if resume.promise.is_none() {
                    self.give_up(step);
                }
            }
            State::Resuming { attempt, .. } if attempt.until <= now => {
                self.drop_late_places(crate::codec::code::Code::BAD_GATEWAY, step);
                self.go_on(step);
            }
            State::Claiming { attempt, .. } if attempt.until <= now => self.claim_overdue(step),
            State::Leaving { leaving, .. } if leaving.until <= now => self.leaving_overdue(step),
            State::Resuming { attempt, .. } | State::Claiming { attempt, .. } => {
                if attempt.lost.is_none() {
                    self.hold_back(step);
                }
            }
            State::Suspended { .. } | State::Leaving { .. } | State::Ended(_) => {}
        }
    }

    /// Tells a client that waits for this gateway that it lives, where that is due. The silence is not the client's.
    fn hold_back(&mut self, step: &mut Step<'_>) {
        if step.now.saturating_sub(self.alive) >= HELD_BACK_PONG {
            self.alive = step.now;
            self.tell(Kind::Pong, &[], step);
        }
    }
}
