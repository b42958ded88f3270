//! The end of a connection: the client is told, and the socket is closed so that no reset overtakes the
//! last frame (protocol 1.4). The session's part of it is in the core.

use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::clock::timeout;
use actix::prelude::*;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{Client, Connection, WorkerScope};
use crate::actors::session_registry::ResumeConnection;
use crate::admission::Permit;
use crate::codec::buffers;
use crate::codec::client::{self, Kind};
use crate::codec::code::Notice;
use crate::history::{Happening, Refusal};
use crate::labels::Label;
use crate::memory::{Held, Part};
use crate::net::outbox::Outbox;
use crate::net::socket::Socket;
use crate::session::closing::{Closing, ClosingLabel, LogLevel, Outcome, Retry};
use crate::session::id::{RETRY_AFTER_MS, spread_retry_ms};
use crate::session::trace_id::TraceId;
use crate::supervision::Pumped;
use crate::traces::{Decision, Name};

/// Longest time for a client that is told to go to take the frames that are queued for it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for which input is discarded after the gateway has shut its sending side down.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);
/// Reads of discarded input in one turn.
const DISCARD_READS: usize = 4;
/// The same where another attempt to resume is under way.
const RETRY_SOON_MS: (u32, u32) = (50, 500);

/// The stages of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The outbox is written.
    Flushing,
    /// The sending side is shut down; input is discarded until the remote end is shut down too.
    Discarding,
}

impl Ending {
    /// Longest time in this stage.
    pub(super) fn timeout(self) -> Duration {
        match self {
            Ending::Flushing => FLUSH_TIMEOUT,
            Ending::Discarding => DISCARD_TIMEOUT,
        }
    }
}

/// Returns the advice to a client in milliseconds; 0: no advice.
pub(super) fn retry_after_ms(retry: Retry) -> u32 {
    match retry {
        Retry::NoAdvice => 0,
        Retry::Spread => spread_retry_ms(RETRY_AFTER_MS.0, RETRY_AFTER_MS.1),
        Retry::Soon => spread_retry_ms(RETRY_SOON_MS.0, RETRY_SOON_MS.1),
        Retry::AfterMs(ms) => ms,
    }
}

/// The CLOSE that a client gets, where it gets one.
pub(super) fn close_frame(closing: &Closing, session_id: u64) -> Option<Vec<u8>> {
    let outcome = closing.outcome();
    let notice = Notice {
        code: outcome.client?,
        retry_after_ms: retry_after_ms(outcome.retry),
        text: outcome.text,
    };
    let mut frame = buffers::take();
    client::encode_notice(&mut frame, Kind::Close, session_id, "", &notice);
    Some(frame)
}

impl Client {
    /// Ends the connection, if there is one, and then the actor.
    pub(super) fn end_connection(
        &mut self,
        closing: &Closing,
        session_id: u64,
        ctx: &mut Pumped<Self>,
    ) {
        self.reclaim_permit();
        match self.connection {
            Connection::Absent(_) => {
                self.log(&closing.outcome(), session_id);
                return ctx.stop();
            }
            Connection::Ending(_) => return,
            Connection::Sniffing(_) | Connection::Entering(_) | Connection::Frames => {}
        }
        let outcome = closing.outcome();
        self.log(&outcome, session_id);
        self.count(outcome.label);
        self.note_refusal(&outcome, session_id);
        if let Some(frame) = close_frame(closing, session_id) {
            // Past the bound on purpose: it is the last frame.
            self.shared.scope.metrics.client_frames_out.one();
            self.outbox.push(frame);
        }
        self.inbox = BytesMut::new();
        if outcome.is_abrupt {
            ctx.stop();
        }
        self.socket.set_close_code(outcome.websocket);
        self.enter_ending(Ending::Flushing);
    }

