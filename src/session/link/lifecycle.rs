//! The life of a link (protocol 2.2): a PING directly after HELLO, ready with the first PONG, suspect when a
//! PONG is overdue and nothing else comes either, lost after three such intervals.
//!
//! ```text
//!               connected            first PONG            GOAWAY
//!   Connecting ───────────▶ Greeting ──────────▶ Ready ──────────────▶ Leaving
//!       │                    │    │                │                     │
//!       │ quit          quit │    └── GOAWAY, then first PONG ───────────▶
//!       │                    ▼                quit │                     │ quit
//!       │                 Quitting ◀───────────────┴─────────────────────┘
//!       ▼                    │
//!     Ended ◀────────────────┘   and from every stage, when the connection fails
//! ```
//!
//! Whatever arrives is a sign of life: the PONG of a backend that reads slowly is late, for it reads the PING
//! late, and says nothing about its health while DATA comes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::LinkEnd;

/// Silent ping intervals in a row, each with a PONG overdue, after which the link is lost.
pub const MISSING_PONGS: u32 = 3;

/// State machine of one link.
#[derive(Debug)]
pub struct Lifecycle(Stage);

#[derive(Debug)]
enum Stage {
    /// TCP and TLS are being established.
    Connecting,
    /// HELLO and a PING are sent. GOAWAY before the first PONG counts from that PONG on: nobody is
    /// told of a link that leaves before it was there.
    Greeting { pinged_at: Instant, goaway: bool },
    /// Takes sessions.
    Ready(Pings),
    /// The backend takes no new sessions; those that it has go on.
    Leaving(Pings),
    /// The queue is written, then the sending side is shut down. The end comes when the backend
    /// closes too, so that no reset overtakes the last CLOSE.
    Quitting {
        reason: LinkEnd,
        was_ready: bool,
        fin_sent: bool,
    },
    /// The actor is about to go.
    Ended { reason: LinkEnd, was_ready: bool },
}

#[derive(Debug, Default)]
struct Pings {
    /// When the unanswered PINGs were sent, oldest first: at most two times [`MISSING_PONGS`].
    unanswered: VecDeque<Instant>,
    /// Something has come since the last interval.
    heard: bool,
    /// Intervals in a row in which nothing came while a PONG was overdue.
    silent: u32,
    /// When the newest interval ended.
    ticked: Option<Instant>,
}

impl Pings {
    /// Tells whether a whole interval has passed. One that took much longer was this process's pause, in which
    /// nothing was asked and nothing heard: it says nothing of the backend, nor do those that are made up for at once.
    fn interval_passed(&mut self, now: Instant, interval: Duration) -> bool {
        let took = self.ticked.map_or(interval, |ticked| now - ticked);
        if took < interval / 2 {
            return false;
        }
        self.ticked = Some(now);
        self.heard |= took > 2 * interval;
        true
    }
}

/// Consequence of a PONG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pong {
    /// The first one: the link takes sessions from now on.
    Ready,
    /// The first one of a link whose backend has already said GOAWAY.
    ReadyAndLeaving,
    /// The backend is still there.
    Alive,
}

/// Consequence of a ping interval that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// Send a PING.
    Ping,
    /// Send a PING; from now on the backend is suspect.
    Suspect,
    /// Nothing: enough PINGs are unanswered, or the connect timeout watches over the greeting, the flush timeout over the end.
    Wait,
    /// The link is lost.
    Lost,
}

/// Consequence of an order to quit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quitting {
    /// Nothing is connected, so there is nothing to write.
    AtOnce,
    /// Write what is queued, then shut the sending side down.
    WhenWritten,
}

/// Stage as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names suffice")]
pub enum Phase {
    Connecting,
    Ready,
    Leaving,
    Quitting,
}

impl Default for Lifecycle {
    fn default() -> Lifecycle {
        Lifecycle(Stage::Connecting)
    }
}

