//! What each frame of a link does to the backend's tables. No I/O: frames in, outboxes filled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::replies::{LinkSlot, Links, Replies, notice};
use super::sessions::{Closed, LinkId, Sessions, Taken};
use super::{Counts, MAX_LINK_PAYLOAD, Service};
use crate::codec::Decoded;
use crate::codec::code::{Code, Notice};
use crate::codec::link::{self, Frame, FrameError, Hello, Kind, Open};
use tokio::sync::Notify;

/// The link protocol's version that is spoken here.
const PROTOCOL: u32 = 1;

/// Everything that the links of a backend share.
pub(super) struct State {
    service: Box<dyn Service>,
    /// A service's place in `sessions`.
    names: BTreeMap<String, usize>,
    sessions: Vec<Sessions>,
    pub(super) links: Links,
    pub(super) counts: Counts,
    closed: Vec<u64>,
    going_away: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("links", &self.links.len())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Why a link is dropped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the first frame is not HELLO")]
    NoHello,
    #[error("HELLO: {0}")]
    BadHello(#[from] serde_json::Error),
    #[error("link protocol {0} is not spoken here, only 1")]
    Version(u32),
    #[error("its gateway does not read: the outbox is full")]
    Overflowed,
}

impl State {
    pub(super) fn new(service: Box<dyn Service>) -> State {
        State {
            service,
            names: BTreeMap::new(),
            sessions: Vec::new(),
            links: Links::new(),
            counts: Counts::default(),
            closed: Vec::new(),
            going_away: false,
        }
    }

    pub(super) fn session_count(&self) -> usize {
        self.sessions.iter().map(Sessions::len).sum()
    }

    /// A new link's first frame.
    pub(super) fn hello(&mut self, frame: &Frame<'_>, wake: Arc<Notify>) -> Result<LinkId, Fault> {
        if frame.kind != Kind::Hello as u8 {
            return Err(Fault::NoHello);
        }
        let hello: Hello = serde_json::from_slice(frame.payload)?;
        if hello.protocol != PROTOCOL {
            return Err(Fault::Version(hello.protocol));
        }
        let next = self.sessions.len();
        let service = *self.names.entry(hello.service_type).or_insert(next);
        if service == next {
            self.sessions.push(Sessions::default());
        }
        let mut slot = LinkSlot {
            gateway_id: hello.gateway_id.into(),
            service,
            resume_window: Duration::from_millis(hello.resume_window_ms),
            wake,
            outbox: Vec::new(),
            overflowed: false,
        };
        if self.going_away {
            slot.push(Kind::Goaway, 0, &[]);
        }
        self.counts.links += 1;
        Ok(self.links.insert(slot))
    }

    /// Handles every whole frame in `input`; returns how many bytes they took.
    pub(super) fn take(&mut self, link: LinkId, input: &[u8]) -> Result<usize, Fault> {
        let mut at = 0;
        while let Decoded::Frame(frame, used) = link::decode(&input[at..], MAX_LINK_PAYLOAD)? {
            at += used;
            if frame.kind == Kind::Data as u8 {
                self.data(link, frame.session_id, frame.payload);
            } else {
                self.control(link, &frame)?;
            }
        }
        match self.links.get(link) {
            Some(slot) if slot.overflowed => Err(Fault::Overflowed),
            _ => Ok(at),
        }
    }

    #[inline]
    fn data(&mut self, link: LinkId, session_id: u64, payload: &[u8]) {
        let service = self.links[link].service;
        let sessions = &self.sessions[service];
        let Some(info) = sessions.on_link(link, session_id) else {
            self.counts.strays += 1;
            return;
        };
        self.counts.data_in += 1;
        // While a session leaves this link, its answers already go elsewhere.
        let here = sessions.link_of(session_id) == Some(link);
        let mut out = Replies {
            sessions,
            links: &mut self.links,
            counts: &mut self.counts,
            here: here.then_some((session_id, link)),
            closed: &mut self.closed,
        };
        self.service.data(info, payload, &mut out);
        self.forget_closed(service);
    }

