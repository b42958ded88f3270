//! The words of a service, as frames in the outboxes of links.

use std::collections::BTreeMap;

use super::links::Links;
use super::sessions::{LinkId, Sessions};
use super::{Counts, SessionInfo};
use crate::codec::code::{Code, Notice};
use crate::codec::link::{Assign, Bind, Kind, Multicast, Transfer};

/// The side of a backend that a [`Service`](super::Service) speaks to. Frames leave in the order said,
/// all together when the service has seen everything that one read brought.
#[derive(Debug)]
pub struct Replies<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) links: &'a mut Links,
    pub(super) counts: &'a mut Counts,
    /// The session that is being served, and its link: no look-up for it.
    pub(super) here: Option<(u64, LinkId)>,
    /// Sessions that the service closed; the caller takes them out of the table.
    pub(super) closed: &'a mut Vec<u64>,
}

impl Replies<'_> {
    /// Sends DATA to a session, by its id alone. Returns false where it is unknown or has no link: then
    /// nothing is sent, and it is counted.
    #[inline]
    pub fn send(&mut self, session_id: u64, payload: &[u8]) -> bool {
        let sent = self.push(Kind::Data, session_id, payload);
        self.counts.data_out += u64::from(sent);
        sent
    }

    /// Binds a session to a user and a realm; 0 leaves that one as it is. Returns false where
    /// [`send`](Self::send) would.
    pub fn bind(&mut self, session_id: u64, user_id: u64, realm_id: u32) -> bool {
        let bind = Bind { user_id, realm_id };
        self.push(Kind::Bind, session_id, &bind.encode())
    }

    /// Ends a session. Returns false where [`send`](Self::send) would.
    pub fn close(&mut self, session_id: u64, code: Code, text: &str) -> bool {
        let sent = self.push(Kind::Close, session_id, &notice(code, text));
        self.closed.push(session_id);
        sent
    }

    /// Says where a service of this session goes from now on (protocol 2.5); [`moved`](super::Service::moved) tells how that
    /// ended. Returns false where [`send`](Self::send) would.
    pub fn assign(&mut self, session_id: u64, service: &str, endpoint: &str) -> bool {
        let mut payload = Vec::new();
        Assign { service, endpoint }.encode(&mut payload);
        self.push(Kind::Assign, session_id, &payload)
    }

    /// Asks to have this session taken to another backend, by the rules where `endpoint` is empty;
    /// [`on_transfer`](super::Service::on_transfer) and [`departed`](super::Service::departed) follow, or
    /// [`moved`](super::Service::moved) says why not. Returns false where [`send`](Self::send) would.
    pub fn transfer(&mut self, session_id: u64, endpoint: &str) -> bool {
        let mut payload = Vec::new();
        Transfer { endpoint }.encode(&mut payload);
        self.push(Kind::Transfer, session_id, &payload)
    }

    /// Sends the same DATA to many sessions, one frame a link. Returns the number of
    /// sessions that it went to.
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

    /// Looks up a session.
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
        self.links.push(link, kind, session_id, payload)
    }
}

/// Encodes the payload of a CLOSE.
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
