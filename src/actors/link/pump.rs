//! Moves bytes between a link and its socket.
//!
//! Hot path.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use actix::prelude::*;
use tokio::io::AsyncWrite;

use super::Link;
use super::times::sample_written;
use crate::session::link::LinkEnd;

/// Polls the link's socket inside the actor, after its mailbox: what many clients sent in one turn of
/// the event loop goes out in one write.
pub(super) struct Pump;

impl ActorFuture<Link> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        link: &mut Link,
        ctx: &mut Context<Link>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let begun = link.registration.begin_turn();
        let polled = link.poll_io(ctx, cx);
        if let Some(begun) = begun {
            link.registration.end_turn::<Pump>("socket", begun);
        }
        polled
    }
}

impl Link {
    /// Moves bytes both ways as far as the socket allows.
    fn poll_io(&mut self, ctx: &mut Context<Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let result = self.poll_read(ctx, cx).and_then(|()| {
            let held = self.owes_too_much();
            self.poll_write(cx)?;
            if !self.waiting.is_empty() {
                self.give_room(ctx, cx);
            }
            if !self.refused.is_empty() && self.may_answer() {
                self.answer_refused();
                cx.waker().wake_by_ref();
            }
            if held && !self.owes_too_much() {
                // Nothing else would bring the reading back.
                cx.waker().wake_by_ref();
            }
            Ok(())
        });
        self.count_memory();
        if let Err(reason) = result {
            self.end(reason, ctx);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut TaskContext<'_>) -> Result<(), LinkEnd> {
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        let before = self.outbox.queued();
        let mut result = self.outbox.poll_write(socket, cx);
        let written = before - self.outbox.queued();
        self.gauge.sub(written);
        self.answers = self.answers.saturating_sub(written);
        if self.sample.is_some() {
            sample_written(&mut self.sample, written, &self.scope.metrics);
        }
        if !self.outbox.is_empty() {
            self.outbox.compact();
        }
        self.counts.bytes_out.add(written as u64);
        self.gauge.carried.bytes_out.add(written as u64);
        if matches!(result, Poll::Ready(Ok(()))) && socket.is_unflushed() {
            result = Pin::new(&mut *socket).poll_flush(cx);
        }
        let flushed = matches!(result, Poll::Ready(Ok(())));
        if flushed && self.lifecycle.written() {
            result = Pin::new(socket).poll_shutdown(cx);
            if result.is_ready() {
                self.lifecycle.fin_sent();
            }
        }
        if let Poll::Ready(Err(error)) = result {
            return Err(self.io_error(&error));
        }
        Ok(())
    }

    /// Remembers the socket's error.
    pub(super) fn io_error(&mut self, error: &io::Error) -> LinkEnd {
        self.error.get_or_insert_with(|| error.to_string().into());
        LinkEnd::IoError
    }
}
