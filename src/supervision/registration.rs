//! The registration that every actor holds: it counts the actor's mail, and dropping it records that
//! the actor is gone.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::actor_registry::{ActorId, ActorRegistry};
use super::address::CountedAddr;
use super::entry::Entry;
use super::kind_counters::KindCounters;
use super::mail_counter::MailCounter;
use super::message_times::{Begun, What};
use super::panics;
use super::snapshots::LastError;

/// Way in which an actor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// By [`ActorContext::stop`].
    Stopped,
    /// By a panic.
    Panicked,
    /// To be started again, as somebody has asked for.
    Restarted,
}

/// Registration of one actor. It is dropped with the actor, on every path, and then closes the mail
/// counter, records a panic, and tells the supervisor.
#[derive(Debug)]
pub struct Registration {
    mail: Arc<MailCounter>,
    /// None for clients: they are too many for the registry, and their worker lists them.
    listed: Option<Box<Listed>>,
}

#[derive(Debug)]
struct Listed {
    entry: Arc<Entry>,
    supervisor: Option<oneshot::Sender<Exit>>,
}

impl Registration {
    /// Registers an actor that its parent lists itself.
    pub fn unlisted(counters: &Arc<KindCounters>) -> Registration {
        Registration {
            mail: MailCounter::new(Arc::clone(counters)),
            listed: None,
        }
    }

    pub(super) fn listed(
        entry: Arc<Entry>,
        supervisor: Option<oneshot::Sender<Exit>>,
    ) -> Registration {
        Registration {
            mail: entry.begin(),
            listed: Some(Box::new(Listed { entry, supervisor })),
        }
    }

    /// Returns the counter of the actor's mail.
    pub fn mail(&self) -> &Arc<MailCounter> {
        &self.mail
    }

    /// Returns the actor's id, where it is listed.
    pub fn id(&self) -> Option<ActorId> {
        self.listed.as_ref().map(|listed| listed.entry.id())
    }

    /// Notes that the actor ends to be started again, as somebody has asked for.
    pub(super) fn restarts(&self) {
        if let Some(Listed { entry, .. }) = self.listed.as_deref() {
            entry.restarts();
        }
    }

    /// Begins to time the message that was just opened, if it is due.
    #[inline]
    pub(crate) fn begin_message(&self) -> Option<Begun> {
        let counters = self.mail.counters();
        counters.times.message(counters.handled.get())
    }

    /// Ends the timing of a message.
    pub(crate) fn end_message<M: 'static>(&self, begun: Begun) {
        self.timed(What::message::<M>(), begun);
    }

    /// Begins to time a turn at something that is no message, if it is due.
    #[inline]
    pub fn begin_turn(&self) -> Option<Begun> {
        self.mail.counters().times.turn()
    }

    /// Ends the timing of a turn of `T`, which is shown under this name.
    pub fn end_turn<T: 'static>(&self, name: &'static str, begun: Begun) {
        self.timed(What::turn::<T>(name), begun);
    }

    #[cold]
    fn timed(&self, what: What, begun: Begun) {
        let timed = begun.end();
        self.mail.counters().times.observe(what, timed);
        self.mail.busy_ns.add(timed.all_ns());
        if let Some(Listed { entry, .. }) = self.listed.as_deref() {
            entry.times().observe(what, timed);
        }
    }

    /// Returns the actor's own address, to give to others.
    pub fn address<A, C>(&self, ctx: &C) -> CountedAddr<A>
    where
        A: Actor<Context = C>,
        C: AsyncContext<A>,
    {
        CountedAddr::new(ctx.address(), Arc::clone(&self.mail))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        if panicked {
            let actor = self.id().map(|id| id.to_string());
            let error = LastError {
                actor,
                ..panics::current()
            };
            self.mail.counters().panicked(error.clone());
            if let Some(entry) = self.listed.as_ref().map(|listed| &listed.entry) {
                tracing::error!(actor = %entry.id(), name = entry.name(), error = error.describe(), "an actor panicked");
                entry.panicked(error);
            } else {
                tracing::error!(error = error.describe(), "a client's actor panicked");
            }
        }
        self.mail.close();
        let Some(Listed { entry, supervisor }) = self.listed.as_deref_mut() else {
            return;
        };
        if let Some(supervisor) = supervisor.take() {
            let exit = match (panicked, entry.is_restarted()) {
                (true, _) => Exit::Panicked,
                (false, true) => Exit::Restarted,
                (false, false) => Exit::Stopped,
            };
            // The supervising task may be gone at the end of the process.
            let _ = supervisor.send(exit);
        } else {
            ActorRegistry::deregister(entry);
        }
    }
}