impl Lifecycle {
    /// The connection is established; HELLO and the first PING are sent at `now`.
    pub fn connected(&mut self, now: Instant) {
        match self.0 {
            Stage::Connecting => {
                self.0 = Stage::Greeting {
                    pinged_at: now,
                    goaway: false,
                }
            }
            Stage::Greeting { .. }
            | Stage::Ready(_)
            | Stage::Leaving(_)
            | Stage::Quitting { .. }
            | Stage::Ended { .. } => {}
        }
    }

    /// A PONG came at `now`. Returns its consequence and the time since its PING; `None`
    /// where the link is ending or no PING is unanswered, and neither counts.
    pub fn pong(&mut self, now: Instant) -> Option<(Pong, Duration)> {
        match &mut self.0 {
            Stage::Greeting { pinged_at, goaway } => {
                let rtt = now - *pinged_at;
                let (stage, pong) = if *goaway {
                    (Stage::Leaving(Pings::default()), Pong::ReadyAndLeaving)
                } else {
                    (Stage::Ready(Pings::default()), Pong::Ready)
                };
                self.0 = stage;
                Some((pong, rtt))
            }
            Stage::Ready(pings) | Stage::Leaving(pings) => {
                // Without a PING there is nothing to measure.
                let pinged_at = pings.unanswered.pop_front()?;
                Some((Pong::Alive, now - pinged_at))
            }
            Stage::Connecting | Stage::Quitting { .. } | Stage::Ended { .. } => None,
        }
    }

    /// Something has come from the backend. Returns whether it was suspect until now.
    #[inline]
    pub fn heard(&mut self) -> bool {
        match &mut self.0 {
            Stage::Ready(pings) | Stage::Leaving(pings) => {
                pings.heard = true;
                std::mem::take(&mut pings.silent) > 0
            }
            Stage::Connecting
            | Stage::Greeting { .. }
            | Stage::Quitting { .. }
            | Stage::Ended { .. } => false,
        }
    }

    /// A ping interval has passed at `now`.
    pub fn tick(&mut self, now: Instant, interval: Duration) -> Tick {
        match &mut self.0 {
            Stage::Ready(pings) | Stage::Leaving(pings) => {
                if !pings.interval_passed(now, interval) {
                    return Tick::Wait;
                }
                let heard = std::mem::take(&mut pings.heard);
                if !heard && !pings.unanswered.is_empty() {
                    pings.silent += 1;
                }
                if pings.silent >= MISSING_PONGS {
                    return Tick::Lost;
                }
                if pings.silent == 0 && pings.unanswered.len() >= MISSING_PONGS as usize {
                    return Tick::Wait;
                }
                pings.unanswered.push_back(now);
                match pings.silent {
                    1 => Tick::Suspect,
                    _ => Tick::Ping,
                }
            }
            Stage::Connecting
            | Stage::Greeting { .. }
            | Stage::Quitting { .. }
            | Stage::Ended { .. } => Tick::Wait,
        }
    }

    /// Returns whether a PONG is overdue and nothing has come since it was due.
    pub fn is_suspect(&self) -> bool {
        match &self.0 {
            Stage::Ready(pings) | Stage::Leaving(pings) => pings.silent > 0,
            Stage::Connecting
            | Stage::Greeting { .. }
            | Stage::Quitting { .. }
            | Stage::Ended { .. } => false,
        }
    }

    /// Returns when the oldest PING that is unanswered was sent.
    pub fn oldest_ping(&self) -> Option<Instant> {
        match &self.0 {
            Stage::Greeting { pinged_at, .. } => Some(*pinged_at),
            Stage::Ready(pings) | Stage::Leaving(pings) => pings.unanswered.front().copied(),
            Stage::Connecting | Stage::Quitting { .. } | Stage::Ended { .. } => None,
        }
    }

