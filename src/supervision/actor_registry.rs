//! The actor registry: all actors of the process but the clients, by id. Control path: written when
//! an actor starts or ends, read by the admin API.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::address::{CountedAddr, CountedRecipient};
use super::inspect::Inspect;
use super::kind_counters::KindCounters;
use super::mail::Mail;
use super::mail_counter::MailCounter;
use super::registration::{Exit, Registration};
use crate::supervision::{ActorSnapshot, ActorState, Kind, KindSnapshot, LastError};

/// Id of the gateway, the root of all supervision.
pub const ROOT: ActorId = ActorId {
    kind: Kind::Gateway,
    number: 0,
};

/// Id of one actor, or of one seat that actors take in turn, for example `router-0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId {
    #[expect(missing_docs, reason = "the name suffices")]
    pub kind: Kind,
    /// Index of the worker for actors of which a worker has one, else a serial number.
    pub number: u64,
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind.name(), self.number)
    }
}

impl FromStr for ActorId {
    type Err = ();

    fn from_str(text: &str) -> Result<ActorId, ()> {
        let (kind, number) = text.rsplit_once('-').ok_or(())?;
        let kind = Kind::ALL.into_iter().find(|k| k.name() == kind).ok_or(())?;
        let id = ActorId {
            kind,
            number: number.parse().map_err(drop)?,
        };
        // One spelling each: no signs, no leading zeros.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(())
        }
    }
}

type Counters = [Arc<KindCounters>; Kind::ALL.len()];

/// Actors of one process.
#[derive(Debug)]
pub struct ActorRegistry {
    /// By worker; the last entry is the gateway's own thread.
    counters: Vec<Counters>,
    entries: Mutex<BTreeMap<ActorId, Arc<Entry>>>,
}

impl ActorRegistry {
    /// Creates an empty registry for this number of workers.
    pub fn new(workers: usize) -> Arc<ActorRegistry> {
        let counters = || std::array::from_fn(|_| Arc::default());
        Arc::new(ActorRegistry {
            counters: (0..=workers).map(|_| counters()).collect(),
            entries: Mutex::default(),
        })
    }

    /// Returns the counters of one kind on one worker's thread, or on the gateway's own.
    pub fn counters(&self, kind: Kind, worker: Option<usize>) -> &Arc<KindCounters> {
        let place = Kind::ALL.iter().position(|k| *k == kind).unwrap_or(0);
        &self.counters[worker.unwrap_or(self.counters.len() - 1)][place]
    }

