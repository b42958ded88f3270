//! The gateway that has a session: what it does when the connection breaks, and when another
//! connection wants the session.
//!
//! ```text
//!            connection_lost             claimed               all left, lost or late
//!  Attached ────────────────▶ Suspended ─────────▶ Leaving ─────────────────────────▶ Moved
//!      │                          │ window over        │ newcomer gone                  │ window over
//!      │ claimed                  ▼                    ▼                                ▼
//!      └──────▶ Leaving         Ended            Suspended, torn                      (over)
//! ```
//!
//! A promise to a newcomer stands beside these states and changes nothing for the client.

mod leaving;

use smallvec::SmallVec;

use super::{Answer, HolderAction as Do, Millis, Numbering, Timing};
use crate::codec::code::Code;

/// A session on its gateway.
#[derive(Debug)]
pub struct Holder<G> {
    timing: Timing,
    epoch: u32,
    /// Tokens of this epoch to the session's own are good.
    oldest_good: u32,
    numbering: Numbering,
    /// A promise was not kept: backends may have sent frames to nowhere.
    torn: bool,
    /// Whether the client's connection stands.
    connected: bool,
    state: State<G>,
    promise: Option<Box<Promise<G>>>,
}

#[derive(Debug)]
enum State<G> {
    Attached,
    Suspended { until: Millis, code: Code },
    Leaving(Box<Leaving<G>>),
    Moved { to: G, until: Millis },
    Ended { code: Code, until: Millis },
}

#[derive(Debug)]
struct Promise<G> {
    to: G,
    token_epoch: u32,
    until: Millis,
    /// How often it was told of more services.
    rounds: u8,
}

#[derive(Debug)]
struct Leaving<G> {
    to: G,
    /// Places whose CLOSE 307 is not answered yet.
    awaited: SmallVec<[u8; 8]>,
    until: Millis,
    gap: bool,
    /// The number of the last frame that the newcomer's client has.
    has: u64,
}

impl<G: Clone + PartialEq> Holder<G> {
    /// A session that starts: its connection stands, its epoch is 1.
    pub fn new(timing: Timing) -> Holder<G> {
        Holder::resumed(timing, 1, 1, Numbering::default())
    }

    /// A session that a newcomer took over. The token of `token_epoch` stays good until the client has
    /// sent a frame.
    pub(super) fn resumed(
        timing: Timing,
        epoch: u32,
        token_epoch: u32,
        numbering: Numbering,
    ) -> Holder<G> {
        Holder {
            timing,
            epoch,
            oldest_good: token_epoch,
            numbering,
            torn: false,
            connected: true,
            state: State::Attached,
            promise: None,
        }
    }

    /// The session's epoch, for OPEN and tokens.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Where counts began.
    pub fn numbering(&self) -> &Numbering {
        &self.numbering
    }

    /// Whether the session is here and its connection is not.
    pub fn is_suspended(&self) -> bool {
        matches!(self.state, State::Suspended { .. })
    }

    /// Whether a newcomer is at it: until then the ring may grow.
    pub fn is_wanted(&self) -> bool {
        self.promise.is_some() || matches!(self.state, State::Leaving(_))
    }

    /// To whom the session is promised.
    pub fn promised_to(&self) -> Option<&G> {
        self.promise.as_ref().map(|promise| &promise.to)
    }

    /// Whether the session is here still, in whatever state.
    pub fn has_session(&self) -> bool {
        !matches!(self.state, State::Moved { .. } | State::Ended { .. })
    }

    /// Whether nothing is left to remember.
    pub fn is_over(&self, now: Millis) -> bool {
        match &self.state {
            State::Moved { until, .. } | State::Ended { until, .. } => *until <= now,
            State::Attached | State::Suspended { .. } | State::Leaving(_) => false,
        }
    }

    /// When [`on_time`](Self::on_time) is due.
    pub fn deadline(&self) -> Option<Millis> {
        if let Some(promise) = &self.promise {
            return Some(promise.until);
        }
        match &self.state {
            State::Attached => None,
            State::Suspended { until, .. }
            | State::Moved { until, .. }
            | State::Ended { until, .. } => Some(*until),
            State::Leaving(leaving) => Some(leaving.until),
        }
    }

    /// The client sent a frame on the connection that stands: its token is used, and it knows of GAP.
    #[inline]
    pub fn client_frame(&mut self) {
        self.oldest_good = self.epoch;
        self.numbering.settle();
    }

    /// The connection is gone, and the session is not: SUSPEND, and wait for the window. Its end will
    /// carry `code`.
    pub fn connection_lost(&mut self, now: Millis, code: Code) -> Vec<Do<G>> {
        self.connected = false;
        match self.state {
            State::Attached => {}
            State::Suspended { .. } | State::Leaving(_) => return Vec::new(),
            State::Moved { .. } | State::Ended { .. } => return Vec::new(),
        }
        self.suspend(now, code);
        vec![Do::Suspend(self.timing.window)]
    }

