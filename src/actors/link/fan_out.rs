//! A MULTICAST that becomes much: passed on in parts, each where there is room for what it becomes.
//!
//! It stays at the front of the inbox until all that it names have got it, and frames behind it wait.

use std::time::Instant;

use actix::prelude::*;
use bytes::Buf;

use super::Link;
use super::frames::PARTS;
use super::inbound::MESSAGE_BYTES;
use super::memory::{LEAST_READ, PATIENCE};
use super::strays::{Strangers, Strays, recipients};
use crate::actors::session_registry::UnderWay;
use crate::codec::Decoded;
use crate::codec::link::{self, Multicast};
use crate::memory::{Held, Part};
use crate::net::outbox::{Slice, VECTORED_BYTES};
use crate::session::link::LinkEnd;

/// Those of one part that the link does not carry: as many as may be under way to other workers.
const STRANGERS_A_PART: usize = UnderWay::MOST;

/// How far it has got.
#[derive(Debug)]
pub(super) enum FanOut {
    /// There is no room for a copy of its ids and its payload.
    Waiting { since: Instant },
    /// Those from `next` on have not got it.
    Named {
        ids: Vec<u64>,
        next: usize,
        shared: Option<Slice>,
        _held: Held,
    },
}

impl Link {
    /// Passes the MULTICAST at the inbox's front on, as far as there is room. Returns true if that is done.
    ///
    /// # Errors
    /// It is malformed, or there has been no room for a copy of it for long.
    pub(super) fn fan_out(&mut self, ctx: &mut Context<Self>) -> Result<bool, LinkEnd> {
        let inbox = std::mem::take(&mut self.inbox);
        let result = match link::decode(&inbox, u32::MAX) {
            Ok(Decoded::Frame(frame, used)) => match Multicast::decode(frame.payload) {
                Ok(multicast) => self.fan_out_of(&multicast, ctx).map(|done| (done, used)),
                Err(error) => Err(self.protocol_error(error)),
            },
            Ok(Decoded::Need(_)) => Ok((true, 0)),
            Err(error) => Err(self.protocol_error(error)),
        };
        self.inbox = inbox;
        let (done, used) = result?;
        if done {
            self.fan_out = None;
            self.inbox.advance(used);
            self.counts.frames_in.one();
            self.gauge.carried.frames_in.one();
        } else {
            self.rest_for_a_while(ctx);
        }
        Ok(done)
    }

    fn fan_out_of(
        &mut self,
        multicast: &Multicast<'_>,
        ctx: &mut Context<Self>,
    ) -> Result<bool, LinkEnd> {
        let fan_out = match self.fan_out.take() {
            Some(FanOut::Waiting { since }) => self.begin(multicast, since),
            None => self.begin(multicast, Instant::now()),
            Some(named) => named,
        };
        let (ids, mut next, shared, held) = match fan_out {
            FanOut::Waiting { since } if since.elapsed() >= PATIENCE => {
                return Err(LinkEnd::ShortOfMemory);
            }
            FanOut::Waiting { .. } => {
                self.fan_out = Some(fan_out);
                return Ok(false);
            }
            FanOut::Named {
                ids,
                next,
                shared,
                _held,
            } => (ids, next, shared, _held),
        };
        // Each that nobody takes is answered, and the backend may not read that.
        while next < ids.len()
            && !self.is_behind()
            && let Some(most) = PARTS
                .into_iter()
                .find(|most| self.scope.meter.admits(*most))
        {
            self.pause = None;
            next += self.pass_part(&ids[next..], multicast.payload, shared.as_ref(), most, ctx);
        }
        let done = next == ids.len();
        if !done {
            self.fan_out = Some(FanOut::Named {
                ids,
                next,
                shared,
                _held: held,
            });
        }
        Ok(done)
    }

    /// Copies the ids and the payload, if there is room.
    fn begin(&self, multicast: &Multicast<'_>, since: Instant) -> FanOut {
        let payload = multicast.payload;
        let large = payload.len() >= VECTORED_BYTES;
        let copied = if large { payload.len() } else { 0 };
        let bytes = multicast.count() * size_of::<u64>();
        if !self.scope.meter.admits(bytes + copied) {
            return FanOut::Waiting { since };
        }
        let ids = recipients(multicast).into_vec();
        let recipients = &self.scope.metrics.multicast_recipients;
        recipients.add(ids.len() as u64);
        FanOut::Named {
            _held: Held::new(Part::Multicast, bytes),
            ids,
            next: 0,
            shared: large.then(|| Slice::for_many(payload)),
        }
    }

    /// Passes the payload on to the first ones of `ids`, as many as `most` bytes suffice for; returns how many.
    fn pass_part(
        &mut self,
        ids: &[u64],
        payload: &[u8],
        shared: Option<&Slice>,
        most: usize,
        ctx: &Context<Self>,
    ) -> usize {
        let each = self.cost_of_one(payload.len());
        let (mut left, mut passed, mut strange) = (most, 0, 0);
        let (mut strangers, mut strays) = (Strangers::default(), Strays::default());
        for id in ids {
            if strange == STRANGERS_A_PART {
                break;
            }
            let Some(rest) = left.checked_sub(each) else {
                break;
            };
            left = match self.pass_data(*id, payload, shared.cloned()) {
                Ok(()) => rest,
                Err(_) => {
                    self.add_stranger(&mut strangers, *id);
                    strange += 1;
                    left - size_of::<u64>() * 2
                }
            };
            passed += 1;
        }
        self.add_strays(strangers, &mut shared.cloned(), payload, &mut strays);
        self.deliver_gathered();
        self.count_first_answers();
        self.relay(strays, ctx);
        passed
    }
}

/// The least part suffices for a message to each worker and for one frame that is copied.
const _: () = assert!(LEAST_READ > 2 * VECTORED_BYTES + 16 * MESSAGE_BYTES);