    fn control(&mut self, link: LinkId, frame: &Frame<'_>) -> Result<(), FrameError> {
        let id = frame.session_id;
        match Kind::from_byte(frame.kind) {
            Some(Kind::Open) => self.open(link, id, &Open::decode(frame.payload)?),
            Some(Kind::Close) => self.close(link, id, Notice::decode(frame.payload, Code::NORMAL)),
            Some(Kind::Suspend) => self.suspend(link, id, frame.payload)?,
            Some(Kind::Ping) => self.links[link].push(Kind::Pong, 0, frame.payload),
            Some(Kind::Pong) => {}
            Some(
                Kind::Data
                | Kind::Hello
                | Kind::Bind
                | Kind::Multicast
                | Kind::Goaway
                | Kind::Accept,
            )
            | None => return Err(FrameError::UnexpectedKind(frame.kind)),
        }
        Ok(())
    }

    fn open(&mut self, link: LinkId, session_id: u64, open: &Open<'_>) {
        let slot = &mut self.links[link];
        let (service, gateway) = (slot.service, slot.gateway_id.clone());
        match self.sessions[service].open(link, &gateway, session_id, open) {
            Ok(taken) => {
                self.counts.opens += 1;
                if taken == Taken::Resumed {
                    slot.push(Kind::Accept, session_id, &open.epoch.to_be_bytes());
                }
            }
            Err(refused) => {
                self.counts.opens_refused += 1;
                slot.push(Kind::Close, session_id, &notice(refused.code(), ""));
                return;
            }
        }
        let sessions = &self.sessions[service];
        if let Some(info) = sessions.get(session_id) {
            let mut out = Replies {
                sessions,
                links: &mut self.links,
                counts: &mut self.counts,
                here: Some((session_id, link)),
                closed: &mut self.closed,
            };
            self.service.opened(info, &mut out);
        }
        self.forget_closed(service);
    }

    fn close(&mut self, link: LinkId, session_id: u64, notice_in: Notice<'_>) {
        let slot = &mut self.links[link];
        let until = Instant::now() + slot.resume_window;
        let sessions = &mut self.sessions[slot.service];
        match sessions.close(link, &slot.gateway_id, session_id, notice_in.code, until) {
            Closed::Ended(info) => self.service.ended(&info, notice_in.code),
            Closed::Left => slot.push(Kind::Close, session_id, &notice(Code::LEAVES_LINK, "")),
            Closed::Ignored => {}
            Closed::Stray => self.counts.strays += 1,
        }
    }

    fn suspend(&mut self, link: LinkId, session_id: u64, payload: &[u8]) -> Result<(), FrameError> {
        let bad = FrameError::BadPayload {
            kind: Kind::Suspend,
            len: payload.len(),
        };
        let ms = u32::from_be_bytes(*payload.first_chunk().ok_or(bad)?);
        let until = Instant::now() + Duration::from_millis(ms.into());
        let service = self.links[link].service;
        if !self.sessions[service].suspend(link, session_id, until) {
            self.counts.strays += 1;
        }
        Ok(())
    }

    /// A link has ended, for whatever reason.
    pub(super) fn lose_link(&mut self, link: LinkId) {
        let Some(slot) = self.links.try_remove(link) else {
            return;
        };
        let twin =
            |other: &LinkSlot| other.service == slot.service && other.gateway_id == slot.gateway_id;
        let sibling = self.links.iter().find(|(_, other)| twin(other));
        let until = Instant::now() + slot.resume_window;
        self.sessions[slot.service].lose_link(link, sibling.map(|(id, _)| id), until);
    }

    /// Ends the sessions whose window has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        for sessions in &mut self.sessions {
            for info in sessions.expire(now) {
                self.service.ended(&info, Code::TIMEOUT);
            }
        }
    }

    pub(super) fn goaway(&mut self) {
        self.going_away = true;
        for (_, slot) in &mut self.links {
            slot.push(Kind::Goaway, 0, &[]);
            slot.wake.notify_one();
        }
    }

    pub(super) fn speak<R>(
        &mut self,
        service: &str,
        say: impl FnOnce(&mut Replies<'_>) -> R,
    ) -> Option<R> {
        let service = *self.names.get(service)?;
        let said = say(&mut Replies {
            sessions: &self.sessions[service],
            links: &mut self.links,
            counts: &mut self.counts,
            here: None,
            closed: &mut self.closed,
        });
        self.forget_closed(service);
        Some(said)
    }

    /// Takes out what the service has just closed: CLOSE is never answered.
    #[inline]
    fn forget_closed(&mut self, service: usize) {
        for session_id in self.closed.drain(..) {
            self.sessions[service].remove(session_id);
        }
    }
}
