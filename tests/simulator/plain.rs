//! A player whose session cannot be resumed, and either library behind one face.

use std::collections::VecDeque;
use std::time::Duration;

use game_gateway::codec::client::{self, Header, Kind};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::framed::ClientFrame;
use game_gateway::sdk::client::session::core::{Effect, SessionCore};
use game_gateway::sdk::client::session::{End, Event};
use game_gateway::sdk::client::{Data, Outgoing, Told};

use crate::wire::Millis;

/// The only connection of a plain session.
const CONN: u64 = 0;

/// Frames on one connection; its end is the session's.
#[derive(Debug)]
pub(crate) struct PlainCore {
    effects: VecDeque<Effect>,
    /// What is sent before the connection stands.
    waiting: Option<Vec<u8>>,
    over: bool,
}

impl PlainCore {
    pub(crate) fn new() -> PlainCore {
        PlainCore {
            effects: [Effect::Connect(CONN)].into(),
            waiting: Some(Vec::new()),
            over: false,
        }
    }

    fn write(&mut self, kind: Kind, service: &str, payload: &[u8]) {
        let header = Header {
            kind: kind as u8,
            ..Header::default()
        };
        let mut frame = Vec::new();
        client::encode(&mut frame, &header, service, payload);
        match &mut self.waiting {
            Some(waiting) => waiting.extend(frame),
            None => self.effects.push_back(Effect::Send(CONN, frame.into())),
        }
    }

    fn tell(&mut self, event: Event) {
        self.effects.push_back(Effect::Tell(event));
    }

    fn end(&mut self, end: End) {
        if !std::mem::replace(&mut self.over, true) {
            self.effects.push_back(Effect::Disconnect(CONN));
            self.tell(Event::Ended(end));
        }
    }

    fn connected(&mut self) {
        if let Some(waiting) = self.waiting.take().filter(|waiting| !waiting.is_empty()) {
            self.effects.push_back(Effect::Send(CONN, waiting.into()));
        }
    }

    fn received(&mut self, frame: ClientFrame) {
        let kind = Kind::from_byte(frame.header.kind);
        match kind {
            Some(Kind::Data) => self.tell(Event::Data(Data {
                service: frame.service,
                realm_id: frame.header.realm_id,
                session_id: frame.header.session_id,
                payload: frame.payload,
            })),
            Some(Kind::Error | Kind::Close) => {
                let notice = Notice::decode(&frame.payload, Code::NORMAL);
                let told = Told {
                    code: notice.code,
                    retry_after: Duration::from_millis(notice.retry_after_ms.into()),
                    service: frame.service.clone(),
                    text: notice.text.to_owned(),
                };
                match kind {
                    Some(Kind::Error) => self.tell(Event::Error(told)),
                    _ => self.end(End::Closed(told)),
                }
            }
            _ => {}
        }
    }

    fn close(&mut self) {
        self.write(Kind::Close, "", &[]);
        self.end(End::Local);
    }
}

/// What a player's application calls.
#[derive(Debug)]
pub(crate) enum PlayerCore {
    Resumable(Box<SessionCore>),
    Plain(PlainCore),
}

impl PlayerCore {
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        match self {
            PlayerCore::Resumable(core) => core.next_effect(),
            PlayerCore::Plain(core) => core.effects.pop_front(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        match self {
            PlayerCore::Resumable(core) => core.deadline(),
            PlayerCore::Plain(_) => None,
        }
    }

    pub(crate) fn timer(&mut self, now: Millis) {
        if let PlayerCore::Resumable(core) = self {
            core.timer(now);
        }
    }

    pub(crate) fn connected(&mut self, now: Millis, conn: u64) {
        match self {
            PlayerCore::Resumable(core) => core.connected(now, conn),
            PlayerCore::Plain(core) => core.connected(),
        }
    }

    pub(crate) fn connect_failed(&mut self, now: Millis, conn: u64) {
        match self {
            PlayerCore::Resumable(core) => core.connect_failed(now, conn),
            PlayerCore::Plain(core) => core.end(End::Lost),
        }
    }

    pub(crate) fn lost(&mut self, now: Millis, conn: u64) {
        match self {
            PlayerCore::Resumable(core) => core.lost(now, conn),
            PlayerCore::Plain(core) => core.end(End::Lost),
        }
    }

    pub(crate) fn wrote(&mut self, now: Millis, conn: u64, bytes: usize) {
        if let PlayerCore::Resumable(core) = self {
            core.wrote(now, conn, bytes);
        }
    }

    pub(crate) fn takes_frames(&self, conn: u64) -> bool {
        match self {
            PlayerCore::Resumable(core) => core.takes_frames(conn),
            PlayerCore::Plain(core) => !core.over,
        }
    }

    pub(crate) fn takes_data(&self) -> bool {
        match self {
            PlayerCore::Resumable(core) => core.takes_data(),
            PlayerCore::Plain(core) => !core.over,
        }
    }

    pub(crate) fn received(&mut self, now: Millis, conn: u64, frame: ClientFrame) {
        match self {
            PlayerCore::Resumable(core) => core.received(now, conn, frame),
            PlayerCore::Plain(core) => core.received(frame),
        }
    }

    pub(crate) fn broken(&mut self, conn: u64, error: impl std::fmt::Display) {
        match self {
            PlayerCore::Resumable(core) => core.broken(conn, error),
            PlayerCore::Plain(core) => core.end(End::Broken(error.to_string())),
        }
    }

    pub(crate) fn send(&mut self, now: Millis, to: &Outgoing, payload: &[u8]) {
        match self {
            PlayerCore::Resumable(core) => core.send(now, to, payload),
            PlayerCore::Plain(core) => core.write(Kind::Data, &to.service, payload),
        }
    }

    pub(crate) fn close(&mut self, now: Millis) {
        match self {
            PlayerCore::Resumable(core) => core.close(now),
            PlayerCore::Plain(core) => core.close(),
        }
    }
}
