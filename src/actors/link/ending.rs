//! The end of a link.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{CloseOwed, Link, LinkChange, LinkEvent, Quit};
use crate::session::link::{LinkEnd, Quitting};
use crate::supervision::Receive;

/// Time that a quitting link has to write what it still holds.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

impl Link {
    /// Ends the link now. The first reason counts.
    pub(super) fn end(&mut self, reason: LinkEnd, ctx: &mut Context<Self>) {
        self.lifecycle.end(reason);
        ctx.stop();
    }
}

impl Receive<Quit> for Link {
    type Result = ResponseFuture<()>;

    fn receive(&mut self, msg: Quit, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        let (answer, gone) = oneshot::channel();
        self.quit_answers.push(answer);
        match self.lifecycle.quit(msg.reason) {
            Quitting::AtOnce => ctx.stop(),
            Quitting::WhenWritten => {
                ctx.run_later(FLUSH_TIMEOUT, |link, ctx| link.end(LinkEnd::ShutDown, ctx));
            }
        }
        Box::pin(async move {
            // Resolves when the link, and with it the sender, is dropped.
            let _ = gone.await;
        })
    }
}

/// The only place where sessions learn that their link is gone: an orderly end and a panic both
/// pass here.
impl Drop for Link {
    fn drop(&mut self) {
        let unsaid = if std::thread::panicking() {
            LinkEnd::Panicked
        } else {
            LinkEnd::ShutDown
        };
        let reason = self.lifecycle.reason().unwrap_or(unsaid);
        let metrics = &self.scope.metrics;
        metrics.links_ended.add(reason, 1);
        if self.lifecycle.was_ready() {
            metrics.links_unready.one();
        } else if !matches!(reason, LinkEnd::Idle | LinkEnd::ShutDown) {
            self.counts.connect_failures.one();
        }
        metrics.links_lost_sessions.add(self.sessions.len() as u64);
        for client in self.sessions.clients() {
            client.do_send(LinkEvent::Lost {
                service: Arc::clone(&self.service),
                link_id: self.id,
            });
        }
        if reason.is_loss() {
            // Owed from now on; whichever link says them.
            drop(self.sessions.lose_unread());
            self.owed.do_send(CloseOwed);
        }
        let error = self.error.take();
        self.report(LinkChange::Ended { reason, error });
    }
}
