//! The gate: counts connections against the limit, and closes for a drain. Shared by all workers;
//! lock-free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::addresses::AddressSeat;
use super::files::FileBudget;
use crate::memory::{self, Part};

/// Memory of a session that waits for its player, its replay ring aside, in bytes.
pub const SUSPENDED_BYTES: usize = 2048;

/// Counts connections and says whether newcomers are let in.
#[derive(Debug)]
pub struct Gate {
    seats: Arc<Ticket>,
    refusals: Arc<Ticket>,
    peak: AtomicUsize,
    entered: AtomicU64,
    suspended: AtomicUsize,
    files: FileBudget,
    wanted: AtomicUsize,
    links: AtomicUsize,
    limit: AtomicUsize,
    most_refusals: AtomicUsize,
    handed_over: AtomicU64,
    since: Instant,
    /// When a drain's window ends, in milliseconds after `since`; 0: no drain.
    drain_ends_ms: AtomicU64,
    refusing: AtomicBool,
}

/// Outcome of a new connection.
#[derive(Debug)]
pub enum Admission {
    /// It is served.
    Admitted(Permit),
    /// It is told that the gateway is full.
    Refused(Permit),
    /// Too many are being told already.
    Dropped,
}

impl Gate {
    /// A gate for `wanted` connections at a time, or as many as there are files for; none where there
    /// are files for no connection.
    pub fn new(wanted: usize, files: FileBudget) -> Option<Gate> {
        let room = files.room(wanted, 0)?;
        Some(Gate {
            seats: Arc::default(),
            refusals: Arc::default(),
            peak: AtomicUsize::new(0),
            entered: AtomicU64::new(0),
            suspended: AtomicUsize::new(0),
            files,
            wanted: AtomicUsize::new(wanted),
            links: AtomicUsize::new(0),
            limit: AtomicUsize::new(room.connections),
            most_refusals: AtomicUsize::new(room.refusals),
            handed_over: AtomicU64::new(0),
            since: Instant::now(),
            drain_ends_ms: AtomicU64::new(0),
            refusing: AtomicBool::new(false),
        })
    }

    /// Changes how many connections are wanted at a time; returns the new limit if that changes it.
    pub fn want(&self, connections: usize) -> Option<usize> {
        self.wanted.store(connections, Ordering::Relaxed);
        self.make_room()
    }

    /// Keeps files free for as many links; returns the new limit if that changes it.
    pub fn keep_for_links(&self, links: usize) -> Option<usize> {
        self.links.store(links, Ordering::Relaxed);
        self.make_room()
    }

    /// Returns the links that may be kept only to know how their endpoints are.
    pub fn most_probed(&self) -> usize {
        self.files.most_probed()
    }

    fn make_room(&self) -> Option<usize> {
        let wanted = self.wanted.load(Ordering::Relaxed);
        // What was room for one stays room for one.
        let room = self
            .files
            .room(wanted, self.links.load(Ordering::Relaxed))?;
        self.most_refusals.store(room.refusals, Ordering::Relaxed);
        let before = self.limit.swap(room.connections, Ordering::Relaxed);
        (before != room.connections).then_some(room.connections)
    }

    /// Counts a new connection in.
    pub fn enter(&self) -> Admission {
        self.entered.fetch_add(1, Ordering::Relaxed);
        let (permit, before) = Permit::of(&self.seats);
        if before < self.limit() {
            self.peak.fetch_max(before + 1, Ordering::Relaxed);
            return Admission::Admitted(permit);
        }
        drop(permit);
        self.admit_refusal()
    }

    /// Gives a seat back: its connection is only told why it is not served. None where too many are being
    /// told already.
    pub fn refuse(&self, permit: Permit) -> Option<Permit> {
        drop(permit);
        match self.admit_refusal() {
            Admission::Refused(permit) => Some(permit),
            Admission::Admitted(_) | Admission::Dropped => None,
        }
    }

    fn admit_refusal(&self) -> Admission {
        let (permit, before) = Permit::of(&self.refusals);
        match before < self.most_refusals.load(Ordering::Relaxed) {
            true => Admission::Refused(permit),
            false => Admission::Dropped,
        }
    }

    /// Returns the number of connections that are served.
    pub fn connections(&self) -> usize {
        self.seats.count()
    }

    /// Returns the number of connections that are kept only to be told that they are not served.
    pub fn refusals(&self) -> usize {
        self.refusals.count()
    }

    /// Returns true if there is no connection, served or refused.
    pub fn is_empty(&self) -> bool {
        self.connections() == 0 && self.refusals() == 0
    }

    /// Returns true if there is no seat for another connection.
    pub fn is_full(&self) -> bool {
        self.connections() >= self.limit()
    }

    /// Returns the largest number of connections served at once.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Returns the number of connections since the start, including refused ones.
    pub fn entered(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }

    /// Returns the limit of connections served at once.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Returns the open-file budget.
    pub fn files(&self) -> &FileBudget {
        &self.files
    }

    /// Returns the number of suspended sessions.
    pub fn suspended(&self) -> usize {
        self.suspended.load(Ordering::Relaxed)
    }

