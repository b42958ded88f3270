//! Frames from the backend: one read, all its frames, one message to each client concerned.
//!
//! Hot path.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::prelude::*;
use bytes::{BufMut, Bytes};
use tokio_util::io::poll_read_buf;

use super::strays::Strays;
use super::{CLOSES_MARK, Link, LinkChange, LinkEvent};
use crate::actors::session_registry::StrayFrame;
use crate::codec::Decoded;
use crate::codec::client::{self, Header};
use crate::codec::code::{Code, Notice};
use crate::codec::link::{self, Bind, Frame, FrameError, GOAWAY_MOVE, Kind, Multicast};
use crate::memory::{Held, Part};
use crate::metrics::DropReason;
use crate::net::outbox::Slice;
use crate::scope::Scope;
use crate::session::core::BackendClose;
use crate::session::link::{Attached, Batch, Closed, LinkEnd, Recipient};
use crate::supervision::CountedRecipient;

/// Bytes that one read takes at most, a large frame's rest aside.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// Answers to the backend's own frames that may wait for it, in bytes. One read may exceed it.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Reads in one turn before others get theirs.
const MAX_READS: usize = 4;
/// Memory of a message to a client beside the frames in it.
pub(super) const MESSAGE_BYTES: usize = 128;

impl Link {
    /// Returns whether the backend asks for more answers than it reads. Clients' frames do not count:
    /// a backend that writes before it reads on must get rid of what it writes.
    pub(super) fn owes_too_much(&self) -> bool {
        !self.may_answer() || !self.refused.is_empty()
    }

    /// Tells whether what the backend has sent waits for itself, or for other workers.
    pub(super) fn is_behind(&self) -> bool {
        self.owes_too_much() || self.under_way.is_much()
    }

    /// Tells whether more answers may be queued for the backend.
    pub(super) fn may_answer(&self) -> bool {
        self.answers <= MAX_ANSWER_BYTES
    }

