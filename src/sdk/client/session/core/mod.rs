//! The player's part of a session that resumes (protocol 3.2, 3.3), without I/O, clock or source of
//! randomness: events and the time go in, [`Effect`]s come out. The same events, times and seed give
//! the same effects.
//!
//! ```text
//!                 connected                      lost, CLOSE that allows a resume
//!   ┌▶ Away ──────────────────────▶ InUse ◀─────────────────────────────┐
//!   │   │ gave up                    │ │ close(): all is sent           │ OPENED
//!   │   ▼                            │ ▼                                │
//!   │ Ended ◀── lost, timed out ── Closing                              │
//!   └────────────────────────────────┘                                  │
//!                                                                       │
//!   Attempt, of Away or InUse (there: to move elsewhere):               │
//!   Waiting ──time──▶ Connecting ──connected──▶ Resuming ───────────────┘
//!      ▲                  │ failed                 │ failed, CLOSE 503
//!      └──────────────────┴────────────────────────┘
//! ```
//! Before there is a token, a connection is used as soon as it is made. While an attempt is Resuming,
//! the connection in use is sent nothing and its frames are held back: dropped when the session has
//! moved, delivered when CLOSE 503 says that it has not. Where the RESUME was not answered at all, the
//! gateway may or may not have taken the session over, so both connections are given up: frames that
//! were held back are not counted as taken and come again.
//!
//! Acknowledgements come with OPENED and with PONG: a PING carries the number of frames sent before it,
//! gateways take frames in order, and its PONG acknowledges them. PINGs go out once much is sent or kept, and
//! when nothing is heard for a while: a path that has died silently is noticed by silence, while something is
//! awaited. Silence that is this end's own (nothing is read, or RESUME waits) does not count.
//!
//! ```
//! use game_gateway::sdk::client::session::core::{Effect, SessionCore, SessionOptions};
//! use game_gateway::sdk::client::Outgoing;
//!
//! let mut core = SessionCore::new(SessionOptions::default(), 7, 0);
//! core.timer(0);
//! assert_eq!(core.next_effect(), Some(Effect::Connect(0)));
//! core.connected(5, 0);
//! core.send(5, &Outgoing::to("game"), b"north");
//! assert!(matches!(core.next_effect(), Some(Effect::Send(0, _))));
//! ```

mod connections;
mod effect;
mod ledger;
mod life;
mod options;
mod received;
mod sending;

use std::collections::VecDeque;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::codec::framed::ClientFrame;
use ledger::Ledger;
use life::{Heartbeat, Life};

pub use effect::{ConnId, Effect, End, Event};
pub use options::SessionOptions;

/// Frames held back from the connection that is being left; beyond it that one is not read.
const MAX_HELD: usize = 4096;
/// Bytes queued on a connection before more DATA is given to it.
const QUEUE_BYTES: usize = 64 * 1024;
/// Time for CLOSE to be written and answered by the end of the connection.
const LAST_WORDS_MS: u64 = 4_000;

/// A way to a new connection that is to be used.
#[derive(Debug)]
enum Attempt {
    Waiting {
        until: u64,
    },
    Connecting {
        conn: ConnId,
        by: u64,
    },
    /// RESUME is sent.
    Resuming {
        conn: ConnId,
        /// Limit for the answer.
        by: u64,
        /// Time at which this path is dead if nothing is heard.
        dead_at: u64,
        /// Frames that came on the connection in use since then.
        held: VecDeque<ClientFrame>,
    },
}

impl Attempt {
    fn conn(&self) -> Option<ConnId> {
        match self {
            Attempt::Waiting { .. } => None,
            Attempt::Connecting { conn, .. } | Attempt::Resuming { conn, .. } => Some(*conn),
        }
    }

    fn deadline(&self) -> u64 {
        match self {
            Attempt::Waiting { until } => *until,
            Attempt::Connecting { by, .. } => *by,
            Attempt::Resuming { by, dead_at, .. } => *by.min(dead_at),
        }
    }
}