    /// Counts a suspended session until the returned guard is dropped; its memory only where there is room for it. It
    /// is not new, for the session has it already.
    pub fn suspend(self: &Arc<Gate>) -> Suspension {
        self.suspended.fetch_add(1, Ordering::Relaxed);
        let is_held = !memory::is_scarce() || memory::admits(SUSPENDED_BYTES);
        if is_held {
            memory::count(Part::Suspended, 0, SUSPENDED_BYTES);
        }
        Suspension {
            gate: Arc::clone(self),
            is_held,
        }
    }

    /// Counts a session that another gateway has taken over.
    pub fn handed_over(&self) {
        self.handed_over.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of sessions that other gateways have taken over.
    pub fn handed_over_count(&self) -> u64 {
        self.handed_over.load(Ordering::Relaxed)
    }

    /// Begins a drain: sessions that can move should, and none stays after `ends`.
    pub fn drain_until(&self, ends: Instant) {
        let ends_ms = ends.saturating_duration_since(self.since).as_millis() as u64;
        self.drain_ends_ms.store(ends_ms.max(1), Ordering::Release);
    }

    /// Returns the rest of the drain window; `None` without a drain.
    pub fn drain_left(&self) -> Option<Duration> {
        let ends_ms = self.drain_ends_ms.load(Ordering::Acquire);
        let ends = self.since + Duration::from_millis(ends_ms);
        (ends_ms > 0).then(|| ends.saturating_duration_since(Instant::now()))
    }

    /// Refuses new sessions from now on.
    pub fn refuse_sessions(&self) {
        self.refusing.store(true, Ordering::Release);
    }

    /// Undoes a drain: sessions may start, and stay.
    pub fn allow_sessions(&self) {
        self.drain_ends_ms.store(0, Ordering::Release);
        self.refusing.store(false, Ordering::Release);
    }

    /// Returns whether new sessions are refused.
    pub fn refuses_sessions(&self) -> bool {
        self.refusing.load(Ordering::Acquire)
    }
}

/// What a permit counts for. All permits of one kind share one, but those that count for an address too: a
/// permit is one pointer, because each client has one.
#[derive(Debug, Default)]
struct Ticket {
    count: Arc<AtomicUsize>,
    _address: Option<AddressSeat>,
}

impl Ticket {
    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

/// Guard of a counted connection.
#[derive(Debug)]
pub struct Permit(Arc<Ticket>);

impl Permit {
    /// Counts a connection in; returns how many there were.
    fn of(ticket: &Arc<Ticket>) -> (Permit, usize) {
        let before = ticket.count.fetch_add(1, Ordering::Relaxed);
        (Permit(Arc::clone(ticket)), before)
    }

    /// Lets the connection count for its address, and no longer for another one.
    pub fn count_for(&mut self, address: Option<AddressSeat>) {
        self.0 = Arc::new(Ticket {
            count: Arc::clone(&self.0.count),
            _address: address,
        });
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Guard of a counted suspended session.
#[derive(Debug)]
pub struct Suspension {
    gate: Arc<Gate>,
    /// Its memory is counted.
    is_held: bool,
}

impl Drop for Suspension {
    fn drop(&mut self) {
        self.gate.suspended.fetch_sub(1, Ordering::Relaxed);
        if self.is_held {
            memory::count(Part::Suspended, SUSPENDED_BYTES, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(wanted: usize) -> Arc<Gate> {
        let files = FileBudget::new(1000, 1, 256, 0);
        Arc::new(Gate::new(wanted, files).unwrap())
    }

    #[test]
    fn those_that_are_refused_hold_no_seats() {
        let gate = gate(1);
        let Admission::Admitted(first) = gate.enter() else {
            panic!("there is a seat");
        };
        let told: Vec<_> = std::iter::from_fn(|| match gate.enter() {
            Admission::Refused(permit) => Some(permit),
            Admission::Dropped => None,
            Admission::Admitted(_) => panic!("there is no seat"),
        })
        .collect();
        assert_eq!(told.len(), gate.most_refusals.load(Ordering::Relaxed));
        assert_eq!((gate.connections(), gate.refusals()), (1, told.len()));
        drop(first);
        let Admission::Admitted(second) = gate.enter() else {
            panic!("there is a seat again");
        };
        // Nobody more can be told now.
        assert!(gate.refuse(second).is_none());
        drop(told);
        let told = match gate.enter() {
            Admission::Admitted(permit) => gate.refuse(permit).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!((gate.connections(), gate.refusals()), (0, 1));
        drop(told);
        assert_eq!((gate.refusals(), gate.peak()), (0, 1));
    }

    #[test]
    fn files_for_links_come_out_of_the_seats() {
        let gate = gate(10_000);
        let before = gate.limit();
        assert_eq!(gate.keep_for_links(16), None);
        let fewer = gate.files.room(10_000, 116).unwrap().connections;
        assert!(fewer < before);
        assert_eq!(gate.keep_for_links(116), Some(fewer));
        assert_eq!(gate.limit(), fewer);
        assert_eq!(gate.keep_for_links(0), Some(before));
        assert_eq!(gate.want(7), Some(7));
    }
}
