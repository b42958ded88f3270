//! The frames of a read: as many as there is memory for what becomes of them.
//!
//! What a backend sends takes more memory on its way to players than it has taken in the read, the more the smaller
//! its frames are: each gets a header, and each player a message. So room is asked for that, once a read, where it
//! may be much or memory is scarce; frames for which there is none wait in the inbox, and the link is not read.
//!
//! Hot path.

use std::time::Instant;

use actix::prelude::*;
use bytes::{Buf, Bytes, BytesMut};

use super::Link;
use super::inbound::{MESSAGE_BYTES, READ_BYTES, deliver};
use super::memory::{LARGE_INBOX, LEAST_READ};
use super::strays::Strays;
use super::times::last_data;
use crate::codec::Decoded;
use crate::codec::buffers;
use crate::codec::client;
use crate::codec::link::{self, Frame, FrameError, Kind, Multicast};
use crate::net::outbox::{Slice, VECTORED_BYTES};
use crate::session::link::LinkEnd;

/// Bytes that frames of one read may become unasked while memory is not scarce.
const UNASKED: usize = 2 * READ_BYTES;
/// Bytes that frames may become which are passed on at once, where there is room for as many.
pub(super) const PARTS: [usize; 3] = [1024 * 1024, READ_BYTES, LEAST_READ];
/// Frames other than DATA that are handled in one turn: each is a message of its own to a client, and thousands
/// fit into one read. A MULTICAST is one more for every 16 that it names.
const OTHERS_A_TURN: usize = 64;
/// A place in a player's queue, or one on the way to another worker.
const PLACE_BYTES: usize = 96;

/// Whole frames at the front of the inbox.
#[derive(Debug, Clone, Copy, Default)]
struct Whole {
    /// Where they end.
    end: usize,
    frames: u64,
    /// One of them has a payload that is not copied.
    large: bool,
    /// Bytes of memory that they may take on their way.
    cost: usize,
    /// Those of them that are not DATA, as they count for a turn.
    others: usize,
    /// Another whole one follows.
    more: bool,
    broken: Option<FrameError>,
}

impl Whole {
    /// Tells whether these are enough for one turn.
    fn is_turn(&self) -> bool {
        self.others >= OTHERS_A_TURN
    }
}

impl Link {
    /// Bytes of memory that a frame with such a payload may take on its way to a player.
    #[inline]
    pub(super) fn cost_of_one(&self, payload: usize) -> usize {
        let copied = if payload < VECTORED_BYTES { payload } else { 0 };
        // The buffer that it is gathered in doubles.
        MESSAGE_BYTES + PLACE_BYTES + 2 * (client::HEADER_LEN + self.service.len() + copied)
    }

    /// Looks at whole frames, as many as may cost `most` bytes.
    #[inline]
    fn whole_frames(&self, most: usize) -> Whole {
        let limit = self.scope.config.backend.max_link_payload;
        let mut whole = Whole::default();
        loop {
            match link::decode(&self.inbox[whole.end..], limit) {
                Ok(Decoded::Frame(frame, used)) => {
                    let (cost, other) = match frame.kind == Kind::Data as u8 {
                        true => (self.cost_of_one(frame.payload.len()), 0),
                        false => self.cost_of_other(&frame),
                    };
                    let cost = whole.cost.saturating_add(cost);
                    if cost > most || other > 0 && whole.is_turn() {
                        whole.more = true;
                        return whole;
                    }
                    whole.others += other;
                    whole.large |= frame.payload.len() >= VECTORED_BYTES;
                    whole.cost = cost;
                    whole.end += used;
                    whole.frames += 1;
                }
                Ok(Decoded::Need(_)) => return whole,
                Err(error) => {
                    whole.broken = Some(error);
                    return whole;
                }
            }
        }
    }

    /// The same for a frame that is not DATA, and how many it is for a turn.
    #[cold]
    fn cost_of_other(&self, frame: &Frame<'_>) -> (usize, usize) {
        if frame.kind != Kind::Multicast as u8 {
            // Texts, names and states are copied: a state for the session, into its OPEN, and into the queue of the
            // new backend, which doubles.
            let copies = if frame.kind == Kind::Close as u8 {
                4
            } else {
                1
            };
            return (
                self.cost_of_one(0) + copies * frame.payload.len().min(READ_BYTES),
                1,
            );
        }
        // One that is malformed is said to be so when it is taken.
        Multicast::decode(frame.payload).map_or((0, 1), |multicast| {
            let each = self.cost_of_one(multicast.payload.len());
            let all = multicast.count().saturating_mul(each);
            (
                all.saturating_add(multicast.payload.len()),
                1 + multicast.count() / 16,
            )
        })
    }

    fn begins_with_multicast(&self) -> bool {
        let frame = link::decode(&self.inbox, u32::MAX);
        matches!(frame, Ok(Decoded::Frame(frame, _)) if frame.kind == Kind::Multicast as u8)
    }

