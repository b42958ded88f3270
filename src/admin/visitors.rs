//! The connections of the admin API, which are few: a newcomer is always let in, and one of the address that has most
//! gives way, of those the one that has made the gateway wait for longest. So neither idle connections, nor slow
//! readers, nor many requests keep a probe out.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use slab::Slab;
use tokio::sync::Notify;

/// Connections to the admin API at a time, where there are files for so many.
pub const MAX_CONNECTIONS: usize = 128;
/// Bytes of all responses that are being written.
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;
/// The part of all connections that may be newcomers before one of those has to give way.
const NEWCOMERS: usize = 4;

/// All connections.
pub(super) struct Visitors {
    /// Most of them at a time.
    most: usize,
    list: RefCell<Slab<Visitor>>,
    /// Changes of who waits for whom.
    changes: Cell<u64>,
    /// One has left.
    left: Notify,
    /// How many had to give way.
    closed: Arc<AtomicU64>,
}

struct Visitor {
    address: IpAddr,
    /// The gateway is working for it, and it is not the gateway that waits.
    is_served: bool,
    /// Its first request has not come yet.
    is_new: bool,
    /// The number of the change since which that is so.
    since: u64,
    /// Bytes of its response.
    held: usize,
    end: Rc<Notify>,
    is_leaving: bool,
}

/// One connection's place among the others.
pub(super) struct Visit {
    visitors: Rc<Visitors>,
    key: usize,
    end: Rc<Notify>,
}

impl Visitors {
    /// No connections yet, and at most `most` at a time.
    pub(super) fn new(most: usize) -> Visitors {
        Visitors {
            most: most.max(1),
            list: RefCell::default(),
            changes: Cell::default(),
            left: Notify::default(),
            closed: Arc::default(),
        }
    }

    /// Returns the count of connections that had to give way.
    pub(super) fn closed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.closed)
    }

    /// Makes room for a connection and takes it in.
    pub(super) async fn enter(self: &Rc<Self>, address: IpAddr) -> Visit {
        while self.list.borrow().len() >= self.most {
            self.give_way();
            self.left().await;
        }
        let end = Rc::<Notify>::default();
        let visitor = Visitor {
            address,
            is_served: false,
            is_new: true,
            since: self.change(),
            held: 0,
            end: Rc::clone(&end),
            is_leaving: false,
        };
        Visit {
            visitors: Rc::clone(self),
            key: self.list.borrow_mut().insert(visitor),
            end,
        }
    }

    fn change(&self) -> u64 {
        self.changes.set(self.changes.get() + 1);
        self.changes.get()
    }

    /// Waits until a connection has left.
    pub(super) async fn left(&self) {
        self.left.notified().await;
    }

    /// Tells a connection to end, of the address that has most of them: one that the gateway waits for rather than one
    /// that it works for, the one that has lasted longest. Newcomers go last, as long as they are few: their requests
    /// are on their way.
    pub(super) fn give_way(&self) {
        self.end_one(|_, _| true);
    }

    /// Tells one of the connections that may be chosen to end. Returns false if there is none.
    fn end_one(&self, may: impl Fn(usize, &Visitor) -> bool) -> bool {
        let mut list = self.list.borrow_mut();
        let of = |address| list.iter().filter(|(_, v)| v.address == address).count();
        let few = list.iter().filter(|(_, v)| v.is_new).count() <= self.most / NEWCOMERS;
        let class = |v: &Visitor| match v.is_new && few {
            true => 0,
            false if v.is_served => 1,
            false => 2,
        };
        let candidates = list.iter().filter(|(key, v)| !v.is_leaving && may(*key, v));
        let chosen = candidates.max_by_key(|(_, v)| (of(v.address), class(v), Reverse(v.since)));
        let Some(key) = chosen.map(|(key, _)| key) else {
            return false;
        };
        let visitor = &mut list[key];
        visitor.is_leaving = true;
        visitor.end.notify_one();
        self.closed.fetch_add(1, Relaxed);
        true
    }
}

