//! What comes from the backend: one read, all its frames, one message to each client concerned.
//!
//! Hot path.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::prelude::*;
use bytes::{Buf, Bytes};
use tokio_util::io::poll_read_buf;

use super::{Attached, Link, LinkChange, LinkEvent};
use crate::actors::session_registry::{Relay, Stray, StrayFrame};
use crate::codec::client::{self, Header};
use crate::codec::code::{Code, Notice};
use crate::codec::link::{self, Bind, Frame, FrameError, Kind, Multicast};
use crate::codec::{Decoded, buffers};
use crate::metrics::DropReason;
use crate::net::outbox::VECTORED_BYTES;
use crate::session::core::BackendClose;
use crate::session::link::LinkEnd;

/// Bytes that one read takes at most, a large frame's rest aside.
const READ_BYTES: usize = 64 * 1024;
/// Answers to the backend's own frames that may wait for it, in bytes. One read may exceed it.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Reads in one turn before others get theirs.
const MAX_READS: usize = 4;

impl Link {
    /// Whether the backend asks for more answers than it reads. What clients sent does not count:
    /// a backend that writes before it reads on must get rid of what it writes.
    pub(super) fn owes_too_much(&self) -> bool {
        self.answers > MAX_ANSWER_BYTES
    }

    /// Reads and handles what is there, unless too many answers wait for the backend already.
    pub(super) fn poll_read(
        &mut self,
        ctx: &mut Context<Self>,
        cx: &mut TaskContext<'_>,
    ) -> Result<(), LinkEnd> {
        for _ in 0..MAX_READS {
            if self.owes_too_much() {
                return Ok(());
            }
            let Some(socket) = &mut self.socket else {
                return Ok(());
            };
            let wanted = match link::decode(&self.inbox, u32::MAX) {
                // A large frame: read on in steps that double, believing its length only so far.
                Ok(Decoded::Need(n)) if n > READ_BYTES => {
                    (n - self.inbox.len()).min(self.inbox.len().max(READ_BYTES))
                }
                _ => READ_BYTES,
            };
            self.inbox.reserve(wanted);
            match poll_read_buf(std::pin::Pin::new(socket), cx, &mut self.inbox) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(LinkEnd::PeerClosed),
                Poll::Ready(Ok(read)) => {
                    self.scope.metrics.link_bytes_in.add(read as u64);
                    self.gauge.carried.bytes_in.add(read as u64);
                }
                Poll::Ready(Err(error)) => return Err(self.io_error(&error)),
            }
            if let Err(error) = self.take_frames(ctx) {
                tracing::warn!(service = %self.service, endpoint = %self.endpoint, %error,
                    "the backend broke the link protocol; its link is lost");
                return Err(LinkEnd::ProtocolError);
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Handles all whole frames of the inbox and leaves the rest in it.
    fn take_frames(&mut self, ctx: &mut Context<Self>) -> Result<(), FrameError> {
        let limit = self.scope.config.backend.max_link_payload;
        let (mut end, mut large) = (0, false);
        let broken = loop {
            match link::decode(&self.inbox[end..], limit) {
                Ok(Decoded::Frame(frame, used)) => {
                    large |= frame.payload.len() >= VECTORED_BYTES;
                    end += used;
                }
                Ok(Decoded::Need(_)) => break None,
                Err(error) => break Some(error),
            }
        };
        let mut strays = Vec::new();
        let result = if large {
            // Shared, so that large payloads are written from here rather than copied.
            let chunk = self.inbox.split_to(end).freeze();
            self.take_chunk(&chunk, Some(&chunk), &mut strays)
        } else {
            let inbox = std::mem::take(&mut self.inbox);
            let result = self.take_chunk(&inbox[..end], None, &mut strays);
            self.inbox = inbox;
            self.inbox.advance(end);
            result
        };
        self.deliver_touched();
        self.relay(strays, ctx);
        result.and(broken.map_or(Ok(()), Err))
    }

    fn take_chunk(
        &mut self,
        chunk: &[u8],
        shared: Option<&Bytes>,
        strays: &mut Vec<Stray>,
    ) -> Result<(), FrameError> {
        let (mut at, mut frames) = (0, 0);
        while let Ok(Decoded::Frame(frame, used)) = link::decode(&chunk[at..], u32::MAX) {
            at += used;
            frames += 1;
            let large = (frame.payload.len() >= VECTORED_BYTES).then_some(());
            let tail = large
                .and(shared)
                .map(|chunk| chunk.slice(at - frame.payload.len()..at));
            self.take_frame(&frame, tail, strays)?;
        }
        self.scope.metrics.link_frames_in.add(frames);
        self.gauge.carried.frames_in.add(frames);
        Ok(())
    }

    #[inline]
    fn take_frame(
        &mut self,
        frame: &Frame<'_>,
        tail: Option<Bytes>,
        strays: &mut Vec<Stray>,
    ) -> Result<(), FrameError> {
        let id = frame.session_id;
        let Some(kind) = Kind::from_byte(frame.kind) else {
            // A later version's, perhaps: framing stands, so the link does.
            self.scope
                .metrics
                .dropped
                .add(DropReason::UnexpectedKind, 1);
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
            Kind::Pong => match frame.payload.try_into().map(u64::from_be_bytes) {
                // Behind a session's OPEN, so it has taken that.
                Ok(session_id) => self.confirmed(session_id),
                Err(_) => self.ponged(),
            },
            Kind::Close => self.take_close(id, frame.payload, strays),
            Kind::Bind => {
                let bind = Bind::decode(frame.payload)?;
                match self.places.get(&id) {
                    Some(&place) if self.sessions[place as usize].unanswered => {
                        self.scope.metrics.dropped.add(DropReason::BeforeAccept, 1);
                    }
                    Some(&place) => {
                        self.deliver(place);
                        if bind.realm_id != 0 {
                            // DATA right behind it must name the new realm already.
                            self.sessions[place as usize].realm_id = bind.realm_id;
                        }
                        self.tell(id, LinkEvent::Bound(bind));
                    }
                    None if self.left.contains(&id) => {}
                    None => strays.push(stray(id, StrayFrame::Bind(bind))),
                }
            }
            Kind::Multicast => self.take_multicast(&Multicast::decode(frame.payload)?, strays),
            Kind::Goaway => {
                self.leaving = true;
                self.report(LinkChange::Goaway);
            }
            Kind::Accept => self.take_accept(id, frame.payload)?,
            Kind::Hello | Kind::Open | Kind::Suspend => {
                self.scope
                    .metrics
                    .dropped
                    .add(DropReason::UnexpectedKind, 1);
            }
        }
        Ok(())
    }

    #[inline]
    fn take_data(&mut self, id: u64, payload: &[u8], tail: Option<Bytes>, strays: &mut Vec<Stray>) {
        let Some(&place) = self.places.get(&id) else {
            if self.left.contains(&id) {
                return self.scope.metrics.dropped.add(DropReason::LinkLeft, 1);
            }
            let payload = tail.unwrap_or_else(|| Bytes::copy_from_slice(payload));
            strays.push(stray(id, StrayFrame::Data(payload)));
            return;
        };
        let attached = &mut self.sessions[place as usize];
        attached.known = true;
        if attached.unanswered {
            return self.scope.metrics.dropped.add(DropReason::BeforeAccept, 1);
        }
        if attached.frames == 0 {
            attached.head = buffers::take();
            self.touched.push(place);
        }
        attached.frames += 1;
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
                self.scope.metrics.delivers.one();
                send_batch(attached, Some(tail));
            }
        }
    }