    /// Adds an entry for an actor that is about to start.
    pub fn register(
        self: &Arc<ActorRegistry>,
        id: ActorId,
        name: String,
        worker: Option<usize>,
        parent: Option<ActorId>,
    ) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            id,
            name,
            worker,
            parent,
            counters: Arc::clone(self.counters(id.kind, worker)),
            actors: Arc::downgrade(self),
            life: Mutex::new(Life {
                since: Instant::now(),
                state: ActorState::Running,
                starts: 0,
                panics: 0,
                handled_before: 0,
                highest_before: 0,
                mail: None,
                last_error: None,
                inspect: None,
            }),
        });
        self.entries().insert(id, Arc::clone(&entry));
        entry
    }

    /// Removes an actor that will not be started again.
    pub(super) fn deregister(entry: &Entry) {
        if let Some(actors) = entry.actors.upgrade() {
            actors.entries().remove(&entry.id);
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ActorId, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns one actor.
    pub fn find(&self, id: ActorId) -> Option<Arc<Entry>> {
        self.entries().get(&id).cloned()
    }

    /// Returns at most `limit` actors of one kind with numbers greater than `after`, in ascending order.
    pub fn list(&self, kind: Kind, after: Option<u64>, limit: usize) -> Vec<Arc<Entry>> {
        let entries = self.entries();
        let wanted = |(id, _): &(&ActorId, &Arc<Entry>)| {
            id.kind == kind && after.is_none_or(|after| id.number > after)
        };
        let entries = entries.iter().filter(wanted).take(limit);
        entries.map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// Returns all actors.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.entries().values().cloned().collect()
    }

    /// Returns the counters of each kind, summed over all threads.
    pub fn kinds(&self) -> Vec<KindSnapshot> {
        let sum = |(place, kind): (usize, Kind)| {
            let mut snapshot = KindSnapshot::none(kind);
            for counters in &self.counters {
                counters[place].add_to(&mut snapshot);
            }
            snapshot
        };
        Kind::ALL.into_iter().enumerate().map(sum).collect()
    }
}

/// One actor, or one seat with the actors that take it in turn.
#[derive(Debug)]
pub struct Entry {
    id: ActorId,
    name: String,
    worker: Option<usize>,
    parent: Option<ActorId>,
    counters: Arc<KindCounters>,
    actors: Weak<ActorRegistry>,
    life: Mutex<Life>,
}

#[derive(Debug)]
struct Life {
    since: Instant,
    state: ActorState,
    starts: u64,
    panics: u64,
    /// Messages handled by the earlier actors of the seat.
    handled_before: u64,
    highest_before: u64,
    mail: Option<Arc<MailCounter>>,
    last_error: Option<LastError>,
    inspect: Option<CountedRecipient<Inspect>>,
}

impl Entry {
    /// Returns its id.
    pub fn id(&self) -> ActorId {
        self.id
    }

    /// Returns its display name, which may be empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the id of its supervisor; `None` for the root.
    pub fn parent(&self) -> Option<ActorId> {
        self.parent
    }

    /// Returns the recipient of [`Inspect`]; `None` while the seat is empty.
    pub fn inspect(&self) -> Option<CountedRecipient<Inspect>> {
        self.life().inspect.clone()
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that an actor starts, and returns the counter of its mail.
    pub(super) fn begin(&self) -> Arc<MailCounter> {
        let mail = MailCounter::new(Arc::clone(&self.counters));
        let mut life = self.life();
        if life.starts > 0 {
            self.counters.restarted();
        }
        life.starts += 1;
        life.since = Instant::now();
        life.state = ActorState::Running;
        if let Some(before) = life.mail.replace(Arc::clone(&mail)) {
            life.handled_before += before.handled_count();
            life.highest_before = life.highest_before.max(before.highest());
        }
        mail
    }

    /// Starts an actor without supervision.
    pub fn start<A>(self: &Arc<Entry>, make: impl FnOnce(Registration) -> A) -> CountedAddr<A>
    where
        A: Actor<Context = Context<A>> + Handler<Mail<Inspect>>,
    {
        self.start_with(Registration::listed(Arc::clone(self), None), make)
    }

    /// Starts an actor as [`start`](Self::start) does. The future resolves when the actor is gone, to
    /// `true` if it panicked.
    pub fn start_watched<A, F>(
        self: &Arc<Entry>,
        make: F,
    ) -> (CountedAddr<A>, impl Future<Output = bool> + use<A, F>)
    where
        F: FnOnce(Registration) -> A,
        A: Actor<Context = Context<A>> + Handler<Mail<Inspect>>,
    {
        let (exit, ended) = oneshot::channel();
        let registration = Registration::listed(Arc::clone(self), Some(exit));
        let ended = async { matches!(ended.await, Ok(Exit::Panicked)) };
        (self.start_with(registration, make), ended)
    }

    pub(super) fn start_with<A>(
        &self,
        registration: Registration,
        make: impl FnOnce(Registration) -> A,
    ) -> CountedAddr<A>
    where
        A: Actor<Context = Context<A>> + Handler<Mail<Inspect>>,
    {
        let mail = Arc::clone(registration.mail());
        let address = CountedAddr::new(make(registration).start(), mail);
        self.reached_at(address.recipient());
        address
    }

    fn reached_at(&self, inspect: CountedRecipient<Inspect>) {
        self.life().inspect = Some(inspect);
    }

    pub(super) fn panicked(&self, error: LastError) {
        let mut life = self.life();
        life.state = ActorState::Restarting;
        life.panics += 1;
        life.last_error = Some(error);
        life.inspect = None;
    }

    /// Returns what is known of it without asking it, so that a stuck actor can be seen.
    pub fn snapshot(&self) -> ActorSnapshot {
        let life = self.life();
        let count = |read: fn(&MailCounter) -> u64| life.mail.as_deref().map_or(0, read);
        ActorSnapshot {
            id: self.id.to_string(),
            kind: self.id.kind,
            name: self.name.clone(),
            worker: self.worker,
            parent: self.parent.map(|parent| parent.to_string()),
            state: life.state,
            uptime_seconds: life.since.elapsed().as_secs(),
            restarts: life.starts.saturating_sub(1),
            panics: life.panics,
            handled: life.handled_before + count(MailCounter::handled_count),
            waiting: match life.state {
                ActorState::Running => count(MailCounter::waiting),
                ActorState::Restarting => 0,
            },
            waiting_highest: life.highest_before.max(count(MailCounter::highest)),
            last_error: life.last_error.clone(),
            detail: None,
            responding: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            let id = ActorId { kind, number: 17 };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for wrong in [
            "", "link", "link-", "link-x", "link--1", "link-01", "link-+1", "-1", "lnk-1",
        ] {
            assert_eq!(wrong.parse::<ActorId>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn pages_follow_each_other() {
        let actors = ActorRegistry::new(1);
        for number in 0..5 {
            let id = ActorId {
                kind: Kind::Link,
                number,
            };
            actors.register(id, String::new(), Some(0), None);
        }
        let numbers = |after, limit| -> Vec<u64> {
            let page = actors.list(Kind::Link, after, limit);
            page.iter().map(|entry| entry.id().number).collect()
        };
        assert_eq!(numbers(None, 2), [0, 1]);
        assert_eq!(numbers(Some(1), 9), [2, 3, 4]);
        ActorRegistry::deregister(&actors.list(Kind::Link, None, 1)[0]);
        assert_eq!(numbers(None, 1), [1]);
        assert!(actors.list(Kind::Router, None, 9).is_empty());
    }
}