    /// Parts with the connection in use, with a CLOSE where its reason has one.
    pub(super) fn leave_connection(&mut self, closing: &Closing, session_id: u64) {
        let outcome = closing.outcome();
        self.happened(Happening::Disconnected(outcome.label));
        self.log(&outcome, session_id);
        self.count(outcome.label);
        let (mut socket, mut outbox) = (self.socket.take(), std::mem::take(&mut self.outbox));
        outbox.compact();
        self.inbox = BytesMut::new();
        self.stats.queued.set(0);
        self.connection = Connection::Absent(None);
        let permit = self.permit.take();
        if let Some(frame) = close_frame(closing, session_id) {
            self.shared.scope.metrics.client_frames_out.one();
            outbox.push(frame);
        }
        if !outcome.is_abrupt {
            socket.set_close_code(outcome.websocket);
            self.leave_to_task(socket, outbox, permit);
        }
    }

    fn log(&self, outcome: &Outcome<'_>, session_id: u64) {
        let gateway_id = &self.shared.scope.config.gateway.id;
        let (remote, reason) = (self.stats.remote(), outcome.label.label());
        self.trace_of(session_id, || {
            let ended = Decision::new(Name::ConnectionEnded).detail(reason);
            match outcome.client {
                Some(code) => ended.code(code.0),
                None => ended,
            }
        });
        let trace_id = || TraceId::of(session_id).map(tracing::field::display);
        match outcome.log_level {
            LogLevel::Debug => {
                tracing::debug!(session = %format_args!("{gateway_id}:{session_id}"), trace_id = trace_id(), peer = %remote, reason, "connection ends");
            }
            LogLevel::Warn => {
                tracing::warn!(session = %format_args!("{gateway_id}:{session_id}"), trace_id = trace_id(), peer = %remote, reason, "connection ends");
            }
        }
    }

    /// The actor panics: what is queued for the client and a CLOSE are left to a task of their own.
    pub(super) fn last_words(&mut self) {
        if let Connection::Ending(_) = self.connection {
            return;
        }
        self.reclaim_permit();
        let outcome = Closing::Internal.outcome();
        self.count(outcome.label);
        let metrics = &self.shared.scope.metrics;
        let session_id = self.core.session_id();
        if let (Connection::Frames, Some(frame)) = (
            &self.connection,
            close_frame(&Closing::Internal, session_id),
        ) {
            metrics.client_frames_out.one();
            self.outbox.push(frame);
            self.socket.set_close_code(outcome.websocket);
            let (socket, outbox) = (self.socket.take(), std::mem::take(&mut self.outbox));
            let permit = self.permit.take();
            self.leave_to_task(socket, outbox, permit);
        }
    }

    /// Leaves a connection, and what is queued for it, to a task of its own.
    fn leave_to_task(&self, socket: Socket, outbox: Outbox, permit: Option<Permit>) {
        let parting = self.passing_queue(|shared| shared.parting(outbox.held(), permit));
        actix::spawn(part(socket, outbox, parting));
    }

    /// Notes for operators that a player is turned away.
    fn note_refusal(&self, outcome: &Outcome<'_>, session_id: u64) {
        // One who plays already is cut off by a drain, and will resume elsewhere.
        let is_cut_off = session_id != 0 && outcome.label == ClosingLabel::Draining;
        if outcome.label.is_refusal() && !is_cut_off {
            self.shared.refused(&Refusal {
                realm_id: self.stats.realm_id.get(),
                user_id: self.stats.user_id(),
                ..Refusal::of(outcome, self.stats.remote())
            });
        }
    }

    /// Counts the end of a connection; the session of an HTTP request has none of its own.
    pub(super) fn count(&self, label: ClosingLabel) {
        if self.permit.is_some() {
            self.shared.scope.metrics.closings.add(label, 1);
        }
    }

    fn enter_ending(&mut self, ending: Ending) {
        self.connection = Connection::Ending(ending);
        self.since_ms = self.shared.now_ms() as u32;
        self.arm(ending.timeout());
    }

