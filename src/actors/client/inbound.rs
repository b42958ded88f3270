//! What comes from the client: all whole frames of one read, and one message to each link that they
//! go to.
//!
//! Hot path.

use actix::prelude::*;

use super::{Client, Closing, Hold, Stage, retag_if_changed, stats};
use crate::codec::client::{self, Frame, HEADER_LEN, Kind, MAX_PING_LEN};
use crate::codec::code::{Code, Notice};
use crate::codec::link::{self, Kind as LinkKind};
use crate::codec::sniff::{Sniffed, sniff};
use crate::codec::{Decoded, buffers};
use crate::metrics::DropReason;
use crate::session::state::Taken;

/// Frames of one read that go to the same link, already encoded for it.
struct Batch {
    place: usize,
    bytes: Vec<u8>,
    frames: u32,
}

impl Client {
    /// Handles the whole frames at the beginning of `bytes`; returns how many bytes they took. Stops
    /// early where the client is to be held back.
    pub(super) fn take_bytes(
        &mut self,
        bytes: &[u8],
        ctx: &mut Context<Self>,
    ) -> Result<usize, Closing> {
        if let Stage::Sniffing(_) = self.stage
            && !self.sniffed(bytes, ctx)?
        {
            return Ok(0);
        }
        let limit = self.shared.scope.config.listen.max_payload;
        let (mut at, mut frames, mut batch) = (0, 0, None);
        let result = loop {
            match client::decode(&bytes[at..], limit) {
                Ok(Decoded::Frame(frame, used)) => match self.take_frame(&frame, &mut batch, ctx) {
                    Ok(true) => (at, frames) = (at + used, frames + 1),
                    Ok(false) => break Ok(at),
                    Err(closing) => break Err(closing),
                },
                Ok(Decoded::Need(_)) => break Ok(at),
                Err(error) => break Err(Closing::BrokenFrame(error)),
            }
            if self.hold != Hold::None || matches!(self.stage, Stage::Ending(_)) {
                break Ok(at);
            }
        };
        // What came before a mistake still goes its way.
        self.forward(batch);
        self.shared.scope.metrics.client_frames_in.add(frames);
        if frames > 0
            && let Some(session) = &self.session
        {
            if let Some(resumable) = &mut self.resumable {
                resumable.heard();
            }
            self.alive_ms = self.shared.now_ms();
            stats::add(&self.stats.frames_in, frames);
            self.stats.realm_id.set(session.realm_id());
            self.stats.user_id.set(session.user_id());
        }
        match result {
            Err(_) if self.end_must_wait() => Ok(at),
            result => result,
        }
    }

    /// Holds an end that the client's bytes bring about back while earlier frames of it wait for
    /// links: they go first. The end is met again when the links are there or have failed.
    pub(super) fn end_must_wait(&mut self) -> bool {
        let waits = self.session.as_ref().is_some_and(|s| s.waiting() > 0);
        if waits {
            self.hold = Hold::Opening;
        }
        waits
    }

    /// Whether the first header is complete, and with it the transport known.
    fn sniffed(&mut self, bytes: &[u8], ctx: &mut Context<Self>) -> Result<bool, Closing> {
        if sniff(bytes) != Sniffed::Frames || self.owes_entry() {
            self.leave_socket_to_entry(ctx);
            return Ok(false);
        }
        let limit = self.shared.scope.config.listen.max_payload;
        client::decode(bytes, limit).map_err(Closing::BrokenFrame)?;
        if let Stage::Sniffing(sniffing) = &mut self.stage
            && let Some(closing) = sniffing.refusal.take()
        {
            return Err(closing);
        }
        if bytes.len() < HEADER_LEN {
            return Ok(false);
        }
        self.stage = Stage::Talking;
        self.alive_ms = self.shared.now_ms();
        self.arm(self.shared.scope.config.session.idle_timeout);
        Ok(true)
    }

