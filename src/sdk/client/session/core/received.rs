//! Frames that come from a gateway.

use std::time::Duration;

use super::{Attempt, ConnId, Effect, End, Event, SessionCore, State, millis};
use crate::codec::client::{FLAG_GAP, Kind, Opened};
use crate::codec::code::Code;
use crate::codec::framed::ClientFrame;
use crate::sdk::client::event::{Event as Heard, Told};
use crate::sdk::client::session::core::ledger::Resumed;
use crate::sdk::client::session::core::sending::frame as encode;

/// Codes of a CLOSE that leave the session suspended (protocol 1.4).
const KEEP_SESSION: [Code; 5] = [
    Code::TIMEOUT,
    Code::INTERNAL,
    Code::UNAVAILABLE,
    Code::TOO_SLOW,
    // An attempt that was given up has arrived late.
    Code::REPLACED,
];
/// Codes of a CLOSE that refuses a session before it has begun, for now.
const REFUSED_FOR_NOW: [Code; 2] = [Code::UNAVAILABLE, Code::RATE_LIMITED];

impl SessionCore {
    /// Takes a frame that came on a connection.
    pub fn received(&mut self, now: u64, conn: ConnId, frame: ClientFrame) {
        // Whatever is heard is a sign of life: a gateway that does not read for now, or that RESUME waits for,
        // says PONG of its own.
        if let State::InUse { line, .. } = &mut self.state
            && line.conn == conn
        {
            line.life.hears(now);
        } else if self.attempt().and_then(Attempt::conn) == Some(conn) {
            self.attempt_lives(now);
        }
        match &mut self.state {
            State::InUse { line, moving } if line.conn == conn => match moving {
                Some(Attempt::Resuming { held, .. }) => held.push_back(frame),
                Some(Attempt::Waiting { .. } | Attempt::Connecting { .. }) | None => {
                    self.take(now, frame);
                }
            },
            State::Closing { conn: last, .. } if *last == conn => {
                match Heard::from_frame(frame) {
                    Heard::Data(data) => self.tell(Event::Data(data)),
                    // It says what is missing among them.
                    Heard::Error(told) => self.tell(Event::Error(told)),
                    _ => {}
                }
            }
            State::Away { .. } | State::InUse { .. } | State::Closing { .. } | State::Ended => {
                if let Some(Attempt::Resuming { conn: asked, .. }) = self.attempt()
                    && *asked == conn
                {
                    self.take_answer(now, frame);
                }
            }
        }
        self.settle(now);
    }

    fn tell(&mut self, event: Event) {
        self.effects.push_back(Effect::Tell(event));
    }

    /// Resets the back-off: a gateway has the session.
    fn welcomed(&mut self, idle_timeout: Duration) {
        self.wait = millis(self.options.first_wait);
        self.idle_timeout = millis(idle_timeout);
    }

    /// Takes a frame of the connection in use.
    fn take(&mut self, now: u64, frame: ClientFrame) {
        let session_id = frame.header.session_id;
        if frame.header.kind == Kind::Ping as u8 {
            return self.push(encode(Kind::Pong, 0, &frame.payload));
        }
        match Heard::from_frame(frame) {
            Heard::Data(data) => {
                self.ledger.took_data();
                self.tell(Event::Data(data));
            }
            Heard::Opened {
                received,
                idle_timeout,
                token,
            } => {
                let starts = self.ledger.session_id() == 0;
                let opened = Opened {
                    received,
                    idle_timeout_ms: 0,
                    token: &token,
                };
                self.ledger.opened(session_id, &opened);
                self.welcomed(idle_timeout);
                let ping_at = self.next_ping(now);
                if let State::InUse { line, .. } = &mut self.state {
                    line.ping_at = line.ping_at.into_iter().chain(ping_at).min();
                }
                if starts {
                    self.tell(Event::Started(session_id));
                }
            }
            Heard::Pong(payload) => {
                if let Some(mark) = payload.first_chunk() {
                    if let State::InUse { line, .. } = &mut self.state {
                        line.life.ponged();
                    }
                    self.ledger.acknowledge(u64::from_be_bytes(*mark));
                }
            }
            Heard::Error(told) => self.tell(Event::Error(told)),
            Heard::Close(told) => self.take_close(now, told),
            Heard::Goaway(_) => self.move_on(now),
            Heard::Unknown(_) => {}
        }
    }

    /// Takes CLOSE on the connection in use.
    fn take_close(&mut self, now: u64, told: Told) {
        let resumes = self.ledger.resumable() && KEEP_SESSION.contains(&told.code);
        // Before OPENED a refusal means that no session has begun.
        let refused = self.ledger.session_id() == 0 && REFUSED_FOR_NOW.contains(&told.code);
        if self.closing || !(resumes || refused) {
            return self.end(End::Closed(told));
        }
        if let Some(moving) = self.drop_line(now, resumes) {
            self.set_attempt(moving);
        }
        self.try_again(now, Some(told.retry_after));
    }

    /// Takes a frame of the connection that RESUME was sent on.
    fn take_answer(&mut self, now: u64, frame: ClientFrame) {
        let gap = frame.header.flags & FLAG_GAP != 0;
        let conn = self.attempt().and_then(Attempt::conn);
        match Heard::from_frame(frame) {
            Heard::Opened {
                received,
                idle_timeout,
                token,
            } => {
                let opened = Opened {
                    received,
                    idle_timeout_ms: 0,
                    token: &token,
                };
                let unknown = match self.ledger.resumed(&opened, gap) {
                    Resumed::Exactly => 0,
                    Resumed::WithGap(unknown) => unknown,
                    Resumed::Nonsense => {
                        let error = "OPENED acknowledges frames that were never sent";
                        return self.end(End::Broken(error.to_owned()));
                    }
                };
                self.welcomed(idle_timeout);
                if let Some(conn) = conn {
                    self.take_into_use(now, conn);
                }
                self.tell(Event::Resumed { gap, unknown });
            }
            Heard::Close(told) if told.code == Code::UNAVAILABLE => {
                let held = self.take_held();
                self.try_again(now, Some(told.retry_after));
                // The old connection goes on, if it still stands, with its frames in their order.
                for frame in held {
                    if !self.is_over() {
                        self.take(now, frame);
                    }
                }
            }
            Heard::Close(told) => self.end(End::Closed(told)),
            // Nothing else has a meaning before OPENED.
            Heard::Data(_)
            | Heard::Pong(_)
            | Heard::Error(_)
            | Heard::Goaway(_)
            | Heard::Unknown(_) => {}
        }
    }
}
