//! The links of a backend, and the bytes that wait to be written to each.

use std::sync::Arc;

use slab::Slab;

use super::sessions::LinkId;
use crate::codec::link::{self, Kind};

/// Bytes that may wait to be written to one link; beyond it the link is dropped, for its gateway does
/// not read.
pub const MAX_OUTBOX_BYTES: usize = 64 << 20;

/// The content of a link's HELLO.
#[derive(Debug, Clone)]
pub(super) struct Greeting {
    pub(super) gateway_id: Arc<str>,
    /// Index of the service in the backend's list.
    pub(super) service: usize,
    pub(super) resume_window_ms: u64,
    /// 0: not told.
    pub(super) ping_interval_ms: u64,
    /// FEATURES is sent.
    pub(super) features_told: bool,
    /// PINGs of this side that the gateway has not answered yet.
    pub(super) unanswered: u32,
}

#[derive(Debug, Default)]
struct Slot {
    greeting: Option<Greeting>,
    outbox: Vec<u8>,
    /// More was said than [`MAX_OUTBOX_BYTES`].
    overflowed: bool,
    /// The link is in the list of those that have something to write.
    ready: bool,
}

#[derive(Debug, Default)]
pub(super) struct Links {
    slots: Slab<Slot>,
    ready: Vec<LinkId>,
}

impl Links {
    pub(super) fn insert(&mut self) -> LinkId {
        self.slots.insert(Slot::default())
    }

    /// Takes a link out; returns its greeting, none where there was none.
    pub(super) fn remove(&mut self, link: LinkId) -> Option<Greeting> {
        let slot = self.slots.try_remove(link)?;
        if slot.ready {
            self.ready.retain(|ready| *ready != link);
        }
        slot.greeting
    }

    pub(super) fn greet(&mut self, link: LinkId, greeting: Greeting) {
        if let Some(slot) = self.slots.get_mut(link) {
            slot.greeting = Some(greeting);
        }
    }

    pub(super) fn greeting(&self, link: LinkId) -> Option<&Greeting> {
        self.slots.get(link)?.greeting.as_ref()
    }

    /// Tells whether FEATURES is still to be sent, and takes note that it is.
    pub(super) fn owes_features(&mut self, link: LinkId) -> bool {
        let greeting = self
            .slots
            .get_mut(link)
            .and_then(|slot| slot.greeting.as_mut());
        greeting.is_some_and(|greeting| !std::mem::replace(&mut greeting.features_told, true))
    }

    /// Sends a PING on every link whose HELLO was taken.
    pub(super) fn ping_all(&mut self) {
        let greeted: Vec<LinkId> = self.greeted().map(|(link, _)| link).collect();
        for link in greeted {
            if let Some(greeting) = self.slots[link].greeting.as_mut() {
                greeting.unanswered += 1;
            }
            self.push(link, Kind::Ping, 0, &[]);
        }
    }

    /// Takes a PONG.
    pub(super) fn answered(&mut self, link: LinkId) {
        let slot = self.slots.get_mut(link);
        if let Some(greeting) = slot.and_then(|slot| slot.greeting.as_mut()) {
            greeting.unanswered = greeting.unanswered.saturating_sub(1);
        }
    }

    /// Tells whether no PING is unanswered.
    pub(super) fn all_have_answered(&self) -> bool {
        self.greeted().all(|(_, greeting)| greeting.unanswered == 0)
    }

    /// Lists the links whose HELLO was taken.
    pub(super) fn greeted(&self) -> impl Iterator<Item = (LinkId, &Greeting)> {
        self.slots
            .iter()
            .filter_map(|(link, slot)| Some((link, slot.greeting.as_ref()?)))
    }

    pub(super) fn overflowed(&self, link: LinkId) -> bool {
        self.slots.get(link).is_some_and(|slot| slot.overflowed)
    }

    /// Queues one whole frame. Returns false where there is no such link, or no room: then the link is
    /// marked as overflowed.
    #[inline]
    pub(super) fn push(
        &mut self,
        link: LinkId,
        kind: Kind,
        session_id: u64,
        payload: &[u8],
    ) -> bool {
        let Some(slot) = self.slots.get_mut(link) else {
            return false;
        };
        if slot.outbox.len() + payload.len() > MAX_OUTBOX_BYTES {
            slot.overflowed = true;
        } else {
            link::encode(&mut slot.outbox, kind, session_id, payload);
        }
        if !slot.ready {
            slot.ready = true;
            self.ready.push(link);
        }
        !slot.overflowed
    }

    /// Takes a link out of the list of those that have something to write.
    pub(super) fn next_ready(&mut self) -> Option<LinkId> {
        let link = self.ready.pop()?;
        if let Some(slot) = self.slots.get_mut(link) {
            slot.ready = false;
        }
        Some(link)
    }

    /// Swaps a link's outbox with an empty buffer.
    pub(super) fn take_output(&mut self, link: LinkId, into: &mut Vec<u8>) {
        if let Some(slot) = self.slots.get_mut(link) {
            std::mem::swap(&mut slot.outbox, into);
        }
    }
}

#[test]
fn every_gateway_whose_link_stands_must_answer() {
    let mut links = Links::default();
    let greeted = |links: &mut Links| {
        let greeting = Greeting {
            gateway_id: "a".into(),
            service: 0,
            resume_window_ms: 0,
            ping_interval_ms: 0,
            features_told: false,
            unanswered: 0,
        };
        let link = links.insert();
        links.greet(link, greeting);
        link
    };
    let (one, other) = (greeted(&mut links), greeted(&mut links));
    links.ping_all();
    links.ping_all();
    // One who comes later was asked nothing, nor was one without HELLO.
    let (late, silent) = (greeted(&mut links), links.insert());
    for link in [late, silent, one, one, one] {
        assert!(!links.all_have_answered());
        // One too many is nobody else's answer.
        links.answered(link);
    }
    assert!(!links.all_have_answered());
    links.remove(other);
    assert!(links.all_have_answered());
}
