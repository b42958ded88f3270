//! The actor registry: all actors of the process but the clients, by id. Control path: written when
//! an actor starts or ends, read by the admin API.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::kind_counters::KindCounters;
use super::message_times;
use crate::supervision::{BusyActor, Kind, KindSnapshot, WorkerLoad};

/// Interval at which the highest number of waiting messages begins anew.
const PEAK_INTERVAL: Duration = Duration::from_secs(60);

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
    peaks_began: Mutex<Option<Instant>>,
}

impl ActorRegistry {
    /// Creates an empty registry for this number of workers.
    pub fn new(workers: usize) -> Arc<ActorRegistry> {
        let counters = || Kind::ALL.map(|kind| Arc::new(KindCounters::new(kind)));
        Arc::new(ActorRegistry {
            counters: (0..=workers).map(|_| counters()).collect(),
            entries: Mutex::default(),
            peaks_began: Mutex::default(),
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
        let counters = Arc::clone(self.counters(id.kind, worker));
        let entry = Entry::new(id, name, worker, parent, counters, Arc::downgrade(self));
        self.entries().insert(id, Arc::clone(&entry));
        entry
    }

    /// Removes an actor that will not be started again.
    pub(super) fn deregister(entry: &Entry) {
        if let Some(actors) = entry.actors() {
            actors.entries().remove(&entry.id());
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

    /// Looks at all counters, for loads and peaks. Called every [`LOOK_INTERVAL`](super::LOOK_INTERVAL).
    pub fn look(&self) {
        let now = Instant::now();
        let mut began = self
            .peaks_began
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let forget = now.saturating_duration_since(*began.get_or_insert(now)) >= PEAK_INTERVAL;
        if forget {
            *began = Some(now);
        }
        drop(began);
        for counters in self.counters.iter().flatten() {
            counters.look(now);
            if forget {
                counters.forget_peak();
            }
        }
        for entry in self.all() {
            entry.look(now);
        }
    }

    /// Returns the counters of each kind, summed over all threads.
    pub fn kinds(&self) -> Vec<KindSnapshot> {
        let sum = |(place, kind): (usize, Kind)| {
            let (mut snapshot, mut times) = (KindSnapshot::none(kind), Vec::new());
            for counters in &self.counters {
                counters[place].add_to(&mut snapshot);
                counters[place].times.add_to(&mut times);
            }
            for sum in &times {
                snapshot.times.merge(&sum.all);
            }
            snapshot.handlers = message_times::snapshots(&times);
            snapshot
        };
        Kind::ALL.into_iter().enumerate().map(sum).collect()
    }

    /// Returns how many clients each worker has, and the load of all its actors.
    pub fn workers(&self) -> Vec<WorkerLoad> {
        let workers = self
            .counters
            .split_last()
            .map_or(&[][..], |(_, workers)| workers);
        let of = |(worker, kinds): (usize, &Counters)| {
            let mut row = WorkerLoad::none(worker);
            for counters in kinds {
                row.load.add(counters.load());
            }
            row.clients = self.clients(Some(worker)).live;
            row
        };
        workers.iter().enumerate().map(of).collect()
    }

    /// Returns the counters of a worker's clients.
    pub fn clients(&self, worker: Option<usize>) -> KindSnapshot {
        let mut clients = KindSnapshot::none(Kind::Client);
        self.counters(Kind::Client, worker).add_to(&mut clients);
        clients
    }

    /// Returns all actors, and each worker's clients as one, with what they do and what waits for them.
    pub fn loads(&self) -> Vec<BusyActor> {
        let mut rows: Vec<BusyActor> = self.all().iter().map(|entry| entry.busy()).collect();
        for worker in 0..self.counters.len() - 1 {
            let clients = self.clients(Some(worker));
            rows.push(BusyActor {
                id: None,
                kind: Kind::Client,
                name: format!("{} clients", clients.live),
                worker: Some(worker),
                waiting: clients.waiting,
                load: clients.load,
            });
        }
        rows
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