/// The connection in use.
#[derive(Debug)]
struct Line {
    conn: ConnId,
    /// Bytes that the driver has not reported as written.
    queued: usize,
    /// Bytes behind the newest PING.
    unmarked: usize,
    /// Time of the next PING that the gateway wants to hear; none where it tolerates silence.
    ping_at: Option<u64>,
    life: Life,
}

#[derive(Debug)]
enum State {
    Away {
        attempt: Attempt,
        gives_up: u64,
    },
    InUse {
        line: Line,
        moving: Option<Attempt>,
    },
    /// CLOSE is sent; DATA that is still on its way is delivered.
    Closing {
        conn: ConnId,
        until: u64,
    },
    Ended,
}

/// A session as a state machine. `now` is in milliseconds since any moment, and never goes back.
///
/// After each call: take [`next_effect`](Self::next_effect) until `None`, then call
/// [`timer`](Self::timer) at [`deadline`](Self::deadline).
#[derive(Debug)]
pub struct SessionCore {
    options: SessionOptions,
    random: StdRng,
    ledger: Ledger,
    state: State,
    effects: VecDeque<Effect>,
    next_conn: ConnId,
    /// The service that the frame before named.
    service: String,
    /// The frame that starts the session was taken from the application.
    started: bool,
    /// Longest next random wait, in milliseconds.
    wait: u64,
    /// Silence that the gateway tolerates, in milliseconds; 0: any.
    idle_timeout: u64,
    closing: bool,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl SessionCore {
    /// Creates a session that connects at the first [`timer`](Self::timer). `seed` decides its random
    /// waits.
    pub fn new(options: SessionOptions, seed: u64, now: u64) -> SessionCore {
        SessionCore {
            random: StdRng::seed_from_u64(seed),
            ledger: Ledger::default(),
            state: State::Away {
                attempt: Attempt::Waiting { until: now },
                gives_up: now + millis(options.give_up_after),
            },
            effects: VecDeque::new(),
            next_conn: 0,
            service: String::new(),
            started: false,
            wait: millis(options.first_wait),
            idle_timeout: 0,
            closing: false,
            options,
        }
    }

    /// Takes out the oldest effect.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns the session's id, 0 until the gateway has told it.
    pub fn session_id(&self) -> u64 {
        self.ledger.session_id()
    }

    /// Tells whether [`Event::Ended`] was told or is about to be.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Tells whether [`send`](Self::send) is welcome: less than `max_kept` bytes are kept, and the
    /// session is not closing. DATA that is sent even so is kept beyond that bound.
    pub fn takes_data(&self) -> bool {
        !self.closing && !self.is_over() && self.ledger.kept_bytes() < self.options.max_kept
    }

    /// Tells whether a connection is to be read: not while too many of its frames are held back.
    pub fn takes_frames(&self, conn: ConnId) -> bool {
        match &self.state {
            State::InUse {
                line,
                moving: Some(Attempt::Resuming { held, .. }),
            } if line.conn == conn => held.len() < MAX_HELD,
            _ => true,
        }
    }

    /// Returns the time at which [`timer`](Self::timer) is due though nothing happens.
    pub fn deadline(&self) -> Option<u64> {
        match &self.state {
            State::Away { attempt, gives_up } => Some(attempt.deadline().min(*gives_up)),
            State::InUse { line, moving } => {
                let (life, beat) = (&line.life, self.heartbeat());
                let mut times = [None; 4];
                times[0] = moving.as_ref().map(Attempt::deadline);
                if !matches!(moving, Some(Attempt::Resuming { .. })) {
                    times[1..].copy_from_slice(&[
                        line.ping_at,
                        life.ping_at(&beat),
                        life.dead_at(&beat),
                    ]);
                }
                times.into_iter().flatten().min()
            }
            State::Closing { until, .. } => Some(*until),
            State::Ended => None,
        }
    }

    /// Ends the session in order: sends what was taken before, then CLOSE 0, and delivers what is still
    /// on its way.
    pub fn close(&mut self, now: u64) {
        self.closing = true;
        self.settle(now);
    }

    /// Takes note that the connection is made.
    pub fn connected(&mut self, now: u64, conn: ConnId) {
        match self.attempt() {
            Some(Attempt::Connecting { conn: awaited, .. }) if *awaited == conn => {}
            _ => return,
        }
        if self.ledger.resumable() {
            self.resume(now, conn);
        } else if matches!(self.state, State::Away { .. }) {
            self.ledger.begin();
            self.take_into_use(now, conn);
        } else {
            // The newest OPENED brought no token: the connection in use cannot be replaced.
            self.effects.push_back(Effect::Disconnect(conn));
            self.stay();
        }
        self.settle(now);
    }

    /// Takes note that a connection could not be made.
    pub fn connect_failed(&mut self, now: u64, conn: ConnId) {
        self.lost(now, conn);
    }

    /// Takes note that a connection was lost, or ended by the gateway.
    pub fn lost(&mut self, now: u64, conn: ConnId) {
        match &self.state {
            State::InUse { line, .. } if line.conn == conn => self.line_lost(now),
            State::Closing { conn: last, .. } if *last == conn => self.end(End::Local),
            State::Away { .. } | State::InUse { .. } | State::Closing { .. } | State::Ended => {
                if self.attempt().and_then(Attempt::conn) == Some(conn) {
                    self.attempt_failed(now);
                }
            }
        }
        self.settle(now);
    }

    /// Handles invalid bytes from a connection.
    pub fn broken(&mut self, conn: ConnId, error: impl std::fmt::Display) {
        if self.uses(conn) {
            self.end(End::Broken(error.to_string()));
        }
    }

    /// Handles the completion of a write of this many bytes of [`Effect::Send`] on this connection.
    pub fn wrote(&mut self, now: u64, conn: ConnId, bytes: usize) {
        if let State::InUse { line, .. } = &mut self.state
            && line.conn == conn
        {
            line.queued = line.queued.saturating_sub(bytes);
            self.settle(now);
        }
    }

    /// Takes note that nothing could be heard until now, because nothing was read.
    pub fn was_deaf(&mut self, now: u64) {
        if let State::InUse { line, .. } = &mut self.state {
            line.life.hears(now);
        }
        self.attempt_lives(now);
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            awaiting: millis(self.options.heartbeat),
            idle: millis(self.options.idle_heartbeat),
            dead: millis(self.options.dead_after),
        }
    }