impl Visit {
    /// Completes when the connection is to give way.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let end = Rc::clone(&self.end);
        async move { end.notified().await }
    }

    /// Notes whether the gateway works for the connection, or waits for it, from now on.
    pub(super) fn is_served(&self, is_served: bool) {
        let visitor = &mut self.visitors.list.borrow_mut()[self.key];
        (visitor.is_served, visitor.since) = (is_served, self.visitors.change());
        visitor.is_new &= !is_served;
    }

    /// Notes that a response of so many bytes waits for its reader. Others give way if it is too much with theirs.
    pub(super) fn holds(&self, bytes: usize) {
        self.visitors.list.borrow_mut()[self.key].held = bytes;
        while self.held_by_all() > MAX_HELD_BYTES {
            let other = |key, visitor: &Visitor| key != self.key && visitor.held > 0;
            if !self.visitors.end_one(other) {
                return;
            }
        }
    }

    fn held_by_all(&self) -> usize {
        let list = self.visitors.list.borrow();
        let staying = list.iter().filter(|(_, visitor)| !visitor.is_leaving);
        staying.map(|(_, visitor)| visitor.held).sum()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.visitors.list.borrow_mut().remove(self.key);
        self.visitors.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt;

    use super::*;

    const HALF: usize = MAX_HELD_BYTES / 2;

    fn at(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    /// Returns the places of those that have been told to end, and forgets them.
    fn leave(visits: &mut Vec<Visit>) -> Vec<usize> {
        let (mut places, mut place) = (Vec::new(), 0);
        visits.retain(|visit| {
            let leaves = visit.ended().now_or_never().is_some();
            places.extend(leaves.then_some(place));
            place += 1;
            !leaves
        });
        places
    }

    async fn full(visitors: &Rc<Visitors>, address: impl Fn(usize) -> IpAddr) -> Vec<Visit> {
        let mut visits = Vec::new();
        for n in 0..MAX_CONNECTIONS {
            visits.push(visitors.enter(address(n)).await);
        }
        visits
    }

    /// Lets one more in; returns the place of the one that has made room.
    async fn one_more(visitors: &Rc<Visitors>, visits: &mut Vec<Visit>, address: IpAddr) -> usize {
        let newcomer = visitors.enter(address);
        tokio::pin!(newcomer);
        assert!(newcomer.as_mut().now_or_never().is_none(), "it waits");
        let left = leave(visits);
        assert_eq!(left.len(), 1, "one makes room");
        visits.push(newcomer.await);
        left[0]
    }

    #[tokio::test]
    async fn the_one_waited_for_longest_makes_room() {
        let visitors = Rc::new(Visitors::new(MAX_CONNECTIONS));
        let mut visits = full(&visitors, |_| at(1)).await;
        visits[0].is_served(true);
        // It has asked again.
        visits[1].is_served(false);
        assert_eq!(one_more(&visitors, &mut visits, at(1)).await, 2);
        // Among them all only one is not served: it goes.
        for visit in &visits {
            visit.is_served(true);
        }
        visits[9].is_served(false);
        assert_eq!(one_more(&visitors, &mut visits, at(1)).await, 9);
        assert_eq!(visitors.closed().load(Relaxed), 2);
    }

    /// Whoever has just come may be a probe, whose request is on its way.
    #[tokio::test]
    async fn newcomers_stay_while_they_are_few() {
        let visitors = Rc::new(Visitors::new(MAX_CONNECTIONS));
        // Each at an address of its own, and all are served.
        let mut visits = full(&visitors, |n| at(n as u8)).await;
        for visit in &visits {
            visit.is_served(true);
        }
        for n in 0..=MAX_CONNECTIONS / NEWCOMERS {
            let address = at((MAX_CONNECTIONS + n) as u8);
            assert_eq!(one_more(&visitors, &mut visits, address).await, 0);
        }
        let oldest = MAX_CONNECTIONS - MAX_CONNECTIONS / NEWCOMERS - 1;
        let address = at(255);
        assert_eq!(one_more(&visitors, &mut visits, address).await, oldest);
    }

    #[tokio::test]
    async fn an_address_that_has_many_makes_room() {
        let visitors = Rc::new(Visitors::new(MAX_CONNECTIONS));
        let mut visits = full(&visitors, |n| at(if n < 50 { n as u8 } else { 200 })).await;
        assert_eq!(one_more(&visitors, &mut visits, at(201)).await, 50);
        assert_eq!(one_more(&visitors, &mut visits, at(202)).await, 50);
        // Also where it is asked for much, and nobody else for anything.
        for visit in &visits[50..] {
            visit.is_served(true);
        }
        assert_eq!(one_more(&visitors, &mut visits, at(203)).await, 50);
    }

    #[tokio::test]
    async fn responses_that_nobody_reads_are_bounded_together() {
        let visitors = Rc::new(Visitors::new(MAX_CONNECTIONS));
        let mut visits = full(&visitors, |_| at(1)).await;
        visits[3].holds(HALF);
        visits[5].holds(HALF);
        assert!(leave(&mut visits).is_empty());
        visits[1].holds(1);
        assert_eq!(leave(&mut visits), [3]);
        // One that was read counts no more; one alone may be larger.
        visits[4].holds(0);
        visits[1].holds(3 * HALF);
        assert!(leave(&mut visits).is_empty());
        visits[6].holds(1);
        assert_eq!(leave(&mut visits), [1]);
    }
}