    /// Sends a client what has been gathered for it.
    #[inline]
    fn deliver(&mut self, place: u32) {
        if let Some(attached) = self.sessions.get_mut(place as usize)
            && attached.frames > 0
        {
            self.scope.metrics.delivers.one();
            send_batch(attached, None);
        }
    }

    fn deliver_touched(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for place in touched.drain(..) {
            self.deliver(place);
        }
        self.touched = touched;
    }

    fn take_close(&mut self, id: u64, payload: &[u8], strays: &mut Vec<Stray>) {
        let notice = Notice::decode(payload, Code::KICKED);
        if notice.code == Code::LEAVES_LINK {
            return self.take_leave(id);
        }
        let close = BackendClose {
            code: notice.code,
            retry_after_ms: notice.retry_after_ms,
            text: notice.text.into(),
        };
        match self.places.get(&id) {
            Some(&place) => {
                self.deliver(place);
                if let Some(attached) = self.detach(id) {
                    let service = Arc::clone(&self.service);
                    let closed = LinkEvent::Closed { service, close };
                    attached.client.do_send(closed);
                }
            }
            None if self.left.contains(&id) => {}
            None => strays.push(stray(id, StrayFrame::Close(close))),
        }
    }

    /// The backend answers CLOSE 307: its last word on the session here.
    fn take_leave(&mut self, id: u64) {
        if self.left.remove(&id) {
            return;
        }
        let place = self.places.get(&id).copied();
        let leaving = place.filter(|place| self.sessions[*place as usize].leaving);
        let Some(place) = leaving else {
            return self
                .scope
                .metrics
                .dropped
                .add(DropReason::UnexpectedClose307, 1);
        };
        self.deliver(place);
        if let Some(attached) = self.detach(id) {
            attached.client.do_send(LinkEvent::Left {
                service: Arc::clone(&self.service),
                link_id: self.id,
            });
        }
    }