    /// Handles whole frames of the inbox and leaves the rest in it. Returns false where whole ones are left, for which
    /// there is no room; `lacks_room` without that: the rest is for the next turn.
    /// `sampled`: when they came, where one of them is to be timed.
    pub(super) fn take_frames(
        &mut self,
        sampled: Option<Instant>,
        ctx: &mut Context<Self>,
    ) -> Result<bool, LinkEnd> {
        self.lacks_room = false;
        loop {
            if self.fan_out.is_some() && !self.fan_out(ctx)? {
                self.lacks_room = true;
                return Ok(false);
            }
            let mut whole = self.whole_frames(usize::MAX);
            if whole.cost > UNASKED || self.scope.meter.is_scarce() {
                match self.ask_for_room(whole, ctx)? {
                    Some(admitted) => whole = admitted,
                    None if self.lacks_room => return Ok(false),
                    None => continue,
                }
            }
            self.pass_on(whole, sampled, ctx)
                .map_err(|error| self.protocol_error(error))?;
            if !whole.more {
                return Ok(true);
            }
            if whole.is_turn() {
                self.lacks_room = true;
                return Ok(true);
            }
        }
    }

    /// Returns as many of the frames as there is room for. `None`: a MULTICAST was passed on instead of them, as far as
    /// there was room, or there is none.
    #[cold]
    fn ask_for_room(
        &mut self,
        whole: Whole,
        ctx: &mut Context<Self>,
    ) -> Result<Option<Whole>, LinkEnd> {
        let meter = &self.scope.meter;
        if meter.is_scarce() {
            // What comes from the pool is not asked for.
            buffers::pool(false);
        }
        let fits = |step: &usize| meter.admits(whole.cost.min(*step));
        let admitted = PARTS
            .into_iter()
            .find(fits)
            .map(|step| match whole.cost <= step {
                true => whole,
                false => self.whole_frames(step),
            });
        match admitted {
            Some(admitted) if admitted.frames > 0 || !admitted.more => Ok(Some(admitted)),
            Some(_) if self.begins_with_multicast() => {
                self.lacks_room = !self.fan_out(ctx)?;
                Ok(None)
            }
            _ => {
                self.lacks_room = true;
                self.rest_for_a_while(ctx);
                Ok(None)
            }
        }
    }

    /// Handles these frames.
    fn pass_on(
        &mut self,
        whole: Whole,
        sampled: Option<Instant>,
        ctx: &mut Context<Self>,
    ) -> Result<(), FrameError> {
        let end = whole.end;
        let timed = sampled.and_then(|read_at| Some((read_at, last_data(&self.inbox[..end])?)));
        self.counts.frames_in.add(whole.frames);
        self.gauge.carried.frames_in.add(whole.frames);
        let result = if whole.large {
            // What the inbox gives back is players', or on its way to another worker, when this is over.
            let meter = std::sync::Arc::clone(&self.scope.meter);
            meter.exchange(|| self.hand_over(whole, ctx))
        } else {
            self.hand_over(whole, ctx)
        };
        self.count_first_answers();
        if let Some((read_at, session_id)) = timed {
            self.time_frame(session_id, read_at);
        }
        self.evacuate(ctx);
        result.and(whole.broken.map_or(Ok(()), Err))
    }

    /// Hands these frames to clients, and to the shards of sessions that the link does not carry.
    #[inline]
    fn hand_over(&mut self, whole: Whole, ctx: &Context<Self>) -> Result<(), FrameError> {
        let mut strays = Strays::default();
        let result = if whole.large {
            self.take_shared(whole.end, &mut strays)
        } else {
            let inbox = std::mem::take(&mut self.inbox);
            let result = self.take_chunk(&inbox[..whole.end], None, &mut strays);
            self.inbox = inbox;
            self.inbox.advance(whole.end);
            result
        };
        self.deliver_gathered();
        self.relay(strays, ctx);
        result
    }

    /// Tells clients what has been gathered for them.
    pub(super) fn deliver_gathered(&mut self) {
        let scope = &self.scope;
        self.sessions
            .deliver(|attached| deliver(attached, None, scope));
    }

    /// Handles frames up to `end` whose large payloads are written from here rather than copied.
    fn take_shared(&mut self, end: usize, strays: &mut Strays) -> Result<(), FrameError> {
        let buffer = self.inbox.capacity();
        let chunk = self.inbox.split_to(end).freeze();
        if self.inbox.capacity() > LARGE_INBOX && self.inbox.len() <= READ_BYTES {
            // The rest of a large frame's buffer would stay, whatever comes from now on.
            self.inbox = BytesMut::from(&self.inbox[..]);
        }
        if buffer > LARGE_INBOX {
            // It is players' from now on.
            self.count_memory();
        }
        self.take_chunk(&chunk, Some((&chunk, buffer)), strays)
    }

    /// Handles whole frames. `shared`: the same bytes, and the size of the buffer that they lie in.
    fn take_chunk(
        &mut self,
        chunk: &[u8],
        shared: Option<(&Bytes, usize)>,
        strays: &mut Strays,
    ) -> Result<(), FrameError> {
        let mut at = 0;
        while let Ok(Decoded::Frame(frame, used)) = link::decode(&chunk[at..], u32::MAX) {
            at += used;
            let large = (frame.payload.len() >= VECTORED_BYTES).then_some(());
            let tail = large.and(shared).map(|(chunk, buffer)| {
                let payload = chunk.slice(at - frame.payload.len()..at);
                Slice::new(payload, buffer)
            });
            self.take_frame(&frame, tail, strays)?;
        }
        Ok(())
    }
}
