//! The client's socket: when it is read and written, and into which buffer.
//!
//! Hot path.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::has_budget_remaining;
use tokio_util::io::poll_read_buf;

use super::view::View;
use super::{Client, Connection, entering, stats};
use crate::codec::Decoded;
use crate::codec::buffers;
use crate::codec::client::{self, HEADER_LEN};
use crate::codec::sniff::{Sniffed, sniff};
use crate::history::Happening;
use crate::memory;
use crate::metrics::DropReason;
use crate::net::socket::Socket;
use crate::session::closing::Closing;
use crate::session::core::Step;
use crate::supervision::{Pump, Pumped};
use crate::traces::{Direction, Fate};

/// Room for a frame that has begun, before more of it has come.
const FIRST_INBOX_BYTES: usize = 16 * 1024;
/// Bytes that are read at a time for a link that is full, only to learn that something is there: they stay in
/// the client's inbox.
const HELD_BACK_BYTES: usize = 1024;
/// Reads in one turn before others get theirs.
const MAX_READS: usize = 4;

impl Pump for Client {
    fn pump(&mut self, ctx: &mut Pumped<Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let begun = self.registration.begin_turn();
        let polled = self.poll_io(ctx, cx);
        if let Some(begun) = begun {
            self.registration.end_turn::<Client>("socket", begun);
        }
        polled
    }
}