    fn suspend(&mut self, now: Millis, code: Code) {
        let until = now + self.timing.window;
        self.state = State::Suspended { until, code };
    }

    /// The session ends: its client, a backend or an operator wants it so, or there is no room for it.
    pub fn ended(&mut self, now: Millis, code: Code) -> Vec<Do<G>> {
        let mut actions = Vec::new();
        let until = match &self.state {
            State::Moved { .. } | State::Ended { .. } => return actions,
            State::Leaving(leaving) => {
                actions.push(Do::ClaimEnded(leaving.to.clone(), code));
                now
            }
            // Remembered for whoever it was promised to.
            State::Attached | State::Suspended { .. } => {
                self.promise.take().map_or(now, |promise| promise.until)
            }
        };
        self.close_client(code, &mut actions);
        actions.push(Do::End(code));
        self.state = State::Ended { code, until };
        actions
    }

    fn close_client(&mut self, code: Code, actions: &mut Vec<Do<G>>) {
        if std::mem::take(&mut self.connected) {
            actions.push(Do::CloseClient(code));
        }
    }

    /// A newcomer asks for the session with a token of `token_epoch`. The driver says so when no service
    /// is [`Standing::Opening`](super::Standing::Opening), for a newcomer's OPEN must not overtake the session's first: the backend
    /// would not know it yet (404). `stay`: this gateway drains, and
    /// so is the newcomer's.
    pub fn asked(&mut self, now: Millis, from: &G, token_epoch: u32, stay: bool) -> Vec<Do<G>> {
        let answer = match &self.state {
            State::Moved { to, .. } => Answer::Moved(to.clone()),
            State::Ended { .. } => Answer::NotGood,
            State::Leaving(_) => Answer::Busy,
            State::Attached | State::Suspended { .. } => {
                // The session has gone on elsewhere while this gateway could not be reached.
                if token_epoch > self.epoch {
                    let mut actions = self.superseded(now);
                    actions.push(Do::Answer(Answer::Unknown));
                    return actions;
                }
                // "A token is used when the connection that it opened has sent a frame."
                if token_epoch < self.oldest_good {
                    Answer::NotGood
                // Drain: "if the session's connection stands, CLOSE 503 on the new one".
                } else if self.promise.is_some() || (stay && self.connected) {
                    Answer::Busy
                } else {
                    self.promise = Some(Box::new(Promise {
                        to: from.clone(),
                        token_epoch,
                        until: now + self.timing.peer(),
                        rounds: 0,
                    }));
                    let epoch = self.epoch + 1;
                    Answer::Holds { epoch }
                }
            }
        };
        vec![Do::Answer(answer)]
    }

    /// A newcomer, or the way to its gateway, is gone. Links that were left for it count as
    /// [`Standing::Lost`](super::Standing::Lost) from now on, their bindings as the session's. `stale`: a backend told it that the session has
    /// gone on elsewhere.
    pub fn given_up(&mut self, now: Millis, by: &G, stale: bool) -> Vec<Do<G>> {
        let its = match &self.state {
            State::Leaving(leaving) => leaving.to == *by,
            State::Attached | State::Suspended { .. } => {
                self.promise.as_ref().is_some_and(|p| p.to == *by)
            }
            State::Moved { .. } | State::Ended { .. } => false,
        };
        match (its, stale) {
            (true, true) => self.superseded(now),
            (true, false) => self.promise_broken(now),
            (false, _) => Vec::new(),
        }
    }

    fn promise_broken(&mut self, now: Millis) -> Vec<Do<G>> {
        self.torn = true;
        self.promise = None;
        let mut actions = Vec::new();
        match self.state {
            State::Attached => actions.push(Do::Suspend(self.timing.window)),
            // Its links were left: backends have it suspended already.
            State::Leaving(_) => {}
            State::Suspended { .. } | State::Moved { .. } | State::Ended { .. } => return actions,
        }
        self.close_client(Code::UNAVAILABLE, &mut actions);
        self.suspend(now, Code::UNAVAILABLE);
        actions
    }

    /// The session has gone on elsewhere, without this gateway.
    pub fn superseded(&mut self, now: Millis) -> Vec<Do<G>> {
        let mut actions = Vec::new();
        if self.has_session() {
            actions.push(Do::LeaveAll);
            self.close_client(Code::REPLACED, &mut actions);
            self.promise = None;
            let code = Code::REPLACED;
            self.state = State::Ended { code, until: now };
        }
        actions
    }

    /// The clock stands at `now`.
    pub fn on_time(&mut self, now: Millis) -> Vec<Do<G>> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        if self.promise.is_some() {
            return self.promise_broken(now);
        }
        match &mut self.state {
            State::Suspended { code, .. } => {
                let code = *code;
                self.ended(now, code)
            }
            // "… the holder hands over all the same, and OPENED has the flag GAP."
            State::Leaving(leaving) => {
                leaving.awaited.clear();
                leaving.gap = true;
                self.hand_over_if_left(now, Vec::new())
            }
            State::Attached | State::Moved { .. } | State::Ended { .. } => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
