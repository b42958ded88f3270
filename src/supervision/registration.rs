//! The registration that every actor holds: it counts the actor's mail, and dropping it records that
//! the actor is gone.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::actor_registry::{ActorId, ActorRegistry, Entry};
use super::address::CountedAddr;
use super::kind_counters::KindCounters;
use super::mail_counter::MailCounter;
use super::panics;

/// Way in which an actor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// By [`ActorContext::stop`].
    Stopped,
    /// By a panic.
    Panicked,
}

/// Registration of one actor. It is dropped with the actor, on every path, and then closes the mail
/// counter, records a panic, and tells the supervisor.
#[derive(Debug)]
pub struct Registration {
    mail: Arc<MailCounter>,
    /// None for clients: they are too many for the registry, and their worker lists them.
    entry: Option<Arc<Entry>>,
    supervisor: Option<oneshot::Sender<Exit>>,
}

impl Registration {
    /// Registers an actor that its parent lists itself.
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

    /// Returns the counter of the actor's mail.
    pub fn mail(&self) -> &Arc<MailCounter> {
        &self.mail
    }

    /// Returns the actor's id, where it is listed.
    pub fn id(&self) -> Option<ActorId> {
        self.entry.as_ref().map(|entry| entry.id())
    }

    /// Returns the actor's own address, to give to others.
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
            // The supervising task may be gone at the end of the process.
            let _ = supervisor.send(exit);
        } else if let Some(entry) = &self.entry {
            ActorRegistry::deregister(entry);
        }
    }
}
