//! A client's wishes for links, which end with its session.
//!
//! A wish may wait for long: for a link, and for room on a full one. A session that ends meanwhile may come back under the
//! same id, on another client: an OPEN for the old one would then stand beside the new one's, and its CLOSE would end that.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use actix::prelude::*;

use super::Client;
use crate::actors::link::Want;
use crate::supervision::Pumped;

/// A wish under way: given up once the session is over, which is known before any other actor of the thread runs.
pub(super) struct Wanting {
    want: Want,
    future: Pin<Box<dyn ActorFuture<Client, Output = ()>>>,
}

impl Wanting {
    /// Runs `future`, which ends early once `want` is given up.
    pub(super) fn new(
        want: Want,
        future: impl ActorFuture<Client, Output = ()> + 'static,
    ) -> Wanting {
        let future = Box::pin(future);
        Wanting { want, future }
    }
}

impl ActorFuture<Client> for Wanting {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        client: &mut Client,
        ctx: &mut Pumped<Client>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        if client.core.is_over() {
            self.want.give_up();
        }
        self.future.as_mut().poll(client, ctx, cx)
    }
}
