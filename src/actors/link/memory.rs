//! The memory that a link holds, and what it does when memory is short.
//!
//! Hot path: [`Link::count_memory`] runs behind every poll, [`Link::must_pause`] before every read.

use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::BytesMut;

use super::Link;
use super::inbound::READ_BYTES;
use crate::codec::buffers::{self, SCRATCH_BYTES};
use crate::memory::Pressure;
use crate::net::socket::Socket;
use crate::session::link::LinkEnd;
use crate::supervision::Receive;

/// A backend that reads leaves no larger queue behind, in bytes.
const LARGE_QUEUE: usize = SCRATCH_BYTES;
/// Only a large frame needs more room, in bytes.
pub(super) const LARGE_INBOX: usize = 2 * SCRATCH_BYTES;
/// Bytes of a read where there is no room for more.
pub(super) const LEAST_READ: usize = 8 * 1024;
/// Time between two looks at whether there is room for more.
const PAUSE: Duration = Duration::from_millis(50);
/// Time in which others may give back what a large frame needs, before its link has to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The link ends if it still holds much, for memory is short.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct GiveWay;

/// A pause in reading.
#[derive(Debug)]
pub(super) struct Pause {
    since: Instant,
    /// A timer brings the next look.
    is_timed: bool,
}

impl Link {
    /// Counts what the link holds.
    #[inline]
    pub(super) fn count_memory(&mut self) {
        // What lies in the mailbox is counted there.
        let refused = self.refused.capacity() * size_of::<u64>();
        self.held_queue.set(self.outbox.held() + refused);
        let socket = self.socket.as_ref().map_or(0, Socket::buffers);
        self.held_input.set(self.inbox.capacity() + socket);
        if let Some(evictable) = &self.evictable {
            evictable.set(self.wanted_back());
        }
    }

    /// Bytes that would come back if the link ended: a large queue, and a large frame whose rest has waited for
    /// long.
    fn wanted_back(&self) -> usize {
        let queue = Some(self.outbox.held()).filter(|bytes| *bytes > LARGE_QUEUE);
        let waited = |pause: &Pause| pause.since.elapsed() >= PATIENCE;
        let inbox = Some(self.inbox.capacity()).filter(|bytes| *bytes > LARGE_INBOX);
        let inbox = inbox.filter(|_| self.pause.as_ref().is_some_and(waited));
        queue.unwrap_or(0) + inbox.unwrap_or(0)
    }

    /// Tells whether the rest of a large frame must wait, while queues are ended for want of memory.
    #[inline]
    pub(super) fn must_pause(&mut self, ctx: &mut Context<Self>) -> bool {
        self.inbox.capacity() > LARGE_INBOX && self.look_at_pause(ctx)
    }

    #[cold]
    fn look_at_pause(&mut self, ctx: &mut Context<Self>) -> bool {
        // Not by the pressure, which stays where nothing more is taken back: nobody would end the pause.
        if !self.scope.meter.is_over(Pressure::Queues) {
            self.pause = None;
            return false;
        }
        self.rest_for_a_while(ctx);
        true
    }

    /// Has the socket looked at again in a while.
    pub(super) fn rest_for_a_while(&mut self, ctx: &mut Context<Self>) {
        let since = Instant::now();
        let pause = self.pause.get_or_insert(Pause {
            since,
            is_timed: false,
        });
        if !pause.is_timed {
            pause.is_timed = true;
            ctx.run_later(PAUSE, |link, ctx| {
                if let Some(pause) = &mut link.pause {
                    pause.is_timed = false;
                }
                // The socket was looked at before this ran, and would not be again: something new in the actor
                // has it looked at once more.
                ctx.spawn(actix::fut::ready(()));
            });
        }
    }

    /// Makes room in the inbox for `wanted` bytes more, or as many as there is memory for. Returns false where the
    /// backend must wait.
    #[inline]
    pub(super) fn reserve(&mut self, wanted: usize, ctx: &mut Context<Self>) -> bool {
        let has = self.inbox.capacity();
        // It doubles: for the last bytes of a large frame that is much more than they are.
        let is_large = has > LARGE_INBOX && has - self.inbox.len() < wanted;
        if wanted > READ_BYTES || is_large || self.scope.meter.is_scarce() {
            return self.reserve_asking(wanted, ctx);
        }
        self.inbox.reserve(wanted);
        if self.inbox.capacity() != has {
            // Before it is decided whether there is room for what comes.
            self.count_memory();
        }
        true
    }

    #[cold]
    fn reserve_asking(&mut self, wanted: usize, ctx: &mut Context<Self>) -> bool {
        let meter = &self.scope.meter;
        if wanted > READ_BYTES && meter.admits(wanted) {
            if meter.is_scarce() || wanted < self.inbox.capacity() {
                buffers::grow_exactly(&mut self.inbox, wanted);
            } else {
                // Little more than that, and the allocator may need no copy.
                self.inbox.reserve(wanted);
            }
            self.count_memory();
            self.pause = None;
            return true;
        }
        let steps = [READ_BYTES, LEAST_READ].map(|step| step.min(wanted));
        // What comes is held here, and then in players' queues.
        let Some(step) = steps.into_iter().find(|step| meter.admits(3 * step)) else {
            self.rest_for_a_while(ctx);
            return false;
        };
        buffers::grow_exactly(&mut self.inbox, step);
        // Before anything else is asked for.
        self.count_memory();
        self.pause = None;
        true
    }

    /// Gives back an empty inbox while memory is scarce.
    #[inline]
    pub(super) fn rests(&mut self) {
        if self.inbox.is_empty() && self.scope.meter.is_scarce() {
            self.inbox = BytesMut::new();
        }
    }
}

impl Receive<GiveWay> for Link {
    type Result = ();

    fn receive(&mut self, _: GiveWay, ctx: &mut Context<Self>) {
        let bytes = self.wanted_back();
        if bytes > 0 {
            tracing::warn!(service = %self.service, endpoint = %self.endpoint, bytes,
                "memory is short, and the link holds much of it: it is lost");
            self.end(LinkEnd::ShortOfMemory, ctx);
        }
    }
}