    /// The backend has sent GOAWAY. Returns whether the pool is to be told now.
    pub fn goaway(&mut self) -> bool {
        match &mut self.0 {
            Stage::Ready(pings) => {
                self.0 = Stage::Leaving(std::mem::take(pings));
                true
            }
            Stage::Greeting { goaway, .. } => {
                *goaway = true;
                false
            }
            // It speaks for the backend, whatever becomes of this link.
            Stage::Leaving(_) | Stage::Quitting { .. } => true,
            Stage::Connecting | Stage::Ended { .. } => false,
        }
    }

    /// The pool has no use for the link any more. The first reason counts.
    pub fn quit(&mut self, reason: LinkEnd) -> Quitting {
        match self.0 {
            Stage::Connecting => {
                let was_ready = false;
                self.0 = Stage::Ended { reason, was_ready };
                Quitting::AtOnce
            }
            Stage::Greeting { .. } | Stage::Ready(_) | Stage::Leaving(_) => {
                self.0 = Stage::Quitting {
                    reason,
                    was_ready: self.was_ready(),
                    fin_sent: false,
                };
                Quitting::WhenWritten
            }
            Stage::Quitting { .. } => Quitting::WhenWritten,
            Stage::Ended { .. } => Quitting::AtOnce,
        }
    }

    /// All that was queued is written. Returns whether the sending side is to be shut down now.
    pub fn written(&self) -> bool {
        match self.0 {
            Stage::Quitting { fin_sent, .. } => !fin_sent,
            Stage::Connecting
            | Stage::Greeting { .. }
            | Stage::Ready(_)
            | Stage::Leaving(_)
            | Stage::Ended { .. } => false,
        }
    }

    /// The sending side is shut down.
    pub fn fin_sent(&mut self) {
        match &mut self.0 {
            Stage::Quitting { fin_sent, .. } => *fin_sent = true,
            Stage::Connecting
            | Stage::Greeting { .. }
            | Stage::Ready(_)
            | Stage::Leaving(_)
            | Stage::Ended { .. } => {}
        }
    }

    /// The link is over. The first reason counts.
    pub fn end(&mut self, reason: LinkEnd) {
        let was_ready = self.was_ready();
        let reason = self.reason().unwrap_or(reason);
        self.0 = Stage::Ended { reason, was_ready };
    }

    /// Returns whether the first PONG is still to come, so that the connect timeout ends the link.
    pub fn is_starting(&self) -> bool {
        match self.0 {
            Stage::Connecting | Stage::Greeting { .. } => true,
            Stage::Ready(_) | Stage::Leaving(_) | Stage::Quitting { .. } | Stage::Ended { .. } => {
                false
            }
        }
    }

    /// Returns whether the link takes no sessions any more, new or resumed.
    pub fn is_ending(&self) -> bool {
        self.reason().is_some()
    }

    /// Returns the reason of an end that has begun.
    pub fn reason(&self) -> Option<LinkEnd> {
        match self.0 {
            Stage::Quitting { reason, .. } | Stage::Ended { reason, .. } => Some(reason),
            Stage::Connecting | Stage::Greeting { .. } | Stage::Ready(_) | Stage::Leaving(_) => {
                None
            }
        }
    }

    /// Returns whether a PONG has ever come.
    pub fn was_ready(&self) -> bool {
        match self.0 {
            Stage::Connecting | Stage::Greeting { .. } => false,
            Stage::Ready(_) | Stage::Leaving(_) => true,
            Stage::Quitting { was_ready, .. } | Stage::Ended { was_ready, .. } => was_ready,
        }
    }

    /// Returns the stage as operators see it.
    pub fn phase(&self) -> Phase {
        match self.0 {
            Stage::Connecting | Stage::Greeting { .. } => Phase::Connecting,
            Stage::Ready(_) => Phase::Ready,
            Stage::Leaving(_) => Phase::Leaving,
            Stage::Quitting { .. } | Stage::Ended { .. } => Phase::Quitting,
        }
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