    fn take_accept(&mut self, id: u64, payload: &[u8]) -> Result<(), FrameError> {
        let Some(epoch) = payload.first_chunk() else {
            let (kind, len) = (Kind::Accept, payload.len());
            return Err(FrameError::BadPayload { kind, len });
        };
        match self.places.get(&id) {
            Some(&place) => {
                // What it said before is of the epoch before.
                self.deliver(place);
                let attached = &mut self.sessions[place as usize];
                (attached.known, attached.unanswered) = (true, false);
                let (service, epoch) = (Arc::clone(&self.service), u32::from_be_bytes(*epoch));
                self.tell(id, LinkEvent::Accepted { service, epoch });
            }
            None => self
                .scope
                .metrics
                .dropped
                .add(DropReason::UnexpectedAccept, 1),
        }
        Ok(())
    }

    /// A backend has taken the session's OPEN.
    pub(super) fn confirmed(&mut self, session_id: u64) {
        if let Some(place) = self.places.get(&session_id) {
            self.sessions[*place as usize].known = true;
            let confirmed = LinkEvent::Confirmed {
                service: Arc::clone(&self.service),
                link_id: self.id,
            };
            self.tell(session_id, confirmed);
        }
    }

    fn take_multicast(&mut self, multicast: &Multicast<'_>, strays: &mut Vec<Stray>) {
        // Copied once for all where it is large, once for each where that is cheaper.
        let large = multicast.payload.len() >= VECTORED_BYTES;
        let shared = large.then(|| Bytes::copy_from_slice(multicast.payload));
        let mut recipients = 0;
        for id in multicast.sessions() {
            self.take_data(id, multicast.payload, shared.clone(), strays);
            recipients += 1;
        }
        self.scope.metrics.multicast_recipients.add(recipients);
    }

    /// Frames for sessions that this link does not carry: their homes know them, or nobody does.
    fn relay(&mut self, strays: Vec<Stray>, ctx: &Context<Self>) {
        if strays.is_empty() {
            return;
        }
        self.scope.metrics.relayed.add(strays.len() as u64);
        let mut by_home: Vec<Vec<Stray>> = Vec::new();
        by_home.resize_with(self.shards.seats().len(), Vec::new);
        for stray in strays {
            by_home[self.shards.homes().home(stray.session_id)].push(stray);
        }
        for (registry, strays) in self.shards.seats().iter().zip(by_home) {
            if !strays.is_empty() {
                // What nobody takes is counted when it is dropped.
                registry.do_send(Relay {
                    service: self.service.clone(),
                    strays,
                    origin: self.registration.address(ctx).recipient(),
                    metrics: Arc::clone(&self.scope.metrics),
                });
            }
        }
    }
}

fn stray(session_id: u64, frame: StrayFrame) -> Stray {
    Stray { session_id, frame }
}

#[inline]
fn send_batch(attached: &mut Attached, tail: Option<Bytes>) {
    let head = std::mem::take(&mut attached.head);
    let frames = std::mem::take(&mut attached.frames);
    attached
        .client
        .do_send(LinkEvent::Deliver { head, tail, frames });
}
