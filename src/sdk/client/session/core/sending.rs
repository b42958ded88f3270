//! Frames of the session on the connection in use.

use bytes::Bytes;

use super::{
    Attempt, ConnId, Effect, End, LAST_WORDS_MS, Line, QUEUE_BYTES, SessionCore, State, millis,
};
use crate::codec::client::{self, FLAG_RESUMABLE, Header, Kind};
use crate::codec::code::{Code, Notice};
use crate::sdk::client::Outgoing;

/// Encodes a frame without service and realm. The session's id is needed in RESUME only: 0 means the
/// session of the connection.
pub(super) fn frame(kind: Kind, session_id: u64, payload: &[u8]) -> Bytes {
    let header = Header {
        kind: kind as u8,
        session_id,
        ..Header::default()
    };
    let mut frame = Vec::with_capacity(client::HEADER_LEN + payload.len());
    client::encode(&mut frame, &header, "", payload);
    frame.into()
}

impl SessionCore {
    /// Takes one DATA frame from the application, to be sent now or when the session has come back.
    pub fn send(&mut self, now: u64, to: &Outgoing, payload: &[u8]) {
        if self.closing || self.is_over() {
            return;
        }
        if !to.service.is_empty() {
            self.service.clone_from(&to.service);
        }
        let header = Header {
            kind: Kind::Data as u8,
            flags: if self.started { 0 } else { FLAG_RESUMABLE },
            realm_id: to.realm_id,
            user_id: to.user_id,
            session_id: 0,
        };
        self.started = true;
        let length = client::HEADER_LEN + self.service.len() + payload.len();
        let mut frame = Vec::with_capacity(length);
        client::encode(&mut frame, &header, &self.service, payload);
        self.ledger.push(frame.into());
        self.settle(now);
    }

    /// Does what the state asks for after any event.
    pub(super) fn settle(&mut self, now: u64) {
        self.feed(now);
        if self.closing && self.nothing_is_unsent() {
            self.say_goodbye(now);
        }
    }

    /// Returns the connection in use, if it may be written to.
    pub(super) fn open_line(&mut self) -> Option<&mut Line> {
        match &mut self.state {
            State::InUse {
                moving: Some(Attempt::Resuming { .. }),
                ..
            } => None,
            State::InUse { line, .. } => Some(line),
            State::Away { .. } | State::Closing { .. } | State::Ended => None,
        }
    }

    /// Queues a frame on the connection in use; drops it where that may not be written to.
    pub(super) fn push(&mut self, frame: Bytes) {
        if let Some(line) = self.open_line() {
            line.queued += frame.len();
            line.unmarked += frame.len();
            let conn = line.conn;
            self.effects.push_back(Effect::Send(conn, frame));
        }
    }

    /// Gives the connection in use the DATA that it lacks.
    fn feed(&mut self, now: u64) {
        while self
            .open_line()
            .is_some_and(|line| line.queued < QUEUE_BYTES)
            && let Some(frame) = self.ledger.next()
        {
            self.push(frame);
        }
        let much = self.ledger.kept_bytes() > self.options.max_kept / 2;
        // Not only behind all of it: a slow path would be silent for as long as that takes.
        if self
            .open_line()
            .is_some_and(|line| line.unmarked >= QUEUE_BYTES || much && !line.life.awaits_pong())
        {
            self.ping(now);
        }
        let awaited = self.ledger.awaits();
        if let Some(line) = self.open_line() {
            line.life.awaits(now, awaited);
        }
    }

    /// Asks for a PONG that acknowledges all that was sent.
    pub(super) fn ping(&mut self, now: u64) {
        let ping_at = self.next_ping(now);
        if let Some(line) = self.open_line() {
            line.ping_at = ping_at;
            line.life.pinged();
            let mark = self.ledger.mark().to_be_bytes();
            self.push(frame(Kind::Ping, 0, &mark));
        }
        if let Some(line) = self.open_line() {
            line.unmarked = 0;
        }
    }

    /// Returns the time of the next PING, a third of what the gateway tolerates (protocol 1.2).
    pub(super) fn next_ping(&self, now: u64) -> Option<u64> {
        (self.idle_timeout > 0).then(|| now + self.idle_timeout / 3)
    }

    /// Sends RESUME on a new connection. From here on the one in use is sent nothing.
    pub(super) fn resume(&mut self, now: u64, conn: ConnId) {
        let mut payload = self.ledger.taken().to_be_bytes().to_vec();
        payload.extend_from_slice(self.ledger.token());
        let resume = frame(Kind::Resume, self.ledger.session_id(), &payload);
        self.effects.push_back(Effect::Send(conn, resume));
        self.set_attempt(Attempt::Resuming {
            conn,
            by: now + millis(self.options.resume_timeout),
            dead_at: now + millis(self.options.dead_after),
            held: Default::default(),
        });
    }

    fn nothing_is_unsent(&mut self) -> bool {
        match &self.state {
            State::InUse { .. } => self.ledger.all_is_written() && self.open_line().is_some(),
            // Without a session there is nobody to send CLOSE to.
            State::Away { .. } => !self.ledger.has_begun() && self.ledger.kept_bytes() == 0,
            State::Closing { .. } | State::Ended => false,
        }
    }

    fn say_goodbye(&mut self, now: u64) {
        let mut payload = Vec::new();
        Notice {
            code: Code::NORMAL,
            retry_after_ms: 0,
            text: "",
        }
        .encode(&mut payload);
        self.push(frame(Kind::Close, 0, &payload));
        match &self.state {
            State::InUse { line, moving } => {
                let conn = line.conn;
                if let Some(other) = moving.as_ref().and_then(Attempt::conn) {
                    self.effects.push_back(Effect::Disconnect(other));
                }
                let until = now + LAST_WORDS_MS;
                self.state = State::Closing { conn, until };
            }
            State::Away { .. } | State::Closing { .. } | State::Ended => self.end(End::Local),
        }
    }
}
