//! What every actor carries: the count of its mail, and the word that it is gone.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::actor_registry::{ActorId, ActorRegistry, Entry};
use super::address::CountedAddr;
use super::kind_counters::KindCounters;
use super::mail_counter::MailCounter;
use super::panics;

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
pub struct Registration {
    mail: Arc<MailCounter>,
    /// None for clients: they are too many for the registry; their worker lists them.
    entry: Option<Arc<Entry>>,
    supervisor: Option<oneshot::Sender<Exit>>,
}

impl Registration {
    /// For an actor that its parent lists by itself.
    pub fn unlisted(counters: &Arc<KindCounters>) -> Registration {
        Registration {
            mail: MailCounter::new(Arc::clone(counters)),
            entry: None,
            supervisor: None,
        }
    }

    pub(super) fn listed(
        entry: Arc<Entry>,
        supervisor: Option<oneshot::Sender<Exit>>,
    ) -> Registration {
        Registration {
            mail: entry.begin(),
            entry: Some(entry),
            supervisor,
        }
    }

    /// A message is being handled. Every handler of a message from another actor says so.
    #[inline]
    pub fn handled(&self) {
        self.mail.handled();
    }

    /// The actor's meter.
    pub fn mail(&self) -> &Arc<MailCounter> {
        &self.mail
    }

    /// The actor's id, where it is registered.
    pub fn id(&self) -> Option<ActorId> {
        self.entry.as_ref().map(|entry| entry.id())
    }

    /// The actor's own address, to give to others.
    pub fn address<A: Actor<Context = Context<A>>>(&self, ctx: &Context<A>) -> CountedAddr<A> {
        CountedAddr::new(ctx.address(), Arc::clone(&self.mail))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        if panicked {
            let error = panics::current();
            self.mail.counters().panicked(error.clone());
            if let Some(entry) = &self.entry {
                tracing::error!(actor = %entry.id(), name = entry.name(), error = %error.message, "an actor panicked");
                entry.panicked(error);
            } else {
                tracing::error!(error = %error.message, "a client's actor panicked");
            }
        }
        self.mail.close();
        if let Some(supervisor) = self.supervisor.take() {
            let exit = if panicked {
                Exit::Panicked
            } else {
                Exit::Stopped
            };
            // At the end of the process nobody listens any more.
            let _ = supervisor.send(exit);
        } else if let Some(entry) = &self.entry {
            ActorRegistry::deregister(entry);
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
pub trait Inspectable {
    /// Its registration.
    fn registration(&self) -> &Registration;
    /// Its own account: counters and state, as JSON.
    fn detail(&self) -> serde_json::Value;
}

/// Has an actor that implements [`Inspectable`] take [`Inspect`].
macro_rules! inspectable {
    ($actor:ty) => {
        impl actix::Handler<$crate::supervision::Inspect> for $actor {
            type Result = actix::MessageResult<$crate::supervision::Inspect>;

            fn handle(
                &mut self,
                msg: $crate::supervision::Inspect,
                _: &mut actix::Context<Self>,
            ) -> Self::Result {
                use $crate::supervision::Inspectable;
                self.registration().handled();
                msg.obey();
                actix::MessageResult(self.detail())
            }
        }
    };
}
pub(crate) use inspectable;
