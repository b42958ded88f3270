//! How a connection ends. Whatever the reason, everything that follows from it happens here:
//! backends are told, the client is told, and the socket is closed so that no reset overtakes the
//! last frame (protocol 1.4).

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::clock::timeout;
use actix::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{Client, Stage};
use crate::admission::Permit;
use crate::codec::buffers;
use crate::codec::client::{self, Kind};
use crate::codec::code::{Code, Notice};
use crate::codec::peer::ToNewcomer;
use crate::labels::Label;
use crate::metrics::DropReason;
use crate::net::outbox::Outbox;
use crate::net::socket::Socket;
use crate::session::closing::{Closing, ClosingLabel, LogLevel, Retry};
use crate::session::core::BackendClose;
use crate::session::id::spread_retry_ms;
use crate::session::state::Session;

/// How long a client that is told to go may take to take what is queued for it.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);
/// How long input is discarded after the gateway has shut its sending side down.
const DISCARD_PATIENCE: Duration = Duration::from_secs(1);
/// Reads of discarded input in one turn.
const DISCARD_READS: usize = 4;
/// When clients that are refused or cut off may come back, in milliseconds: spread, so that they
/// do not come as a herd.
const RETRY_AFTER_MS: (u32, u32) = (500, 5_000);

/// The stages of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// What is queued is written.
    Flushing,
    /// The sending side is shut down; input is discarded until the peer ends too.
    Discarding,
}

impl Ending {
    /// How long this stage may take.
    pub(super) fn patience(self) -> Duration {
        match self {
            Ending::Flushing => FLUSH_PATIENCE,
            Ending::Discarding => DISCARD_PATIENCE,
        }
    }
}

/// Advice to a client in milliseconds; 0 is none.
pub(super) fn retry_after_ms(retry: Retry) -> u32 {
    match retry {
        Retry::NoAdvice => 0,
        Retry::Spread => spread_retry_ms(RETRY_AFTER_MS.0, RETRY_AFTER_MS.1),
        Retry::AfterMs(ms) => ms,
    }
}

impl Client {
    /// Begins the end. The first reason counts.
    pub(super) fn close(&mut self, closing: Closing, ctx: &mut Context<Self>) {
        if matches!(self.stage, Stage::Ending(_)) {
            if matches!(closing, Closing::Failed | Closing::Disconnected) {
                ctx.stop();
            }
            return;
        }
        let outcome = closing.outcome();
        let session_id = self.session.as_ref().map_or(0, Session::id);
        let gateway_id = &self.shared.scope.config.gateway.id;
        let (peer, reason) = (self.stats.peer(), outcome.label.label());
        match outcome.log_level {
            LogLevel::Debug => {
                tracing::debug!(session = %format_args!("{gateway_id}:{session_id}"), %peer, reason, "connection ends")
            }
            LogLevel::Warn => {
                tracing::warn!(session = %format_args!("{gateway_id}:{session_id}"), %peer, reason, "connection ends")
            }
        }
        if self.only_suspends(&closing) {
            return self.suspend(&closing);
        }
        self.stop_arriving(ctx);
        if outcome.backends == Code::LEAVES_LINK {
            self.dismiss_waiting(&ToNewcomer::Busy);
        } else {
            self.tell_claimant(outcome.backends);
        }
        if matches!(self.stage, Stage::Suspended) {
            return self.end_suspended(outcome.backends, ctx);
        }
        self.count(outcome.label);
        self.final_code = outcome.backends;
        if let Some(session) = &mut self.session {
            let metrics = &self.shared.scope.metrics;
            metrics
                .dropped
                .add(DropReason::ClientClosing, u64::from(session.waiting()));
            session
                .leases()
                .for_each(|lease| lease.set_final_code(outcome.backends));
        }
        if let Some(frame) = self.close_frame(&closing) {
            // Past the bound on purpose: it is the last frame.
            self.shared.scope.metrics.client_frames_out.one();
            self.outbox.push(frame);
        }
        self.leave_registry();
        self.inbox = bytes::BytesMut::new();
        if outcome.is_abrupt {
            ctx.stop();
        }
        self.socket.set_close_code(outcome.websocket);
        self.enter(Ending::Flushing);
    }

    /// The CLOSE that a client gets, where it gets one.
    pub(super) fn close_frame(&self, closing: &Closing) -> Option<Vec<u8>> {
        let outcome = closing.outcome();
        let notice = Notice {
            code: outcome.client?,
            retry_after_ms: retry_after_ms(outcome.retry),
            text: outcome.text,
        };
        let session_id = self.session.as_ref().map_or(0, Session::id);
        let mut frame = buffers::take();
        client::encode_notice(&mut frame, Kind::Close, session_id, "", &notice);
        Some(frame)
    }

    /// The actor panics: what is queued for the client and a CLOSE are left to a task of their own.
    pub(super) fn last_words(&mut self) {
        let outcome = Closing::Internal.outcome();
        self.count(outcome.label);
        let metrics = &self.shared.scope.metrics;
        if let (Stage::Talking, Some(frame)) = (&self.stage, self.close_frame(&Closing::Internal)) {
            metrics.client_frames_out.one();
            self.outbox.push(frame);
            self.socket.set_close_code(outcome.websocket);
            let (socket, outbox) = (self.socket.take(), std::mem::take(&mut self.outbox));
            actix::spawn(part(socket, outbox, self.permit.take()));
        }
    }

    /// Counts the end of a connection; the session of an HTTP request has none of its own.
    pub(super) fn count(&self, label: ClosingLabel) {
        if self.permit.is_some() {
            self.shared.scope.metrics.closings.add(label, 1);
        }
    }

    fn enter(&mut self, ending: Ending) {
        self.stage = Stage::Ending(ending);
        self.alive_ms = self.shared.now_ms();
        self.arm(ending.patience());
    }

    /// A backend ends the session: the client and its other backends get the same code.
    pub(super) fn closed_by_backend(&mut self, close: BackendClose, ctx: &mut Context<Self>) {
        let closing = Closing::ByBackend {
            code: close.code,
            retry_after_ms: close.retry_after_ms,
            text: close.text,
        };
        self.close(closing, ctx);
    }

    /// Goes on with an end that has begun.
    pub(super) fn poll_ending(
        &mut self,
        ctx: &mut Context<Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        if matches!(self.stage, Stage::Ending(Ending::Flushing)) && self.outbox.is_empty() {
            if ready!(Pin::new(&mut self.socket).poll_shutdown(cx)).is_err() {
                ctx.stop();
                return Poll::Ready(());
            }
            self.enter(Ending::Discarding);
        }
        if matches!(self.stage, Stage::Ending(Ending::Discarding)) {
            ready!(self.poll_discard(cx));
            ctx.stop();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Reads and forgets; ready when the peer has ended.
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

/// Writes what is queued, shuts down, and discards input until the peer ends too. The connection
/// counts until then.
pub(super) async fn part(mut socket: Socket, mut outbox: Outbox, _permit: Option<Permit>) {
    let flush = async {
        std::future::poll_fn(|cx| outbox.poll_write(&mut socket, cx)).await?;
        socket.shutdown().await
    };
    if let Ok(Ok(())) = timeout(FLUSH_PATIENCE, flush).await {
        // The end of this is the end of the connection, whether the peer has ended or not.
        let _ = timeout(
            DISCARD_PATIENCE,
            tokio::io::copy(&mut socket, &mut tokio::io::sink()),
        )
        .await;
    }
}
