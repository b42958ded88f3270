//! A context for actors of which there are very many: clients.
//!
//! actix's own keeps places for several futures and handles, twice, and has each of them polled in a list. Nearly all that
//! a client does is messages and its socket, so here an actor has its mailbox, one *pump*, and room for futures only
//! while there are some. A client is 128 bytes smaller by it.
//!
//! Hot path.

use std::iter::successors;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use actix::WeakAddr;
use actix::dev::channel::channel;
use actix::dev::{AsyncContext, Envelope, Mailbox, ToEnvelope};
use actix::prelude::*;
use tokio::sync::oneshot::Sender;

/// As actix's own; counted addresses send without asking for room.
const MAILBOX_PLACES: usize = 16;

/// An actor with a pump.
pub trait Pump: Actor<Context = Pumped<Self>> {
    /// Moves what does not come as a message. Called after the mailbox, whenever the actor is woken; never again once it
    /// is ready.
    fn pump(&mut self, ctx: &mut Pumped<Self>, cx: &mut TaskContext<'_>) -> Poll<()>;
}

/// The context of an actor with a pump. Unlike actix's own it does not end because nobody has the actor's address.
pub struct Pumped<A: Actor<Context = Pumped<A>>> {
    addr: WeakAddr<A>,
    futures: Futures<A>,
    state: State,
    is_pumped_out: bool,
}

/// What is spawned, in order: what one client has under way, so its entry, a link or an answer for each of its services, and
/// one look-up at the most. A list, for a pointer is all that it takes while there is nothing.
type Futures<A> = Option<Box<Spawned<A>>>;

struct Spawned<A: Actor> {
    future: Pin<Box<dyn ActorFuture<A, Output = ()>>>,
    /// Messages wait for it.
    holds_mail: bool,
    next: Futures<A>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum State {
    Started,
    Running,
    Stopping,
    Stopped,
}

impl<A: Pump> Pumped<A> {
    /// Starts an actor on this thread, in its `LocalSet`.
    pub fn start(actor: A) -> Addr<A> {
        let (sender, receiver) = channel(MAILBOX_PLACES);
        let addr = Addr::new(sender);
        let ctx = Pumped {
            addr: addr.downgrade(),
            futures: None,
            state: State::Started,
            is_pumped_out: false,
        };
        tokio::task::spawn_local(Running {
            ctx,
            mailbox: Mailbox::new(receiver),
            actor,
        });
        addr
    }
}

impl<A: Actor<Context = Pumped<A>>> ActorContext for Pumped<A> {
    fn stop(&mut self) {
        if self.state != State::Stopped {
            self.state = State::Stopping;
        }
    }

    fn terminate(&mut self) {
        self.state = State::Stopped;
    }

    fn state(&self) -> ActorState {
        match self.state {
            State::Started => ActorState::Started,
            State::Running => ActorState::Running,
            State::Stopping => ActorState::Stopping,
            State::Stopped => ActorState::Stopped,
        }
    }
}

impl<A: Actor<Context = Pumped<A>>> AsyncContext<A> for Pumped<A> {
    fn address(&self) -> Addr<A> {
        // The mailbox lives as long as this.
        let upgraded = self.addr.upgrade();
        upgraded.unwrap_or_else(|| Addr::new(channel(MAILBOX_PLACES).0))
    }

    fn spawn<F>(&mut self, future: F) -> SpawnHandle
    where
        F: ActorFuture<A, Output = ()> + 'static,
    {
        self.push(Box::pin(future), false);
        SpawnHandle::default()
    }

    fn wait<F>(&mut self, future: F)
    where
        F: ActorFuture<A, Output = ()> + 'static,
    {
        self.push(Box::pin(future), true);
    }

    fn waiting(&self) -> bool {
        let mut all = successors(self.futures.as_deref(), |it| it.next.as_deref());
        self.state >= State::Stopping || all.any(|spawned| spawned.holds_mail)
    }

    /// Nothing is cancelled here: what is spawned ends by itself, or with the actor.
    fn cancel_future(&mut self, _: SpawnHandle) -> bool {
        false
    }
}

impl<A, M> ToEnvelope<A, M> for Pumped<A>
where
    A: Actor<Context = Pumped<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn pack(message: M, answer: Option<Sender<M::Result>>) -> Envelope<A> {
        Envelope::new(message, answer)
    }
}

/// The task of an actor.
struct Running<A: Pump> {
    ctx: Pumped<A>,
    mailbox: Mailbox<A>,
    actor: A,
}

impl<A: Pump> Future for Running<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let Running {
            ctx,
            mailbox,
            actor,
        } = self.get_mut();
        if ctx.state == State::Started {
            ctx.state = State::Running;
            actor.started(ctx);
        }
        loop {
            mailbox.poll(actor, ctx, cx);
            if !ctx.is_pumped_out && !ctx.waiting() {
                ctx.is_pumped_out = actor.pump(ctx, cx).is_ready();
            }
            let is_changed = ctx.poll_futures(actor, cx);
            if ctx.state == State::Stopping && actor.stopping(ctx) == actix::Running::Continue {
                ctx.state = State::Running;
                continue;
            }
            match ctx.state {
                State::Started | State::Running if is_changed => {}
                State::Started | State::Running => return Poll::Pending,
                State::Stopping | State::Stopped => {
                    ctx.state = State::Stopped;
                    actor.stopped(ctx);
                    return Poll::Ready(());
                }
            }
        }
    }
}

impl<A: Actor<Context = Pumped<A>>> Pumped<A> {
    fn push(&mut self, future: Pin<Box<dyn ActorFuture<A, Output = ()>>>, holds_mail: bool) {
        let mut end = &mut self.futures;
        while let Some(spawned) = end {
            end = &mut spawned.next;
        }
        *end = Some(Box::new(Spawned {
            future,
            holds_mail,
            next: None,
        }));
    }

    /// Polls what is spawned. Returns true if something of it has ended or begun: then the mailbox and the pump are to
    /// look again.
    #[inline]
    fn poll_futures(&mut self, actor: &mut A, cx: &mut TaskContext<'_>) -> bool {
        if self.futures.is_none() {
            return false;
        }
        let mut rest = self.futures.take();
        let (mut kept, mut is_changed) = (None, false);
        let mut end = &mut kept;
        while let Some(mut spawned) = rest {
            rest = spawned.next.take();
            if self.state >= State::Stopping
                || spawned.future.as_mut().poll(actor, self, cx).is_pending()
            {
                end = &mut end.insert(spawned).next;
            } else {
                is_changed = true;
            }
        }
        is_changed |= self.futures.is_some();
        *end = self.futures.take();
        self.futures = kept;
        is_changed
    }
}

#[cfg(test)]
#[path = "pumped_tests.rs"]
mod tests;
