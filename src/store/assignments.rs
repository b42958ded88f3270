//! Assignments of users that were read from Redis: as many as fit, and as good as the newest notification. No I/O, no
//! clock.
//!
//! An answer says what Redis held at some moment after its question was sent. So a change that was announced since may
//! be missing in it: such an answer is good for those who had asked by then, and is read again for the next.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A service, and a user's id.
type Key = (Arc<str>, u64);

/// Bounds of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries, at least 16.
    pub entries: usize,
    /// Life of an assignment.
    pub ttl: Duration,
    /// Life of the answer that there is none.
    pub negative_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entries: 65_536,
            ttl: Duration::from_secs(10),
            negative_ttl: Duration::from_secs(1),
        }
    }
}

impl Entry {
    /// Bytes of memory beside the table's place.
    fn beside(&self) -> usize {
        self.endpoint.as_deref().map_or(0, beside)
    }
}

/// Bytes of memory of an endpoint's text, with its two counts.
fn beside(endpoint: &str) -> usize {
    endpoint.len() + 2 * size_of::<usize>()
}

/// Bytes of memory of a table with room for so many.
fn table_bytes<K, V>(room: usize) -> usize {
    // A place and a byte each, and one eighth stays empty.
    room * (size_of::<(K, V)>() + 1) * 8 / 7
}

/// The cache.
#[derive(Debug)]
pub struct Assignments {
    limits: Limits,
    assigned: Recent,
    /// Users without an assignment. Apart from the others, so that a flood of strangers costs nobody else's entry.
    unassigned: Recent,
    /// Number of the newest change.
    changes: u64,
    /// The newest change that concerns every user, by service.
    services: HashMap<Arc<str>, u64>,
    /// The newest one that concerns every service.
    everything: u64,
    reading: HashMap<Key, Reading>,
}

/// What is known of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// His endpoint as it is written, or that there is none.
    Known(Option<Arc<str>>),
    /// Too little: Redis is to be asked.
    Ask(Question),
}

/// A question that Redis is being asked. It ends in [`Assignments::answered`] or [`Assignments::failed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    key: Key,
    /// Number of the newest change before it.
    since: u64,
}

impl Question {
    /// Returns the service.
    pub fn service(&self) -> &Arc<str> {
        &self.key.0
    }

    /// Returns the user's id.
    pub fn user_id(&self) -> u64 {
        self.key.1
    }
}

/// Questions under way about one user.
#[derive(Debug, Default)]
struct Reading {
    questions: u32,
    /// The newest change that concerns this user alone.
    changed: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    endpoint: Option<Arc<str>>,
    /// Number of the newest change before its question.
    since: u64,
    until: Instant,
    /// The user's assignment has changed since.
    stale: bool,
}

impl Default for Assignments {
    fn default() -> Assignments {
        Assignments::new(Limits::default())
    }
}