    /// Reads and handles what is there, unless too many answers wait for the backend already.
    pub(super) fn poll_read(
        &mut self,
        ctx: &mut Context<Self>,
        cx: &mut TaskContext<'_>,
    ) -> Result<(), LinkEnd> {
        for _ in 0..MAX_READS {
            if self.socket.is_none() || self.is_behind() || self.must_pause(ctx) {
                return Ok(());
            }
            if self.lacks_room {
                if !self.take_frames(None, ctx)? {
                    return Ok(());
                }
                if self.lacks_room {
                    break;
                }
            }
            let wanted = match link::decode(&self.inbox, u32::MAX) {
                // A large frame: read on in steps that double, believing its length only so far.
                Ok(Decoded::Need(n)) if n > READ_BYTES => {
                    (n - self.inbox.len()).min(self.inbox.len().max(READ_BYTES))
                }
                _ => READ_BYTES,
            };
            if !self.reserve(wanted, ctx) {
                return Ok(());
            }
            let Some(socket) = &mut self.socket else {
                return Ok(());
            };
            // However much room a large frame has left: small ones of as many bytes become much more.
            let mut room = (&mut self.inbox).limit(wanted);
            match poll_read_buf(std::pin::Pin::new(socket), cx, &mut room) {
                Poll::Pending => {
                    self.rests();
                    return Ok(());
                }
                Poll::Ready(Ok(0)) => return Err(LinkEnd::PeerClosed),
                Poll::Ready(Ok(read)) => {
                    if self.lifecycle.heard() {
                        self.report(LinkChange::Heard);
                    }
                    self.counts.bytes_in.add(read as u64);
                    self.gauge.carried.bytes_in.add(read as u64);
                }
                Poll::Ready(Err(error)) => return Err(self.io_error(&error)),
            }
            let sampled = self.sampler.due(self.gauge.carried.frames_in.get());
            if !self.take_frames(sampled, ctx)? {
                return Ok(());
            }
            if self.lacks_room || self.scope.meter.is_scarce() {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Remembers how the backend broke the protocol; the pool says so.
    #[cold]
    pub(super) fn protocol_error(&mut self, error: FrameError) -> LinkEnd {
        self.error.get_or_insert_with(|| error.to_string().into());
        LinkEnd::ProtocolError
    }

    #[inline]
    pub(super) fn take_frame(
        &mut self,
        frame: &Frame<'_>,
        tail: Option<Slice>,
        strays: &mut Strays,
    ) -> Result<(), FrameError> {
        let id = frame.session_id;
        let Some(kind) = Kind::from_byte(frame.kind) else {
            // A later version's, perhaps: framing stands, so the link does.
            self.drop_frame(DropReason::UnexpectedKind);
            return Ok(());
        };
        match kind {
            Kind::Data => self.take_data(id, frame.payload, tail, strays),
            Kind::Ping if frame.payload.len() > client::MAX_PING_LEN => {
                let (kind, len) = (Kind::Ping, frame.payload.len());
                return Err(FrameError::BadPayload { kind, len });
            }
            Kind::Ping => {
                self.answers += link::HEADER_LEN + frame.payload.len();
                self.enqueue(Kind::Pong, 0, frame.payload);
            }
            Kind::Pong => self.take_pong(frame.payload),
            Kind::Close => self.take_close(id, frame.payload, strays),
            Kind::Bind => self.take_bind(id, Bind::decode(frame.payload)?, strays),
            Kind::Multicast => self.take_multicast(&Multicast::decode(frame.payload)?, strays),
            Kind::Goaway => {
                if frame.payload.first() == Some(&GOAWAY_MOVE) {
                    self.gauge.occupancy().evacuation.said_by_backend(true);
                }
                if self.lifecycle.goaway() {
                    self.report(LinkChange::Goaway);
                }
            }
            Kind::Accept => self.take_accept(id, frame.payload)?,
            Kind::Features | Kind::Assign | Kind::Transfer => {
                self.take_move(kind, id, frame.payload, strays);
            }
            Kind::Hello | Kind::Open | Kind::Suspend | Kind::Bound | Kind::Moved => {
                self.drop_frame(DropReason::UnexpectedKind);
            }
        }
        Ok(())
    }

    fn take_pong(&mut self, payload: &[u8]) {
        self.gauge.carried.pongs.one();
        if payload.is_empty() {
            return self.ponged();
        }
        if let Ok(session_id) = payload.try_into().map(u64::from_be_bytes) {
            // Behind a session's OPEN, so it has taken that.
            self.sessions.pong();
            self.confirmed(session_id);
        } else if payload == CLOSES_MARK {
            self.sessions.pong();
        } else {
            self.drop_frame(DropReason::UnexpectedPong);
        }
    }

    #[inline]
    fn take_data(&mut self, id: u64, payload: &[u8], tail: Option<Slice>, strays: &mut Strays) {
        if let Err(tail) = self.pass_data(id, payload, tail) {
            // It may wait in another worker's mailbox.
            let payload = match tail {
                Some(tail) => tail.into_compact(),
                None => Slice::new(Bytes::copy_from_slice(payload), payload.len()),
            };
            strays.push(self.shards.homes(), id, StrayFrame::Data(payload));
        }
    }

    /// Passes DATA to the session's client. `tail` is the payload where that is not to be copied.
    ///
    /// # Errors
    /// The session is none of this link's; `tail` comes back.
    #[inline]
    pub(super) fn pass_data(
        &mut self,
        id: u64,
        payload: &[u8],
        tail: Option<Slice>,
    ) -> Result<(), Option<Slice>> {
        let attached = match self.sessions.data(id) {
            Recipient::Attached(attached) => attached,
            Recipient::BeforeAccept => {
                self.drop_frame(DropReason::BeforeAccept);
                return Ok(());
            }
            Recipient::Left => {
                self.drop_frame(DropReason::LinkLeft);
                return Ok(());
            }
            Recipient::Stranger => return Err(tail),
        };
        let header = Header {
            session_id: id,
            realm_id: attached.realm_id,
            ..Header::default()
        };
        let head = &mut attached.head;
        match tail {
            None => client::encode(head, &header, &self.service, payload),
            Some(tail) => {
                client::encode_header(head, &header, &self.service, tail.len() as u32);
                deliver(attached, Some(tail), &self.scope);
            }
        }
        if id == self.awaited.id {
            self.answered();
        }
        Ok(())
    }

    fn take_bind(&mut self, id: u64, bind: Bind, strays: &mut Strays) {
        let routes = self.scope.routes.load();
        if routes
            .as_ref()
            .is_some_and(|table| !table.may_bind(&self.service))
        {
            return self.drop_frame(DropReason::MayNotBind);
        }
        match self.sessions.bind(id) {
            Recipient::Attached(attached) => {
                deliver(attached, None, &self.scope);
                if bind.realm_id != 0 {
                    // DATA right behind it must name the new realm already.
                    attached.realm_id = bind.realm_id;
                }
                attached.client.do_send(LinkEvent::Bound {
                    service: Arc::clone(&self.service),
                    bind,
                    held: message(&self.scope),
                });
            }
            Recipient::BeforeAccept => self.drop_frame(DropReason::BeforeAccept),
            Recipient::Left => {}
            Recipient::Stranger => strays.push(self.shards.homes(), id, StrayFrame::Bind(bind)),
        }
    }

    fn take_close(&mut self, id: u64, payload: &[u8], strays: &mut Strays) {
        let notice = Notice::decode(payload, Code::KICKED);
        if notice.code == Code::LEAVES_LINK {
            return self.take_leave(id, payload);
        }
        let close = BackendClose {
            code: notice.code,
            retry_after_ms: notice.retry_after_ms,
            text: notice.text.into(),
        };
        let closed = self.sessions.closed(id, close.code);
        if let Closed::Crossed(_, owed) = &closed {
            self.enqueue_close(id, *owed);
        }
        match closed {
            Closed::Detached(attached) | Closed::Crossed(attached, _) => {
                if close.code.blames_backend() && attached.is_unheard() {
                    self.gauge.occupancy().session_failed();
                }
                let service = Arc::clone(&self.service);
                let link_id = self.id;
                let closed = LinkEvent::Closed {
                    service,
                    link_id,
                    close,
                };
                self.tell_last(attached, closed);
            }
            Closed::Left => {}
            Closed::Stranger => strays.push(self.shards.homes(), id, StrayFrame::Close(close)),
        }
    }

    /// Tells the client of a session that has been removed, behind all that came for it.
    pub(super) fn tell_last(
        &mut self,
        mut attached: Attached<CountedRecipient<LinkEvent>>,
        event: LinkEvent,
    ) {
        deliver(&mut attached, None, &self.scope);
        self.detached();
        attached.client.do_send(event);
    }

    fn take_accept(&mut self, id: u64, payload: &[u8]) -> Result<(), FrameError> {
        let Some(epoch) = payload.first_chunk() else {
            let (kind, len) = (Kind::Accept, payload.len());
            return Err(FrameError::BadPayload { kind, len });
        };
        let epoch = u32::from_be_bytes(*epoch);
        match self.sessions.accepted(id, epoch) {
            Some(attached) => {
                // These are of the epoch before.
                deliver(attached, None, &self.scope);
                let service = Arc::clone(&self.service);
                let held = message(&self.scope);
                let accepted = LinkEvent::Accepted {
                    service,
                    epoch,
                    held,
                };
                attached.client.do_send(accepted);
            }
            None => self.drop_frame(DropReason::UnexpectedAccept),
        }
        Ok(())
    }

    /// The backend has taken the session's OPEN.
    pub(super) fn confirmed(&mut self, session_id: u64) {
        if let Some(client) = self.sessions.confirmed(session_id) {
            client.do_send(LinkEvent::Confirmed {
                service: Arc::clone(&self.service),
                link_id: self.id,
                held: message(&self.scope),
            });
        }
    }

    #[inline]
    pub(super) fn drop_frame(&self, reason: DropReason) {
        self.scope.metrics.dropped.add(reason, 1);
    }
}

/// Sends a client what is gathered for it, if anything is; `tail` completes the last frame.
#[inline]
pub(super) fn deliver(
    attached: &mut Attached<CountedRecipient<LinkEvent>>,
    tail: Option<Slice>,
    scope: &Scope,
) {
    if let Some(Batch { head, frames }) = attached.take_batch() {
        scope.metrics.delivers.one();
        // A buffer may come from the pool, which is not counted.
        let bytes = head.capacity().min(2 * head.len()) + tail.as_ref().map_or(0, Slice::kept);
        let held = Held::in_meter(&scope.meter, Part::ClientQueues, MESSAGE_BYTES + bytes);
        attached.client.do_send(LinkEvent::Deliver {
            head,
            tail,
            frames,
            held,
        });
    }
}

/// Memory of a message that carries no frames.
fn message(scope: &Scope) -> Held {
    Held::in_meter(&scope.meter, Part::ClientQueues, MESSAGE_BYTES)
}
