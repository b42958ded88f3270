//! Frames for sessions that this link does not carry, MULTICAST, and CLOSE 421 to what nobody takes.
//!
//! What a backend brings about here is bounded by what it has sent: a session is named once, ids travel as
//! ids beside one payload, and a CLOSE 421 is made when the backend has read those before it.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::prelude::*;
use smallvec::SmallVec;

use super::Link;
use crate::actors::session_registry::{Relay, Relayed, Stray, StrayFrame};
use crate::codec::code::Code;
use crate::codec::link::Multicast;
use crate::memory::{Held, Part};
use crate::net::outbox::{Slice, VECTORED_BYTES};
use crate::session::id::Homes;

/// Frames of one read for sessions that the link does not carry, each with the session's home.
#[derive(Debug, Default)]
pub(super) struct Strays(Vec<(usize, Relayed)>);

/// Ids of one MULTICAST that the link does not carry, by their homes.
pub(super) type Strangers = Vec<Vec<u64>>;

impl Strays {
    pub(super) fn push(&mut self, homes: &Homes, session_id: u64, frame: StrayFrame) {
        let stray = Stray { session_id, frame };
        self.0.push((homes.home(session_id), Relayed::One(stray)));
    }
}

impl Link {
    pub(super) fn take_multicast(&mut self, multicast: &Multicast<'_>, strays: &mut Strays) {
        // Copied once for all where it is large, once for each where that is cheaper.
        let payload = multicast.payload;
        let large = payload.len() >= VECTORED_BYTES;
        let mut shared = large.then(|| Slice::for_many(payload));
        let ids = recipients(multicast);
        let recipients = ids.len() as u64;
        let mut strangers = Strangers::default();
        for id in ids {
            if self.pass_data(id, payload, shared.clone()).is_err() {
                self.add_stranger(&mut strangers, id);
            }
        }
        self.add_strays(strangers, &mut shared, payload, strays);
        self.scope.metrics.multicast_recipients.add(recipients);
    }

    /// Adds an id that the link does not carry.
    pub(super) fn add_stranger(&self, strangers: &mut Strangers, id: u64) {
        let homes = self.shards.homes();
        strangers.resize_with(self.shards.seats().len(), Vec::new);
        strangers[homes.home(id)].push(id);
    }

    /// Has the payload of a MULTICAST passed on to those whom the link does not carry.
    pub(super) fn add_strays(
        &self,
        strangers: Strangers,
        shared: &mut Option<Slice>,
        payload: &[u8],
        strays: &mut Strays,
    ) {
        for (home, session_ids) in strangers.into_iter().enumerate() {
            if !session_ids.is_empty() {
                let payload = shared.get_or_insert_with(|| Slice::for_many(payload));
                let many = Relayed::Many {
                    session_ids,
                    payload: payload.clone(),
                };
                strays.0.push((home, many));
            }
        }
    }

    /// Has those told by CLOSE 421 that the gateway does not have again since they left a lost link.
    pub(super) fn relay_left(&mut self, session_ids: Vec<u64>, ctx: &Context<Self>) {
        let mut strays = Strays::default();
        for session_id in session_ids {
            strays.push(self.shards.homes(), session_id, StrayFrame::Left);
        }
        self.relay(strays, ctx);
    }

    /// Passes frames for sessions that this link does not carry on to the shards at which these are
    /// at home.
    pub(super) fn relay(&mut self, strays: Strays, ctx: &Context<Self>) {
        if strays.0.is_empty() {
            return;
        }
        let mut by_home: Vec<Vec<Relayed>> = Vec::new();
        by_home.resize_with(self.shards.seats().len(), Vec::new);
        for (home, stray) in strays.0 {
            self.scope.metrics.relayed.add(stray.recipients());
            by_home[home].push(stray);
        }
        for (registry, strays) in self.shards.seats().iter().zip(by_home) {
            if !strays.is_empty() {
                let bytes = strays.iter().map(Relayed::bytes).sum();
                let counted = strays.iter().map(Relayed::recipients).sum::<u64>() as usize;
                self.under_way.begin(counted);
                // What nobody takes is counted when it is dropped.
                registry.do_send(Relay {
                    service: self.service.clone(),
                    from: self.endpoint,
                    strays,
                    origin: self.registration.address(ctx).recipient(),
                    held: Held::new(Part::Relayed, bytes),
                    under_way: Arc::clone(&self.under_way),
                    counted,
                    metrics: Arc::clone(&self.scope.metrics),
                });
            }
        }
    }

    /// Queues CLOSE 421 for sessions that nobody takes frames for, as far as the backend reads them.
    pub(super) fn answer_refused(&mut self) {
        while self.may_answer()
            && let Some(session_id) = self.refused.pop_front()
        {
            // Opened here since: 421 behind that OPEN would suspend it.
            if self.sessions.get(session_id).is_none() {
                let before = self.outbox.queued();
                self.enqueue_close(session_id, Code::NOT_HERE);
                // All of it: what is written is taken off again.
                self.answers += self.outbox.queued() - before;
            }
        }
        if self.refused.is_empty() {
            self.refused = VecDeque::new();
        }
    }
}

/// The sessions that a MULTICAST names, each once: "one DATA" is what each of them gets.
pub(super) fn recipients(multicast: &Multicast<'_>) -> SmallVec<[u64; 16]> {
    let mut ids: SmallVec<[u64; 16]> = multicast.sessions().collect();
    if !ids.is_sorted_by(|one, next| one < next) {
        ids.sort_unstable();
        ids.dedup();
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multicast_names_each_session_once() {
        let named = |ids: &[u64]| {
            let mut payload = Vec::new();
            Multicast::encode(&mut payload, ids, b"x");
            let multicast = Multicast::decode(&payload).unwrap();
            recipients(&multicast).to_vec()
        };
        assert!(named(&[]).is_empty());
        assert_eq!(named(&[3, 1, 3, 2, 1]), [1, 2, 3]);
        assert_eq!(named(&[1, 2, 2, 3]), [1, 2, 3]);
        assert_eq!(named(&[7; 1000]), [7]);
    }
}
