//! Bans at run time: of an address, a network or a user, for a time.
//!
//! Operators change a list behind a lock, and each change makes a fresh index. Workers ask the index in force,
//! without a lock: once a connection, and when a session's user becomes known or another one. Where there is no
//! ban, that is one load. Whether a ban is over is looked at when it is asked; nothing ticks for one.

mod list;
mod target;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use crate::session::rate::Nanos;
use list::{BanList, Index};

pub use list::{Ban, BanOrder, Ends, TooManyBans};
pub use target::BanTarget;

/// Where no ban ends by itself.
const NEVER: Nanos = Nanos::MAX;

/// All bans of this gateway. They are forgotten with the process.
#[derive(Debug)]
pub struct Bans {
    list: Mutex<BanList>,
    index: ArcSwapOption<Index>,
    /// When the next ban is over.
    next_end: AtomicU64,
    refusals: AtomicU64,
    ended: AtomicU64,
}

/// The outcome of an order.
#[derive(Debug)]
pub struct Banned {
    /// The ban in force.
    pub ban: Arc<Ban>,
    /// There was one of this target.
    pub replaced: bool,
}

impl Default for Bans {
    fn default() -> Bans {
        Bans {
            list: Mutex::default(),
            index: ArcSwapOption::empty(),
            next_end: AtomicU64::new(NEVER),
            refusals: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }
}

impl Bans {
    /// Returns the list without bans that are over.
    fn list(&self, now: Nanos) -> MutexGuard<'_, BanList> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if self.next_end.load(Relaxed) <= now {
            for over in list.expire(now) {
                let (ban, refusals, ended) = (over.order.target, over.refusals(), over.ended());
                let by = &over.order.by;
                tracing::info!(%ban, by, refusals, ended_sessions = ended, "a ban is over");
            }
            self.publish(&list);
        }
        list
    }

    /// Puts the list in force for all workers.
    fn publish(&self, list: &BanList) {
        self.index.store(list.index());
        let next_end = list.next_end().unwrap_or(NEVER);
        self.next_end.store(next_end, Relaxed);
    }

    /// Puts a ban in force, at most `most` of them: every look-up that begins from now on finds it. One of the
    /// same target is replaced.
    ///
    /// # Errors
    /// There are too many others.
    pub fn set(
        &self,
        order: BanOrder,
        most: usize,
        now: Nanos,
        unix_seconds: u64,
    ) -> Result<Banned, TooManyBans> {
        let mut list = self.list(now);
        let replaced = list.get(order.target).is_some();
        let ban = list.set(order, most, unix_seconds)?;
        self.publish(&list);
        Ok(Banned { ban, replaced })
    }

    /// Removes a ban and returns it; none if there is none.
    pub fn remove(&self, target: BanTarget, now: Nanos) -> Option<Arc<Ban>> {
        let mut list = self.list(now);
        let removed = list.remove(target);
        if removed.is_some() {
            self.publish(&list);
        }
        removed
    }

    /// Forgets bans that are over.
    pub fn sweep(&self, now: Nanos) {
        if self.next_end.load(Relaxed) <= now {
            drop(self.list(now));
        }
    }

    /// Returns at most `limit` bans behind `after` that cover `which`, or any, in order.
    pub fn page(
        &self,
        after: Option<BanTarget>,
        which: Option<BanTarget>,
        limit: usize,
        now: Nanos,
    ) -> Vec<Arc<Ban>> {
        let list = self.list(now);
        let wanted = |ban: &&Arc<Ban>| which.is_none_or(|which| ban.order.target.covers(which));
        let page = list.after(after).filter(wanted).take(limit);
        page.cloned().collect()
    }

    /// Returns the number of bans, those that are over until they are swept included.
    pub fn count(&self) -> usize {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.len()
    }

    /// Returns true if nobody is banned.
    pub(super) fn is_empty(&self) -> bool {
        self.index.load().is_none()
    }

    /// Returns how often all bans have kept somebody out.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Relaxed)
    }

    /// Returns the number of sessions that were ended when they were banned.
    pub fn ended(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    /// Counts sessions that a ban has ended.
    pub fn has_ended(&self, ban: &Ban, sessions: u64) {
        ban.has_ended(sessions);
        self.ended.fetch_add(sessions, Relaxed);
    }

    /// Returns true if this address is banned, and counts that.
    pub(super) fn refuses_address(&self, ip: IpAddr, now: impl FnOnce() -> Nanos) -> bool {
        let index = self.index.load();
        let ban = index.as_ref().and_then(|i| i.of_address(ip, now()));
        self.counts(ban)
    }

    /// Returns true if this user is banned, and counts that.
    pub(super) fn refuses_user(&self, user_id: u64, now: impl FnOnce() -> Nanos) -> bool {
        let index = self.index.load();
        let ban = index.as_ref().and_then(|i| i.of_user(user_id, now()));
        self.counts(ban)
    }

    fn counts(&self, ban: Option<&Ban>) -> bool {
        if let Some(ban) = ban {
            ban.has_refused();
            self.refusals.fetch_add(1, Relaxed);
        }
        ban.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str, ends: Option<Nanos>) -> BanOrder {
        BanOrder {
            target: BanTarget::parse(text).expect(text),
            ends: ends.map(|at| Ends {
                at,
                unix_seconds: 0,
            }),
            reason: "flood".to_owned(),
            by: "me".to_owned(),
        }
    }

    #[test]
    fn a_ban_holds_until_its_end_swept_or_not() {
        let bans = Bans::default();
        let refuses = |now| bans.refuses_address("192.0.2.7".parse().unwrap(), || now);
        assert!(!refuses(0));
        let set = bans.set(order("192.0.2.0/24", Some(10)), 9, 0, 0).unwrap();
        assert!(!set.replaced && refuses(9) && !refuses(10));
        assert_eq!(bans.count(), 1);
        bans.sweep(9);
        assert_eq!(bans.count(), 1);
        bans.sweep(10);
        assert_eq!(
            (bans.count(), bans.refusals(), set.ban.refusals()),
            (0, 1, 1)
        );
        assert!(bans.index.load().is_none(), "nothing is looked up any more");
    }

    #[test]
    fn those_that_are_over_make_room() {
        let bans = Bans::default();
        bans.set(order("user-1", Some(10)), 1, 0, 0).unwrap();
        assert!(bans.set(order("user-2", None), 1, 9, 0).is_err());
        assert!(bans.set(order("user-2", None), 1, 10, 0).is_ok());
        assert!(bans.refuses_user(2, || 10) && !bans.refuses_user(1, || 10));
        assert!(!bans.refuses_user(0, || 10));
        let removed = bans.remove(BanTarget::User(2), 10).unwrap();
        assert_eq!(removed.refusals(), 1);
        assert!(!bans.refuses_user(2, || 10));
    }

    #[test]
    fn pages_go_on_behind_the_last_one() {
        let bans = Bans::default();
        for text in [
            "user-3",
            "10.0.0.0/8",
            "2001:db8::/32",
            "10.1.0.0/16",
            "user-20",
        ] {
            bans.set(order(text, None), 9, 0, 0).unwrap();
        }
        let page = |after: Option<&str>, which: Option<&str>, limit| {
            let target = |text: &str| BanTarget::parse(text).expect(text);
            let page = bans.page(after.map(target), which.map(target), limit, 0);
            let ids = page.iter().map(|ban| ban.order.target.to_string());
            ids.collect::<Vec<_>>()
        };
        let all = [
            "10.0.0.0-8",
            "10.1.0.0-16",
            "2001:db8::-32",
            "user-3",
            "user-20",
        ];
        assert_eq!(page(None, None, 9), all);
        assert_eq!(page(None, None, 2), all[..2]);
        assert_eq!(page(Some("10.1.0.0-16"), None, 9), all[2..]);
        // The one behind which to go on may be gone.
        assert_eq!(page(Some("10.0.0.7"), None, 1), all[1..2]);
        assert_eq!(page(None, Some("10.1.2.3"), 9), all[..2]);
        assert_eq!(page(None, Some("user-3"), 9), ["user-3"]);
    }
}
