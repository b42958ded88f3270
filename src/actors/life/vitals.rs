//! What every actor carries: the count of its mail, and the word that it is gone.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::address::Address;
use super::meter::Meter;
use super::panics;
use super::roster::{ActorId, Entry, Roster};
use super::tally::Tally;

/// How an actor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// In order.
    Stopped,
    /// By a panic.
    Panicked,
}

/// An actor's own part of its bookkeeping. It is dropped with the actor, by whatever end, and says so.
#[derive(Debug)]
pub struct Vitals {
    meter: Arc<Meter>,
    /// None for clients: they are too many for the roster, their worker lists them.
    entry: Option<Arc<Entry>>,
    supervisor: Option<oneshot::Sender<Exit>>,
}

impl Vitals {
    /// For an actor that its parent lists by itself.
    pub fn unlisted(tally: &Arc<Tally>) -> Vitals {
        Vitals {
            meter: Meter::new(Arc::clone(tally)),
            entry: None,
            supervisor: None,
        }
    }

    pub(super) fn listed(entry: Arc<Entry>, supervisor: Option<oneshot::Sender<Exit>>) -> Vitals {
        Vitals {
            meter: entry.begin(),
            entry: Some(entry),
            supervisor,
        }
    }

    /// A message is being handled. Every handler of a message from another actor says so.
    #[inline]
    pub fn handled(&self) {
        self.meter.handled();
    }

    /// The actor's meter.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The actor's id, where the roster has it.
    pub fn id(&self) -> Option<ActorId> {
        self.entry.as_ref().map(|entry| entry.id())
    }

    /// The actor's own address, to give to others.
    pub fn address<A: Actor<Context = Context<A>>>(&self, ctx: &Context<A>) -> Address<A> {
        Address::new(ctx.address(), Arc::clone(&self.meter))
    }
}

impl Drop for Vitals {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        if panicked {
            let error = panics::current();
            self.meter.tally().panicked(error.clone());
            if let Some(entry) = &self.entry {
                tracing::error!(actor = %entry.id(), name = entry.name(), error = %error.message, "an actor panicked");
                entry.panicked(error);
            } else {
                tracing::error!(error = %error.message, "a client's actor panicked");
            }
        }
        self.meter.close();
        if let Some(supervisor) = self.supervisor.take() {
            let exit = if panicked {
                Exit::Panicked
            } else {
                Exit::Stopped
            };
            // At the end of the process nobody listens any more.
            let _ = supervisor.send(exit);
        } else if let Some(entry) = &self.entry {
            Roster::strike(entry);
        }
    }
}

/// Asks an actor for its own account of itself.
#[derive(Debug, Default, Message)]
#[rtype(result = "serde_json::Value")]
pub struct Inspect {
    /// What befalls the actor instead: how tests see that what dies comes back.
    #[cfg(feature = "fault-injection")]
    pub fault: Option<Fault>,
}

/// What can befall an actor.
#[cfg(feature = "fault-injection")]
#[derive(Debug, Clone)]
pub enum Fault {
    /// It panics with this text.
    Panic(String),
    /// It holds its thread until somebody else waits at this barrier of two.
    Stall(Arc<std::sync::Barrier>),
}

impl Inspect {
    /// Does what is asked beside the account.
    pub fn obey(&self) {
        #[cfg(feature = "fault-injection")]
        match &self.fault {
            Some(Fault::Panic(text)) => panic!("{text}"),
            Some(Fault::Stall(barrier)) => drop(barrier.wait()),
            None => {}
        }
    }
}

/// An actor that can say how it is.
pub trait Account {
    /// Its vitals.
    fn vitals(&self) -> &Vitals;
    /// Its own account: counters and state, as JSON.
    fn account(&self) -> serde_json::Value;
}

/// Has an actor that implements [`Account`] take [`Inspect`].
macro_rules! inspectable {
    ($actor:ty) => {
        impl actix::Handler<$crate::actors::life::Inspect> for $actor {
            type Result = actix::MessageResult<$crate::actors::life::Inspect>;

            fn handle(
                &mut self,
                msg: $crate::actors::life::Inspect,
                _: &mut actix::Context<Self>,
            ) -> Self::Result {
                use $crate::actors::life::Account;
                self.vitals().handled();
                msg.obey();
                actix::MessageResult(self.account())
            }
        }
    };
}
pub(crate) use inspectable;