impl Client {
    /// Moves bytes both ways as far as the socket and the session allow.
    fn poll_io(&mut self, ctx: &mut Pumped<Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
            self.close(Closing::Failed, ctx);
        }
        self.poll_input(ctx, cx);
        if self.is_abandoned(cx) {
            self.close(Closing::Disconnected, ctx);
        }
        // What the reads themselves have brought about: PONGs, ERRORs, a CLOSE.
        if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
            self.close(Closing::Failed, ctx);
        }
        let queued = u32::try_from(self.outbox.queued()).unwrap_or(u32::MAX);
        self.stats.queued.set(queued);
        if queued > 0 {
            self.outbox.compact();
        }
        self.count_memory();
        self.poll_ending(ctx, cx)
    }

    /// Reads what is there, in turn with others.
    #[inline]
    fn poll_input(&mut self, ctx: &mut Pumped<Self>, cx: &mut TaskContext<'_>) {
        // Woken by its mailbox alone, mostly for what goes to the client: the last read is still pending.
        if self.watched && !self.socket.may_be_readable() && self.may_read() {
            return;
        }
        self.watched = false;
        let mut reads = 0;
        while self.may_read() {
            if reads == MAX_READS {
                cx.waker().wake_by_ref();
                break;
            }
            reads += 1;
            match self.poll_read(ctx, cx) {
                Poll::Pending => {
                    if self.socket.take_sign_of_life() {
                        self.core.lives(self.shared.now_ms());
                    }
                    break;
                }
                // The next read asks whether memory is scarce.
                Poll::Ready(Ok(())) if self.keeps_input() => self.count_memory(),
                Poll::Ready(Ok(())) => {}
                // Where frames of the client wait for links, the socket says so again when it is read again.
                Poll::Ready(Err(closing)) => self.at_core(ctx, |core, step| {
                    core.end_of_input(closing, step);
                }),
            }
        }
    }

    /// Goes on with another socket, and with what was read from it.
    pub(super) fn use_socket(&mut self, socket: Socket, read: BytesMut) {
        (self.socket, self.inbox) = (socket, read);
        (self.watched, self.read_out) = (false, false);
    }

    pub(super) fn poll_flush(&mut self, cx: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        let before = self.outbox.queued();
        if before == 0 && !self.socket.is_unflushed() {
            return Poll::Ready(Ok(()));
        }
        let mut result = self.outbox.poll_write(&mut self.socket, cx);
        if matches!(result, Poll::Ready(Ok(()))) && self.socket.is_unflushed() {
            result = Pin::new(&mut self.socket).poll_flush(cx);
        }
        let written = before - self.outbox.queued();
        self.shared
            .scope
            .metrics
            .client_bytes_out
            .add(written as u64);
        if self.shared.sample.get().is_some() {
            let own = self.stats.client_number;
            self.shared.sample_written(own, written);
        }
        result
    }

    /// Tells whether something that was read has gone nowhere yet.
    #[inline]
    fn keeps_input(&self) -> bool {
        !self.inbox.is_empty() || self.core.waiting_bytes() > 0
    }

    pub(super) fn may_read(&mut self) -> bool {
        matches!(
            self.connection,
            Connection::Frames | Connection::Sniffing(_)
        ) && self.core.reads()
            && !self.is_held_back()
    }

    /// Tells whether a connection that only waits for its session, or is not read because of the memory that it
    /// holds, has been left meanwhile.
    fn is_abandoned(&mut self, cx: &mut TaskContext<'_>) -> bool {
        matches!(self.connection, Connection::Frames)
            && (self.core.awaits_session() || self.stats.held.held_back.get())
            && self.socket.poll_abandoned(cx)
    }

    /// One read and everything that follows from it.
    fn poll_read(
        &mut self,
        ctx: &mut Pumped<Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), Closing>> {
        if self.inbox.is_empty() {
            let most = match self.core.has_room() {
                true => self.most_to_read(),
                false => HELD_BACK_BYTES,
            };
            buffers::with_scratch(|scratch| self.poll_read_scratch(&mut scratch[..most], ctx, cx))
        } else {
            self.poll_read_inbox(ctx, cx)
        }
    }

    /// The usual case: nothing is left over, so the thread's buffer serves.
    fn poll_read_scratch(
        &mut self,
        scratch: &mut [u8],
        ctx: &mut Pumped<Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), Closing>> {
        let mut buf = ReadBuf::new(scratch);
        let Poll::Ready(result) = Pin::new(&mut self.socket).poll_read(cx, &mut buf) else {
            // Without budget the read was put off, and nothing watches the socket.
            self.watched = has_budget_remaining();
            return Poll::Pending;
        };
        let bytes = buf.filled();
        self.count_read(result.map(|()| bytes.len()))?;
        let taken = self.take_bytes(bytes, ctx)?;
        if taken < bytes.len() {
            self.inbox = BytesMut::from(&bytes[taken..]);
        }
        Poll::Ready(Ok(()))
    }

    /// A frame has begun: it is completed in a buffer of its own.
    fn poll_read_inbox(
        &mut self,
        ctx: &mut Pumped<Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), Closing>> {
        let have = self.inbox.len();
        let limit = self.shared.scope.config.listen.max_payload;
        if let Ok(Decoded::Need(n)) = client::decode(&self.inbox, limit) {
            if !self.core.has_room() {
                self.at_core(ctx, |core, step| core.await_room(step));
                return Poll::Pending;
            }
            // Its length is believed only as far as bytes have come: the buffer doubles.
            self.reserve((n - have).min(have.max(FIRST_INBOX_BYTES)));
            let socket = Pin::new(&mut self.socket);
            let result = ready!(poll_read_buf(socket, cx, &mut self.inbox));
            self.count_read(result)?;
        }
        let is_much = self.inbox.len() > memory::STEP as usize;
        Poll::Ready(match is_much || self.shared.scope.meter.is_scarce() {
            true => self.passing_on(|client| client.take_inbox(ctx)),
            false => self.take_inbox(ctx),
        })
    }

    /// Handles the whole frames of the inbox and leaves the rest in it.
    fn take_inbox(&mut self, ctx: &mut Pumped<Self>) -> Result<(), Closing> {
        let inbox = std::mem::take(&mut self.inbox);
        let taken = self.take_bytes(&inbox, ctx)?;
        if taken == 0 {
            self.inbox = inbox;
        } else if taken < inbox.len() {
            // A buffer of the right size, so that what grew does not stay.
            self.inbox = BytesMut::from(&inbox[taken..]);
        }
        Ok(())
    }

    /// Handles the whole frames at the beginning of `bytes`; returns how many bytes they took.
    #[inline]
    fn take_bytes(&mut self, bytes: &[u8], ctx: &mut Pumped<Self>) -> Result<usize, Closing> {
        if let Connection::Sniffing(_) = self.connection
            && !self.sniffed(bytes, ctx)?
        {
            return Ok(0);
        }
        let metrics = &self.shared.scope.metrics;
        let sampled = self.shared.sampler.due(metrics.client_frames_in.get());
        let limits = self.shared.reading.get();
        let mut effects = self.shared.effects.take();
        let mut step = Step {
            now: self.shared.now_ms(),
            host: &View::new(&self.shared, &self.stats),
            effects: &mut effects,
        };
        let read = self.core.on_bytes(bytes, &limits, &mut step);
        metrics.client_frames_in.add(read.frames);
        metrics.forwards.add(read.forwards);
        if let Some(read_at) = sampled
            && read.forwards > 0
        {
            self.core
                .last_lease()
                .inspect(|lease| lease.sample(read_at));
        }
        if read.dropped > 0 {
            metrics.dropped.add(DropReason::LinkGone, read.dropped);
        }
        if read.excess > 0 {
            metrics.dropped.add(DropReason::RateLimited, read.excess);
            let count = u32::try_from(read.excess).unwrap_or(u32::MAX);
            self.shared
                .happened(&self.stats, Happening::OverRate, count);
        }
        // One that ends with this read is still on the card.
        let is_of_session = self.core.session_id() != 0 || self.stats.session_id().is_some();
        if read.frames > 0 && is_of_session {
            stats::add(&self.stats.frames_in, read.frames);
            self.show_identity();
        }
        if self.stats.is_traced() {
            self.trace_frames(&bytes[..read.bytes], Direction::FromClient, Fate::Taken);
        }
        if !effects.is_empty() {
            self.execute(&mut effects, None, ctx);
        }
        self.shared.keep_effects(effects);
        Ok(read.bytes)
    }

    /// Tells whether the first header is complete, and with it the transport known.
    fn sniffed(&mut self, bytes: &[u8], ctx: &mut Pumped<Self>) -> Result<bool, Closing> {
        if sniff(bytes) != Sniffed::Frames || self.owes_entry() {
            self.leave_socket_to_entry(ctx);
            return Ok(false);
        }
        let limit = self.shared.scope.config.listen.max_payload;
        client::decode(bytes, limit).map_err(Closing::BrokenFrame)?;
        if let Connection::Sniffing(sniffing) = &mut self.connection
            && let Some(closing) = sniffing.refusal.take()
        {
            return Err(*closing);
        }
        if bytes.len() < HEADER_LEN {
            return Ok(false);
        }
        self.greet();
        Ok(true)
    }

    /// Returns true if nothing has come yet.
    fn is_untouched(&self) -> bool {
        matches!(self.connection, Connection::Sniffing(_)) && self.stats.bytes_in.get() == 0
    }

    fn count_read(&mut self, result: std::io::Result<usize>) -> Result<(), Closing> {
        match result {
            Ok(0) => {
                self.read_out = true;
                Err(Closing::Disconnected)
            }
            Ok(read) => {
                self.shared.scope.metrics.client_bytes_in.add(read as u64);
                stats::add(&self.stats.bytes_in, read as u64);
                self.shared.scope.metrics.client_reads.one();
                Ok(())
            }
            // A probe that only connects may end with a reset, which is no failure.
            Err(error) if self.is_untouched() && error.kind() == ErrorKind::ConnectionReset => {
                Err(Closing::Disconnected)
            }
            Err(error) => Err(entering::closing_of(&error)),
        }
    }
}