    /// Goes on with an end that has begun.
    pub(super) fn poll_ending(
        &mut self,
        ctx: &mut Pumped<Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        if matches!(self.connection, Connection::Ending(Ending::Flushing)) && self.outbox.is_empty()
        {
            // Of plain TCP that was read to its end there is nothing to discard, and closing says FIN as well.
            let is_over = self.read_out && matches!(self.socket, Socket::Tcp(_));
            if is_over || ready!(Pin::new(&mut self.socket).poll_shutdown(cx)).is_err() {
                ctx.stop();
                return Poll::Ready(());
            }
            self.enter_ending(Ending::Discarding);
        }
        if matches!(self.connection, Connection::Ending(Ending::Discarding)) {
            ready!(self.poll_discard(cx));
            ctx.stop();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Reads and forgets; ready when the remote end has shut down.
    fn poll_discard(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        for _ in 0..DISCARD_READS {
            let read = buffers::with_scratch(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf))?;
                Poll::Ready(Ok::<usize, std::io::Error>(buf.filled().len()))
            });
            match ready!(read) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A connection that is left behind: it counts, and so does the memory that it holds.
pub(super) struct Parting {
    shared: Rc<WorkerScope>,
    held: Held,
    bytes: usize,
    _permit: Option<Permit>,
}

impl WorkerScope {
    /// Counts a connection that is left behind with so many bytes.
    pub(super) fn parting(self: &Rc<Self>, bytes: usize, permit: Option<Permit>) -> Parting {
        self.parting.set(self.parting.get() + bytes);
        Parting {
            shared: Rc::clone(self),
            held: Held::new(Part::ClientQueues, bytes),
            bytes,
            _permit: permit,
        }
    }
}

impl WorkerScope {
    /// Cuts off the connections that are left behind and not written yet; returns their bytes.
    pub fn cut_parting(&self) -> usize {
        let bytes = self.parting.get();
        if bytes > 0 {
            self.parting_cut.notify_waiters();
        }
        bytes
    }
}

impl Parting {
    /// The bytes are gone.
    fn is_written(&mut self) {
        self.held.set(0);
        let bytes = std::mem::take(&mut self.bytes);
        self.shared.parting.set(self.shared.parting.get() - bytes);
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        self.is_written();
    }
}

impl WorkerScope {
    /// Tells a connection with RESUME that it does not get the session. It still counts while it is told.
    pub fn refuse_connection(
        self: &Rc<Self>,
        connection: ResumeConnection,
        closing: &Closing,
        session_id: u64,
    ) {
        let metrics = &self.scope.metrics;
        let outcome = closing.outcome();
        metrics.closings.add(outcome.label, 1);
        self.turned_away(&outcome, connection.remote);
        let (mut socket, mut outbox) = (connection.socket, Outbox::default());
        if let Some(frame) = close_frame(closing, session_id) {
            metrics.client_frames_out.one();
            outbox.push(frame);
        }
        socket.set_close_code(outcome.websocket);
        let parting = self.parting(outbox.held(), connection.permit);
        actix::spawn(part(socket, outbox, parting));
    }
}

/// Writes what is queued, shuts down, and discards input until the remote end is shut down too. The connection
/// counts until then.
pub(super) async fn part(mut socket: Socket, mut outbox: Outbox, mut parting: Parting) {
    let flush = async {
        std::future::poll_fn(|cx| outbox.poll_write(&mut socket, cx)).await?;
        socket.shutdown().await
    };
    let cut = Rc::clone(&parting.shared);
    let flushed = tokio::select! {
        flushed = timeout(FLUSH_TIMEOUT, flush) => flushed,
        () = cut.parting_cut.notified() => return,
    };
    if let Ok(Ok(())) = flushed {
        drop(outbox);
        parting.is_written();
        // The end of this is the end of the connection, whether the remote end has shut down or not.
        let _ = timeout(
            DISCARD_TIMEOUT,
            tokio::io::copy(&mut socket, &mut tokio::io::sink()),
        )
        .await;
    }
}
