//! What a session makes of the frames that come.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::{Attempt, Drive};
use crate::codec::client::{FLAG_GAP, Kind, Opened};
use crate::codec::code::Code;
use crate::codec::framed::ClientFrame;
use crate::sdk::client::event::{Data, Event as Heard, Told};
use crate::sdk::client::session::ledger::Resumed;
use crate::sdk::client::session::{End, Event};

impl Drive {
    /// A frame on the connection in use.
    pub(super) fn heard(&mut self, frame: ClientFrame) {
        if matches!(self.attempt, Attempt::Resuming(..)) {
            return self.held.push_back(frame);
        }
        let session_id = frame.header.session_id;
        if frame.header.kind == Kind::Ping as u8 {
            if let Some(line) = &mut self.line {
                line.push_kind(Kind::Pong, 0, &frame.payload);
            }
            return;
        }
        match Heard::from_frame(frame) {
            Heard::Data(data) => self.took(data),
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
                self.idle_timeout = idle_timeout;
                self.ping_at = self.ping_at.min(Instant::now() + self.ping_interval());
                if starts {
                    self.told.push_back(Event::Started(session_id));
                }
            }
            Heard::Pong(payload) => {
                self.pong_by = None;
                if let Some(mark) = payload.first_chunk() {
                    self.ledger.acknowledge(u64::from_be_bytes(*mark));
                }
            }
            Heard::Error(told) => self.told.push_back(Event::Error(told)),
            Heard::Close(told) => self.closed(told),
            Heard::Goaway(left) => self.move_within(left),
            Heard::Unknown(_) => {}
        }
    }

    fn took(&mut self, data: Data) {
        self.ledger.took_data();
        self.told.push_back(Event::Data(data));
    }

    /// CLOSE on the connection in use.
    fn closed(&mut self, told: Told) {
        let keeps_session = [
            Code::TIMEOUT,
            Code::INTERNAL,
            Code::UNAVAILABLE,
            Code::TOO_SLOW,
            // An attempt that was given up has arrived late.
            Code::REPLACED,
        ];
        let resumes = self.ledger.resumable() && keeps_session.contains(&told.code);
        // Before OPENED a refusal means that no session has begun.
        let refused = self.ledger.session_id() == 0 && told.code == Code::UNAVAILABLE;
        let refused = refused || (self.ledger.session_id() == 0 && told.code == Code::RATE_LIMITED);
        if self.closing || !(resumes || refused) {
            return self.end(End::Closed(told));
        }
        self.line = None;
        if resumes {
            self.interrupted();
        }
        self.gives_up
            .get_or_insert(Instant::now() + self.options.give_up_after);
        self.try_again(Some(told.retry_after));
    }

    /// The gateway goes away: the session moves at a random moment of the first half of what is left.
    fn move_within(&mut self, left: Duration) {
        if self.ledger.resumable() && matches!(self.attempt, Attempt::None) {
            let at = Instant::now() + left.mul_f64(rand::rng().random_range(0.0..0.5));
            self.attempt = Attempt::Waiting(at);
        }
    }

    /// A frame on the connection that RESUME was sent on.
    pub(super) fn answered(&mut self, frame: ClientFrame) {
        let gap = frame.header.flags & FLAG_GAP != 0;
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
                        let why = "OPENED counts what was never sent".to_owned();
                        return self.end(End::Broken(why));
                    }
                };
                self.held.clear();
                self.idle_timeout = idle_timeout;
                if let Attempt::Resuming(line, _) =
                    std::mem::replace(&mut self.attempt, Attempt::None)
                {
                    self.take_into_use(*line);
                }
                self.told.push_back(Event::Resumed { gap, unknown });
            }
            Heard::Close(told) if told.code == Code::UNAVAILABLE => {
                self.try_again(Some(told.retry_after));
                // The old connection goes on, if it still stands: with what it has brought meanwhile.
                for frame in std::mem::take(&mut self.held) {
                    self.heard(frame);
                }
            }
            Heard::Close(told) => self.end(End::Closed(told)),
            // Nothing else has a meaning before OPENED.
            _ => {}
        }
    }
}