    /// Takes one frame. `Ok(false)`: it is held back and will be shown again.
    #[inline]
    fn take_frame(
        &mut self,
        frame: &Frame<'_>,
        batch: &mut Option<Batch>,
        ctx: &mut Context<Self>,
    ) -> Result<bool, Closing> {
        let kind = Kind::from_byte(frame.header.kind);
        if kind == Some(Kind::Data) {
            return self.take_data(frame, batch, ctx);
        }
        let first = !std::mem::replace(&mut self.talked, true);
        let id = frame.header.session_id;
        let owned = self.session.as_ref().is_none_or(|s| s.owns(id));
        let malformed = match kind {
            Some(Kind::Resume) if first => return self.resume(frame, ctx).map(|()| true),
            _ if !owned => "session_id is not this session's",
            Some(Kind::Close) => {
                let notice = Notice::decode(frame.payload, Code::NORMAL);
                // On a link 307 would not end the session; no client has a reason to send it.
                let ends = notice.code != Code::LEAVES_LINK;
                let code = if ends { notice.code } else { Code::MALFORMED };
                return Err(Closing::ByClient(code));
            }
            Some(Kind::Ping | Kind::Pong) if frame.payload.len() > MAX_PING_LEN => {
                "PING and PONG carry at most 125 bytes"
            }
            Some(Kind::Ping) => {
                self.tell(Kind::Pong, frame.payload, ctx);
                return Ok(true);
            }
            Some(Kind::Pong) => return Ok(true),
            Some(Kind::Resume) => "RESUME only as a connection's first frame",
            Some(Kind::Opened | Kind::Error | Kind::Goaway) => "only a gateway sends this kind",
            Some(Kind::Data) | None => "unknown kind",
        };
        self.tell_error(Code::MALFORMED, 0, malformed, frame.service, ctx);
        Ok(true)
    }

    #[inline]
    fn take_data(
        &mut self,
        frame: &Frame<'_>,
        batch: &mut Option<Batch>,
        ctx: &mut Context<Self>,
    ) -> Result<bool, Closing> {
        let Some(session) = &mut self.session else {
            return self.start_session(frame, ctx);
        };
        let realm_before = session.realm_id();
        let taken = session.on_data(&frame.header, frame.service);
        let id = session.id();
        if session.realm_id() != realm_before {
            retag_if_changed(session, realm_before);
        }
        match taken {
            Taken::Forward(place) => {
                if batch.as_ref().is_none_or(|b| b.place != place) {
                    let bytes = buffers::take();
                    let next = Batch {
                        place,
                        bytes,
                        frames: 0,
                    };
                    self.forward(batch.replace(next));
                }
                if let Some(batch) = batch {
                    link::encode(&mut batch.bytes, LinkKind::Data, id, frame.payload);
                    batch.frames += 1;
                }
            }
            Taken::Resolve(place) => {
                self.queue(place, id, frame.payload);
                self.open_service(place, ctx);
            }
            Taken::Queue(place) => self.queue(place, id, frame.payload),
            Taken::Refuse(refusal) => {
                let named = session.last_named();
                let service = if frame.service.is_empty() {
                    named
                } else {
                    frame.service
                };
                let service = service.to_owned();
                self.tell_error(refusal.code, 0, refusal.text, &service, ctx);
            }
        }
        Ok(true)
    }

    /// Puts a frame behind the others that wait for their service's link.
    fn queue(&mut self, place: usize, session_id: u64, payload: &[u8]) {
        let Some(session) = &mut self.session else {
            return;
        };
        if let Some(opening) = session.opening(place) {
            link::encode(&mut opening.queue, LinkKind::Data, session_id, payload);
            opening.frames += 1;
        }
        if session.must_wait() {
            self.hold = Hold::Opening;
        }
    }

    /// Sends a batch; holds the client back where its link is full.
    fn forward(&mut self, batch: Option<Batch>) {
        let Some(batch) = batch else { return };
        let Some(lease) = self.session.as_mut().and_then(|s| s.lease(batch.place)) else {
            return self
                .shared
                .scope
                .metrics
                .dropped
                .add(DropReason::LinkGone, u64::from(batch.frames));
        };
        self.shared.scope.metrics.forwards.one();
        lease.forward(batch.bytes, batch.frames);
        if lease.is_full() {
            lease.await_room();
            self.hold = Hold::LinkFull;
            self.shared.scope.metrics.paused.one();
        }
    }
}
