//! What a service says, as frames in the outboxes of links.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;

use super::sessions::{LinkId, Sessions};
use super::{Counts, MAX_OUTBOX_BYTES, SessionInfo};
use crate::codec::code::{Code, Notice};
use crate::codec::link::{self, Bind, Kind, Multicast};

/// One link as seen from the tables: who is at its other end, and what waits to be written.
#[derive(Debug)]
pub(super) struct LinkSlot {
    pub(super) gateway_id: Arc<str>,
    /// The service's place in the backend's list.
    pub(super) service: usize,
    pub(super) resume_window: Duration,
    pub(super) wake: Arc<Notify>,
    pub(super) outbox: Vec<u8>,
    /// More was said than [`MAX_OUTBOX_BYTES`]: the link is to be dropped.
    pub(super) overflowed: bool,
}

impl LinkSlot {
    /// Takes one whole frame, or drops the link.
    #[inline]
    pub(super) fn push(&mut self, kind: Kind, session_id: u64, payload: &[u8]) {
        if self.outbox.len() + payload.len() > MAX_OUTBOX_BYTES {
            self.overflowed = true;
            return;
        }
        link::encode(&mut self.outbox, kind, session_id, payload);
    }
}

pub(super) type Links = Slab<LinkSlot>;

/// What a [`Service`](super::Service) may say. Frames leave in the order said, all together when
/// the service has seen everything that one read brought.
#[derive(Debug)]
pub struct Replies<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) links: &'a mut Links,
    pub(super) counts: &'a mut Counts,
    /// The session that is being served, and its link: no look-up, and no wake-up, for it.
    pub(super) here: Option<(u64, LinkId)>,
    /// Sessions that the service closed; the caller takes them out of the table.
    pub(super) closed: &'a mut Vec<u64>,
}

impl Replies<'_> {
    /// Sends DATA to a session, by its id alone. False where it has no link or is not known: then
    /// nothing is sent, and it is counted.
    #[inline]
    pub fn send(&mut self, session_id: u64, payload: &[u8]) -> bool {
        let sent = self.push(Kind::Data, session_id, payload);
        self.counts.data_out += u64::from(sent);
        sent
    }

    /// Says who a session is; 0 leaves that one unbound.
    pub fn bind(&mut self, session_id: u64, user_id: u64, realm_id: u32) -> bool {
        let bind = Bind { user_id, realm_id };
        self.push(Kind::Bind, session_id, &bind.encode())
    }

    /// Ends a session.
    pub fn close(&mut self, session_id: u64, code: Code, text: &str) -> bool {
        let sent = self.push(Kind::Close, session_id, &notice(code, text));
        self.closed.push(session_id);
        sent
    }

    /// Sends the same DATA to many sessions, one frame a link. Returns to how many.
    pub fn multicast(&mut self, session_ids: &[u64], payload: &[u8]) -> usize {
        let mut by_link: BTreeMap<LinkId, Vec<u64>> = BTreeMap::new();
        for &id in session_ids {
            match self.sessions.link_of(id) {
                Some(link) => by_link.entry(link).or_default().push(id),
                None => self.counts.undelivered += 1,
            }
        }
        let mut sent = 0;
        for (link, ids) in by_link {
            let mut body = Vec::with_capacity(4 + 8 * ids.len() + payload.len());
            Multicast::encode(&mut body, &ids, payload);
            if self.push_to(link, Kind::Multicast, 0, &body) {
                sent += ids.len();
            }
        }
        self.counts.data_out += sent as u64;
        sent
    }

    /// What is known of a session.
    pub fn session(&self, session_id: u64) -> Option<&SessionInfo> {
        self.sessions.get(session_id)
    }

    #[inline]
    fn push(&mut self, kind: Kind, session_id: u64, payload: &[u8]) -> bool {
        let link = match self.here {
            Some((id, link)) if id == session_id => Some(link),
            _ => self.sessions.link_of(session_id),
        };
        let sent = link.is_some_and(|link| self.push_to(link, kind, session_id, payload));
        self.counts.undelivered += u64::from(!sent);
        sent
    }

    #[inline]
    fn push_to(&mut self, link: LinkId, kind: Kind, session_id: u64, payload: &[u8]) -> bool {
        let Some(slot) = self.links.get_mut(link) else {
            return false;
        };
        slot.push(kind, session_id, payload);
        if self.here.is_none_or(|(_, here)| here != link) {
            slot.wake.notify_one();
        }
        !slot.overflowed
    }
}

/// The payload of a CLOSE.
pub(super) fn notice(code: Code, text: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    Notice {
        code,
        retry_after_ms: 0,
        text,
    }
    .encode(&mut payload);
    payload
}
