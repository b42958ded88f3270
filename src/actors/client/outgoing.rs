//! Frames on their way to the client.
//!
//! Hot path: what a link delivers is kept for a resume where there may be one, and queued.

use std::net::SocketAddr;
use std::task::{Context as TaskContext, Waker};
use std::time::Instant;

use super::{Client, Connection, stats};
use crate::actors::session_registry::{MoveWish, StrayFrame, Strayed, StraysRefused};
use crate::codec::buffers;
use crate::codec::client::{self, FLAG_GAP, Header, Kind, Opened};
use crate::codec::code::Code;
use crate::metrics::{DropReason, Sample};
use crate::net::outbox::{Slice, VECTORED_BYTES};
use crate::session::closing::Closing;
use crate::session::core::{MoveAnswer, OpenedFrame};
use crate::supervision::Pumped;
use crate::traces::{Direction, Fate};

impl Client {
    /// Takes a backend's DATA: `frames` whole frames for the client.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        head: Vec<u8>,
        tail: Option<Slice>,
        frames: u32,
        ctx: &mut Pumped<Self>,
    ) {
        if self.core.owes_opened() {
            // The backend was quicker than the news of its link.
            self.at_core(ctx, |core, step| core.announce(step));
        }
        if self.shared.scope.meter.is_scarce() {
            self.bound_ring(head.len() + tail.as_deref().map_or(0, <[u8]>::len));
        }
        let sends = self
            .core
            .keep(&head, tail.as_deref().unwrap_or_default(), frames);
        self.count_replay();
        if self.stats.is_watched() {
            self.watch_delivery(&head, sends);
        }
        if !sends {
            buffers::give(head);
        } else if !self.send(head, tail, frames) {
            self.close(Closing::TooSlow, ctx);
        }
    }

    #[cold]
    fn watch_delivery(&self, frames: &[u8], sends: bool) {
        if self.stats.is_traced() {
            let fate = if sends { Fate::Sent } else { Fate::Kept };
            self.trace_frames(frames, Direction::ToClient, fate);
        }
        if self.stats.awaits_answer() {
            self.span_first_answer(frames);
        }
    }

    /// Queues a frame of the gateway's own, as [`send`](Self::send) does.
    pub(super) fn send_own(&mut self, frame: Vec<u8>) -> bool {
        if self.stats.is_traced() {
            self.trace_frames(&frame, Direction::ToClient, Fate::Sent);
        }
        self.send(frame, None, 1)
    }

    /// Seals a token and sends OPENED.
    pub(super) fn send_opened(&mut self, opened: &OpenedFrame) -> bool {
        let sealed = opened.token.as_deref();
        let sealed = sealed.map(|token| self.shared.scope.tokens.load().seal(token));
        let payload = Opened {
            received: opened.received,
            idle_timeout_ms: self.shared.limits.idle_timeout as u32,
            token: sealed.as_deref().unwrap_or_default(),
        };
        let header = Header {
            kind: Kind::Opened as u8,
            flags: if opened.gap { FLAG_GAP } else { 0 },
            session_id: opened.session_id,
            ..Header::default()
        };
        let (mut bytes, mut frame) = (Vec::new(), buffers::take());
        payload.encode(&mut bytes);
        client::encode(&mut frame, &header, "", &bytes);
        self.send_own(frame)
    }

    /// Bytes that wait for the client, a single frame over the bound aside.
    fn counted_queue(&self, limit: usize) -> usize {
        self.outbox.queued() - self.outbox.oversized(limit)
    }

    /// Queues whole frames for the client, within the bound; false where it takes too long to take them.
    #[inline]
    pub(super) fn send(&mut self, head: Vec<u8>, tail: Option<Slice>, frames: u32) -> bool {
        let metrics = &self.shared.scope.metrics;
        if !matches!(self.connection, Connection::Frames) {
            metrics
                .dropped
                .add(DropReason::ClientClosing, u64::from(frames));
            return true;
        }
        let bytes = head.len() + tail.as_ref().map_or(0, |tail| tail.len());
        let limit = self.shared.scope.config.session.outbound_queue;
        // A single frame over the bound still fits an empty queue, and what comes behind it has the bound for itself.
        if !self.outbox.is_empty() && self.counted_queue(limit) + bytes > limit {
            let mut cx = TaskContext::from_waker(Waker::noop());
            let _ = self.poll_flush(&mut cx);
            if !self.outbox.is_empty() && self.counted_queue(limit) + bytes > limit {
                let metrics = &self.shared.scope.metrics;
                metrics
                    .dropped
                    .add(DropReason::ClientClosing, u64::from(frames));
                return false;
            }
        }
        let metrics = &self.shared.scope.metrics;
        metrics.client_frames_out.add(u64::from(frames));
        stats::add(&self.stats.frames_out, u64::from(frames));
        stats::add(&self.stats.bytes_out, bytes as u64);
        self.outbox.push(head);
        if let Some(tail) = tail {
            self.outbox.push_shared(tail);
        }
        true
    }

    /// Has the newest frame timed until it is written, where no other one is.
    #[cold]
    pub(super) fn time_frame(&self, read_at: Instant) {
        let queued = self.outbox.queued();
        let under_way = self.shared.sample.get();
        if queued > 0 && under_way.is_none_or(|(_, sample)| sample.is_lost()) {
            let sample = Sample::new(read_at, queued);
            let own = self.stats.client_number;
            self.shared.sample.set(Some((own, sample)));
        }
    }

    /// A backend's frame that came by way of the registry.
    pub(super) fn take_stray(&mut self, msg: Strayed, ctx: &mut Pumped<Self>) {
        if !self.core.uses(msg.stray.session_id, &msg.service, msg.from) {
            let is_move = matches!(msg.stray.frame, StrayFrame::Move(_));
            msg.origin.do_send(StraysRefused {
                session_ids: vec![msg.stray.session_id],
                moved: is_move.then_some(Code::NO_ROUTE),
            });
            return;
        }
        match msg.stray.frame {
            StrayFrame::Data(payload) => {
                self.deliver_stray(&msg.service, payload, ctx);
                self.take_over(msg.held);
            }
            StrayFrame::Bind(bind) => self.at_core(ctx, |core, step| {
                core.bound(&msg.service, bind, step);
            }),
            StrayFrame::Close(close) => self.at_core(ctx, |core, step| {
                core.closed_elsewhere(close, step);
            }),
            StrayFrame::Left => {}
            StrayFrame::Move(wish) => {
                let answer = self.wish_to_move(&msg.service, msg.from, &wish, ctx);
                if let MoveAnswer::Now(code) = answer {
                    msg.origin.do_send(StraysRefused {
                        session_ids: vec![msg.stray.session_id],
                        moved: Some(code),
                    });
                }
            }
        }
    }

    /// A backend of `service` says ASSIGN or TRANSFER.
    fn wish_to_move(
        &mut self,
        service: &str,
        from: SocketAddr,
        wish: &MoveWish,
        ctx: &mut Pumped<Self>,
    ) -> MoveAnswer {
        let mut answer = MoveAnswer::Later;
        self.at_core(ctx, |core, step| {
            answer = match &wish.service {
                Some(assigned) => core.assign(service, assigned, &wish.endpoint, step),
                None => core.transfer(service, from, &wish.endpoint, step),
            };
        });
        answer
    }

    fn deliver_stray(&mut self, service: &str, payload: Slice, ctx: &mut Pumped<Self>) {
        let header = Header {
            session_id: self.core.session_id(),
            realm_id: self.core.identity().map_or(0, |id| id.realm_id),
            ..Header::default()
        };
        let mut head = buffers::take();
        client::encode_header(&mut head, &header, service, payload.len() as u32);
        let tail = if payload.len() < VECTORED_BYTES {
            head.extend_from_slice(&payload);
            None
        } else {
            Some(payload)
        };
        self.deliver(head, tail, 1, ctx);
    }
}