impl Assignments {
    /// An empty cache.
    pub fn new(limits: Limits) -> Assignments {
        Assignments {
            limits,
            // Each holds twice as much.
            assigned: Recent::new(limits.entries * 3 / 8),
            unassigned: Recent::new(limits.entries / 8),
            changes: 0,
            services: HashMap::new(),
            everything: 0,
            reading: HashMap::new(),
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.assigned.len() + self.unassigned.len()
    }

    /// Returns true if nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory, names of services aside.
    pub fn bytes(&self) -> usize {
        let reading = table_bytes::<Key, Reading>(self.reading.capacity());
        self.assigned.bytes() + self.unassigned.bytes() + reading
    }

    /// Bytes of memory that one more answer may take.
    pub fn growth(&self, endpoint: Option<&str>) -> usize {
        match endpoint {
            Some(endpoint) => self.assigned.growth() + beside(endpoint),
            None => self.unassigned.growth(),
        }
    }

    /// Tells what is known of a user now. `anew`: nothing that was read before will do.
    pub fn look(&mut self, service: &Arc<str>, user_id: u64, anew: bool, now: Instant) -> Look {
        let key = (Arc::clone(service), user_id);
        if !anew && let Some(entry) = self.entry(&key) {
            let changed = self.services.get(service).copied().unwrap_or_default();
            if !entry.stale && entry.since >= changed.max(self.everything) && now < entry.until {
                return Look::Known(entry.endpoint);
            }
        }
        self.reading.entry(key.clone()).or_default().questions += 1;
        Look::Ask(Question {
            key,
            since: self.changes,
        })
    }

    fn entry(&mut self, key: &Key) -> Option<Entry> {
        let assigned = self.assigned.get(key).cloned();
        assigned.or_else(|| self.unassigned.get(key).cloned())
    }

    /// Takes Redis' answer.
    pub fn answered(&mut self, question: Question, endpoint: Option<Arc<str>>, now: Instant) {
        let changed = self.end(&question.key);
        let Question { key, since } = question;
        // Answers of two connections may overtake each other.
        if self.entry(&key).is_some_and(|known| known.since > since) {
            return;
        }
        let (holds, other, ttl) = match endpoint {
            Some(_) => (&mut self.assigned, &mut self.unassigned, self.limits.ttl),
            None => {
                let ttl = self.limits.negative_ttl;
                (&mut self.unassigned, &mut self.assigned, ttl)
            }
        };
        other.remove(&key);
        let entry = Entry {
            endpoint,
            since,
            until: now + ttl,
            stale: since < changed,
        };
        holds.insert(key, entry);
    }

    /// Takes Redis' answer where it is not to be kept: what was known is not good any more.
    pub fn passed(&mut self, question: &Question) {
        self.end(&question.key);
        self.assigned.remove(&question.key);
        self.unassigned.remove(&question.key);
    }

    /// Forgets what was not used since this was called before, because memory is short.
    pub fn forget_unused(&mut self) {
        self.assigned.turn();
        self.unassigned.turn();
        self.reading.shrink_to_fit();
    }

    /// Redis has not answered. Returns the user's last assignment, however old.
    pub fn failed(&mut self, question: &Question) -> Option<Arc<str>> {
        self.end(&question.key);
        self.assigned.get(&question.key)?.endpoint.clone()
    }

    /// Ends a question. Returns the newest change that concerns its user alone.
    fn end(&mut self, key: &Key) -> u64 {
        let Some(reading) = self.reading.get_mut(key) else {
            return 0;
        };
        let changed = reading.changed;
        reading.questions -= 1;
        if reading.questions == 0 {
            self.reading.remove(key);
        }
        changed
    }

    /// The assignments of a service have changed: that of one user, or perhaps all.
    pub fn changed(&mut self, service: &Arc<str>, user_id: Option<u64>) {
        self.changes += 1;
        let Some(user_id) = user_id else {
            self.services.insert(Arc::clone(service), self.changes);
            return;
        };
        let key = (Arc::clone(service), user_id);
        for recent in [&mut self.assigned, &mut self.unassigned] {
            if let Some(entry) = recent.get(&key) {
                entry.stale = true;
            }
        }
        if let Some(reading) = self.reading.get_mut(&key) {
            reading.changed = self.changes;
        }
    }

    /// Anything may have changed: notifications were missed.
    pub fn all_changed(&mut self) {
        self.changes += 1;
        self.everything = self.changes;
    }

    /// Keeps account of these services alone.
    pub fn keep(&mut self, services: &BTreeSet<Arc<str>>) {
        self.services
            .retain(|service, _| services.contains(service));
    }

    /// Nobody will end the questions that are under way.
    pub fn begin_anew(&mut self) {
        self.reading.clear();
        self.all_changed();
    }
}

/// The entries that were used last: at most twice `half`, in two halves. Where one is full the other, with what was not
/// used since it was full itself, is forgotten in one piece.
#[derive(Debug)]
struct Recent {
    half: usize,
    young: Half,
    old: Half,
}

#[derive(Debug, Default)]
struct Half {
    entries: HashMap<Key, Entry>,
    /// Bytes beside the table's.
    beside: usize,
}

impl Half {
    fn insert(&mut self, key: Key, entry: Entry) {
        self.beside += entry.beside();
        if let Some(before) = self.entries.insert(key, entry) {
            self.beside -= before.beside();
        }
    }

    fn remove(&mut self, key: &Key) -> Option<(Key, Entry)> {
        let removed = self.entries.remove_entry(key);
        self.beside -= removed.as_ref().map_or(0, |(_, entry)| entry.beside());
        removed
    }

    fn bytes(&self) -> usize {
        table_bytes::<Key, Entry>(self.entries.capacity()) + self.beside
    }
}

impl Recent {
    fn new(half: usize) -> Recent {
        Recent {
            half: half.max(1),
            young: Half::default(),
            old: Half::default(),
        }
    }

    fn len(&self) -> usize {
        self.young.entries.len() + self.old.entries.len()
    }

    fn bytes(&self) -> usize {
        self.young.bytes() + self.old.bytes()
    }

    /// Bytes of memory that one more entry may take, its endpoint aside.
    fn growth(&self) -> usize {
        let entries = &self.young.entries;
        match entries.len() == entries.capacity() {
            true => table_bytes::<Key, Entry>((2 * entries.len()).max(4)),
            false => 0,
        }
    }

    fn get(&mut self, key: &Key) -> Option<&mut Entry> {
        if let Some((key, entry)) = self.old.remove(key) {
            self.insert(key, entry);
        }
        self.young.entries.get_mut(key)
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        self.old.remove(&key);
        let young = &self.young.entries;
        if young.len() >= self.half && !young.contains_key(&key) {
            self.turn();
        }
        self.young.insert(key, entry);
    }

    /// Forgets the old half, and begins a young one.
    fn turn(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }

    fn remove(&mut self, key: &Key) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
#[path = "assignments_tests.rs"]
mod tests;