    /// Does what is due at this time.
    pub fn timer(&mut self, now: u64) {
        match &self.state {
            State::Away { gives_up, .. } if *gives_up <= now => self.end(End::GaveUp),
            // Nothing is awaited on a connection that is being left.
            State::InUse {
                moving: Some(Attempt::Resuming { .. }),
                ..
            } => {}
            State::InUse { line, .. }
                if line
                    .life
                    .dead_at(&self.heartbeat())
                    .is_some_and(|at| at <= now) =>
            {
                self.line_lost(now);
            }
            State::Closing { until, .. } if *until <= now => self.end(End::Local),
            State::Away { .. } | State::InUse { .. } | State::Closing { .. } | State::Ended => {}
        }
        match self.attempt() {
            Some(Attempt::Waiting { until }) if *until <= now => {
                let conn = self.next_conn;
                self.next_conn += 1;
                let by = now + millis(self.options.connect_timeout);
                self.effects.push_back(Effect::Connect(conn));
                self.set_attempt(Attempt::Connecting { conn, by });
            }
            Some(under_way @ (Attempt::Connecting { .. } | Attempt::Resuming { .. }))
                if under_way.deadline() <= now =>
            {
                self.attempt_failed(now);
            }
            _ => {}
        }
        let beat = self.heartbeat();
        if self.open_line().is_some_and(|line| {
            let times = [line.ping_at, line.life.ping_at(&beat)];
            times.into_iter().flatten().any(|at| at <= now)
        }) {
            self.ping(now);
        }
        self.settle(now);
    }
}

#[cfg(test)]
mod tests;
