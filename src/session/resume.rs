//! How a session that can be resumed stands on the gateway that has it (protocol 3.2, case 1).
//!
//! ```text
//!               connection lost               RESUME
//!   Connected ─────────────────▶ Suspended ──────────▶ Reopening ── every backend has answered ──┐
//!       ▲  └───────────────────────RESUME──────────────▲  │ ▲                                    │
//!       │                                     RESUME again└─┘                                    │
//!       └────────────────────────── OPENED, replay ──────────────────────────────────────────────┘
//! ```
//! No I/O, no clock: what happened goes in, what is to be done comes out.

use std::sync::Arc;

use smallvec::SmallVec;

/// One session's.
#[derive(Debug)]
pub struct Resumption {
    epoch: u32,
    phase: Phase,
    /// Tokens of this epoch and later ones are not used: no connection that one of them opened has
    /// sent a frame.
    good_from: u32,
    /// Whoever has a token of this epoch or a later one has heard of the newest gap.
    gap_told: u32,
}

#[derive(Debug)]
enum Phase {
    Connected,
    Suspended,
    Reopening {
        /// DATA frames that the client has taken.
        count: u64,
        /// The token was made before the newest gap: its client counts as before.
        stale: bool,
        /// Services whose backends have not answered.
        awaiting: SmallVec<[Arc<str>; 2]>,
    },
}

/// Whether a RESUME with a genuine token is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The session goes on over the new connection.
    Take,
    /// The token is used: 410.
    Used,
    /// The old connection stands, and this gateway is to be left: 503, and nothing changes.
    ElsewherePlease,
}

/// What OPENED is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// DATA frames that the client has taken, for the replay.
    pub count: u64,
    /// GAP whatever the replay holds: the client may not have heard of it.
    pub gap: bool,
}

impl Default for Resumption {
    fn default() -> Resumption {
        Resumption::new()
    }
}

impl Resumption {
    /// A session that has just begun.
    pub fn new() -> Resumption {
        Resumption {
            epoch: 1,
            phase: Phase::Connected,
            good_from: 1,
            gap_told: 0,
        }
    }

    /// A session that this gateway does not have, and takes up by what a token of `token_epoch` says
    /// (protocol 3.2, case 3): these services are being opened again. `None`: no epoch is left.
    pub fn by_token(
        token_epoch: u32,
        services: impl Iterator<Item = Arc<str>>,
    ) -> Option<Resumption> {
        let epoch = token_epoch.checked_add(1)?;
        Some(Resumption {
            epoch,
            phase: Phase::Reopening {
                count: 0,
                stale: true,
                awaiting: services.collect(),
            },
            good_from: token_epoch,
            gap_told: epoch,
        })
    }

    /// 1 at first; each resume raises it.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether frames go to a connection, and come from one.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    /// Whether there is no connection, and none is being taken into use.
    pub fn is_suspended(&self) -> bool {
        matches!(self.phase, Phase::Suspended)
    }

    /// The connection in use has sent a frame.
    #[inline]
    pub fn heard(&mut self) {
        self.good_from = self.epoch;
    }

    /// The connection is lost, also one that was not in use yet: then its RESUME has not been
    /// answered, and its token stays good.
    pub fn suspend(&mut self) {
        self.phase = Phase::Suspended;
    }

    /// A RESUME with a genuine token of this session and `token_epoch` has come.
    pub fn judge(&self, token_epoch: u32, leaving: bool) -> Judgement {
        if !(self.good_from..=self.epoch).contains(&token_epoch) {
            Judgement::Used
        } else if leaving && !self.is_suspended() {
            Judgement::ElsewherePlease
        } else {
            Judgement::Take
        }
    }

    /// Follows a RESUME that was judged so, whose client has taken `count` DATA frames. The services
    /// in use are opened again with the epoch that it returns; `None`: they are being opened already.
    pub fn begin(
        &mut self,
        token_epoch: u32,
        count: u64,
        services: impl Iterator<Item = Arc<str>>,
    ) -> Option<u32> {
        let stale = token_epoch < self.gap_told;
        if let Phase::Reopening {
            count: before,
            stale: was_stale,
            ..
        } = &mut self.phase
        {
            (*before, *was_stale) = (count, stale);
            return None;
        }
        self.epoch += 1;
        let awaiting = services.collect();
        self.phase = Phase::Reopening {
            count,
            stale,
            awaiting,
        };
        Some(self.epoch)
    }

    /// A backend has taken an OPEN. `false`: none was awaited from it.
    pub fn accepted(&mut self, service: &str, epoch: u32) -> bool {
        epoch == self.epoch && self.answered(service)
    }

    /// A backend has not taken its OPEN, or will not answer any more. `false`: nothing was awaited.
    pub fn answered(&mut self, service: &str) -> bool {
        let Phase::Reopening { awaiting, .. } = &mut self.phase else {
            return false;
        };
        let place = awaiting.iter().position(|name| **name == *service);
        place.map(|place| awaiting.swap_remove(place)).is_some()
    }

    /// Whether this backend's answer is awaited.
    pub fn awaits(&self, service: &str) -> bool {
        self.awaited().any(|name| **name == *service)
    }

    /// The services whose backends have not answered.
    pub fn awaited(&self) -> impl Iterator<Item = &Arc<str>> {
        let awaiting = match &self.phase {
            Phase::Reopening { awaiting, .. } => awaiting.as_slice(),
            Phase::Connected | Phase::Suspended => &[],
        };
        awaiting.iter()
    }

    /// When every backend has answered: the new connection is in use from now on.
    pub fn finish(&mut self) -> Option<Answer> {
        let Phase::Reopening {
            count,
            stale,
            awaiting,
        } = &self.phase
        else {
            return None;
        };
        if !awaiting.is_empty() {
            return None;
        }
        let answer = Answer {
            // Since the gap all that was sent was replayed or is new to it.
            count: if *stale { 0 } else { *count },
            gap: *stale,
        };
        self.phase = Phase::Connected;
        Some(answer)
    }

    /// There is a gap that no OPENED has told of before: counting begins anew.
    pub fn told_gap(&mut self) {
        self.gap_told = self.epoch;
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
