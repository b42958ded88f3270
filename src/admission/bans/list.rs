//! The list of bans, without clock or threads: what is in force, and for how long.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::target::BanTarget;
use crate::config::Network;
use crate::session::rate::Nanos;

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanOrder {
    /// Whom it concerns.
    pub target: BanTarget,
    /// When it ends; `None`: when it is removed.
    pub ends: Option<Ends>,
    /// For other operators.
    pub reason: String,
    /// Who asks for it, and from where.
    pub by: String,
}

/// The end of a ban, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// On the clock of rates, which never goes back.
    pub at: Nanos,
    /// In seconds since 1970, to be shown.
    pub unix_seconds: u64,
}

/// A ban in force.
#[derive(Debug)]
pub struct Ban {
    /// What was asked for last.
    pub order: BanOrder,
    /// When it began, in seconds since 1970.
    pub since: u64,
    counts: Arc<Counts>,
}

/// What a ban has done; it goes on when the ban is changed.
#[derive(Debug, Default)]
struct Counts {
    refusals: AtomicU64,
    ended: AtomicU64,
}

impl Ban {
    /// Returns how often it has kept somebody out.
    pub fn refusals(&self) -> u64 {
        self.counts.refusals.load(Relaxed)
    }

    /// Returns how many sessions it has ended when it was made.
    pub fn ended(&self) -> u64 {
        self.counts.ended.load(Relaxed)
    }

    pub(super) fn has_refused(&self) {
        self.counts.refusals.fetch_add(1, Relaxed);
    }

    pub(super) fn has_ended(&self, sessions: u64) {
        self.counts.ended.fetch_add(sessions, Relaxed);
    }

    fn is_over(&self, now: Nanos) -> bool {
        self.order.ends.is_some_and(|ends| ends.at <= now)
    }
}

/// `limits.max_bans` are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bans are in force, and limits.max_bans is {1}; remove some first")]
pub struct TooManyBans(pub usize, pub usize);

/// All bans, those that are over until they are swept included.
#[derive(Debug, Default)]
pub(super) struct BanList {
    bans: BTreeMap<BanTarget, Arc<Ban>>,
}

impl BanList {
    /// Puts a ban in force, at most `most` of them; one of the same target is replaced, and its counts go on.
    ///
    /// # Errors
    /// There are too many others.
    pub(super) fn set(
        &mut self,
        order: BanOrder,
        most: usize,
        unix_seconds: u64,
    ) -> Result<Arc<Ban>, TooManyBans> {
        let before = self.bans.get(&order.target);
        if before.is_none() && self.bans.len() >= most {
            return Err(TooManyBans(self.bans.len(), most));
        }
        let target = order.target;
        let ban = Arc::new(Ban {
            order,
            since: before.map_or(unix_seconds, |before| before.since),
            counts: before.map_or_else(Arc::default, |before| Arc::clone(&before.counts)),
        });
        self.bans.insert(target, Arc::clone(&ban));
        Ok(ban)
    }

    /// Removes a ban, and returns it; none if there is none.
    pub(super) fn remove(&mut self, target: BanTarget) -> Option<Arc<Ban>> {
        self.bans.remove(&target)
    }

    /// Removes those that are over, and returns them.
    pub(super) fn expire(&mut self, now: Nanos) -> Vec<Arc<Ban>> {
        let mut over = Vec::new();
        self.bans.retain(|_, ban| {
            let stays = !ban.is_over(now);
            if !stays {
                over.push(Arc::clone(ban));
            }
            stays
        });
        over
    }

    /// Returns when the next one is over.
    pub(super) fn next_end(&self) -> Option<Nanos> {
        let ends = |ban: &Arc<Ban>| ban.order.ends.map(|ends| ends.at);
        self.bans.values().filter_map(ends).min()
    }

    pub(super) fn len(&self) -> usize {
        self.bans.len()
    }

    pub(super) fn get(&self, target: BanTarget) -> Option<&Arc<Ban>> {
        self.bans.get(&target)
    }

    /// Returns all behind `after`, in order.
    pub(super) fn after(&self, after: Option<BanTarget>) -> impl Iterator<Item = &Arc<Ban>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.bans
            .range((from, Bound::Unbounded))
            .map(|(_, ban)| ban)
    }

    /// Returns what look-ups need; none where there is no ban.
    pub(super) fn index(&self) -> Option<Arc<Index>> {
        if self.bans.is_empty() {
            return None;
        }
        let mut index = Index::default();
        for (target, ban) in &self.bans {
            match target {
                BanTarget::Network(network) => {
                    index.networks.insert(*network, Arc::clone(ban));
                    index.prefixes_mut(network.base()).push(network.prefix());
                }
                BanTarget::User(user) => {
                    index.users.insert(*user, Arc::clone(ban));
                }
            }
        }
        for prefixes in [&mut index.ipv4_prefixes, &mut index.ipv6_prefixes] {
            prefixes.sort_unstable_by(|a, b| b.cmp(a));
            prefixes.dedup();
        }
        Some(Arc::new(index))
    }
}

/// What look-ups need. It is replaced whole.
#[derive(Debug, Default)]
pub(super) struct Index {
    networks: HashMap<Network, Arc<Ban>, foldhash::fast::RandomState>,
    /// Lengths of the networks of IPv4, the longest first.
    ipv4_prefixes: Vec<u8>,
    /// The same of IPv6.
    ipv6_prefixes: Vec<u8>,
    users: HashMap<u64, Arc<Ban>, foldhash::fast::RandomState>,
}

impl Index {
    fn prefixes_mut(&mut self, ip: IpAddr) -> &mut Vec<u8> {
        match ip {
            IpAddr::V4(_) => &mut self.ipv4_prefixes,
            IpAddr::V6(_) => &mut self.ipv6_prefixes,
        }
    }

    /// Finds the narrowest ban of this address that is in force: one look-up for each length of prefix.
    pub(super) fn of_address(&self, ip: IpAddr, now: Nanos) -> Option<&Ban> {
        let ip = ip.to_canonical();
        let prefixes = match ip {
            IpAddr::V4(_) => &self.ipv4_prefixes,
            IpAddr::V6(_) => &self.ipv6_prefixes,
        };
        let around = prefixes.iter().filter_map(|p| Network::around(ip, *p));
        let mut bans = around.filter_map(|network| self.networks.get(&network));
        bans.find(|ban| !ban.is_over(now)).map(|ban| &**ban)
    }

    /// Finds the ban of this user that is in force.
    pub(super) fn of_user(&self, user_id: u64, now: Nanos) -> Option<&Ban> {
        let ban = self.users.get(&user_id)?;
        (!ban.is_over(now)).then_some(ban)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(target: BanTarget, ends: Option<Nanos>) -> BanOrder {
        BanOrder {
            target,
            ends: ends.map(|at| Ends {
                at,
                unix_seconds: at,
            }),
            reason: String::new(),
            by: String::new(),
        }
    }

    fn target(text: &str) -> BanTarget {
        BanTarget::parse(text).expect(text)
    }

    #[test]
    fn the_same_ban_again_replaces_and_its_counts_go_on() {
        let mut list = BanList::default();
        let game = target("192.0.2.0/24");
        let first = list.set(order(game, Some(5)), 1, 100).expect("room");
        first.has_refused();
        let again = list.set(order(game, None), 1, 200).expect("the same");
        first.has_ended(2);
        assert_eq!((again.refusals(), again.ended(), again.since), (1, 2, 100));
        assert_eq!(again.order.ends, None);
        assert!(list.expire(9).is_empty(), "it does not end any more");
        let other = list.set(order(target("user-1"), None), 1, 300);
        assert_eq!(other.map(|_| ()), Err(TooManyBans(1, 1)));
        assert!(list.remove(game).is_some() && list.remove(game).is_none());
        assert!(list.index().is_none());
    }

    #[test]
    fn a_ban_that_is_over_hides_no_wider_one() {
        let mut list = BanList::default();
        for (text, ends) in [("192.0.2.7", Some(5)), ("192.0.2.0/24", None)] {
            list.set(order(target(text), ends), 9, 0).expect("room");
        }
        let index = list.index().expect("bans");
        let ip = "::ffff:192.0.2.7".parse().expect("an address");
        let found = |now| index.of_address(ip, now).map(|ban| ban.order.target);
        assert_eq!(found(4), Some(target("192.0.2.7")));
        assert_eq!(found(5), Some(target("192.0.2.0/24")));
    }

    #[derive(Debug, Clone)]
    enum Deed {
        Set(BanTarget, Option<Nanos>),
        Remove(BanTarget),
        Sweep,
        Wait(Nanos),
    }

    /// Few addresses and users, so that they meet.
    fn targets() -> impl Strategy<Value = BanTarget> {
        let v4 = (any::<u32>(), 28_u8..=32).prop_map(|(bits, prefix)| {
            let ip = IpAddr::V4((0xC000_0200 | bits & 15).into());
            Network::around(ip, prefix)
        });
        let v6 = (any::<u128>(), 124_u8..=128).prop_map(|(bits, prefix)| {
            let ip = IpAddr::V6((0x2001_0db8 << 96 | bits & 15).into());
            Network::around(ip, prefix)
        });
        prop_oneof![
            v4.prop_map(|network| BanTarget::Network(network.expect("a prefix"))),
            v6.prop_map(|network| BanTarget::Network(network.expect("a prefix"))),
            (1_u64..5).prop_map(BanTarget::User),
        ]
    }

    fn deeds() -> impl Strategy<Value = Deed> {
        let ends = prop::option::of(0_u64..40);
        prop_oneof![
            4 => (targets(), ends).prop_map(|(target, ends)| Deed::Set(target, ends)),
            2 => targets().prop_map(Deed::Remove),
            1 => Just(Deed::Sweep),
            2 => (0_u64..10).prop_map(Deed::Wait),
        ]
    }

    proptest! {
        /// The model is a plain list, looked through from its beginning to its end.
        #[test]
        fn it_does_what_a_plain_list_does(deeds in prop::collection::vec(deeds(), 1..60)) {
            const MOST: usize = 6;
            let mut list = BanList::default();
            let mut model: Vec<(BanTarget, Option<Nanos>)> = Vec::new();
            let mut now = 0;
            for deed in deeds {
                match deed {
                    Deed::Set(target, ends) => {
                        let ends = ends.map(|after| now + after);
                        let known = model.iter().position(|(t, _)| *t == target);
                        let set = list.set(order(target, ends), MOST, 0).is_ok();
                        prop_assert_eq!(set, known.is_some() || model.len() < MOST);
                        match known {
                            Some(at) => model[at].1 = ends,
                            None if set => model.push((target, ends)),
                            None => {}
                        }
                    }
                    Deed::Remove(target) => {
                        let before = model.len();
                        model.retain(|(t, _)| *t != target);
                        prop_assert_eq!(list.remove(target).is_some(), model.len() < before);
                    }
                    Deed::Sweep => {
                        let before = model.len();
                        model.retain(|(_, ends)| ends.is_none_or(|ends| ends > now));
                        prop_assert_eq!(list.expire(now).len(), before - model.len());
                    }
                    Deed::Wait(time) => now += time,
                }
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.next_end(), model.iter().filter_map(|(_, e)| *e).min());
                let in_force = |ip: IpAddr, user: u64| {
                    let over = |ends: Option<Nanos>| ends.is_some_and(|ends| ends <= now);
                    model.iter().any(|(t, ends)| !over(*ends) && t.concerns(ip, user))
                };
                let index = list.index();
                for host in 0..16_u128 {
                    let v4 = IpAddr::V4((0xC000_0200 | host as u32).into());
                    let v6 = IpAddr::V6((0x2001_0db8 << 96 | host).into());
                    for ip in [v4, v6] {
                        let found = index.as_ref().and_then(|i| i.of_address(ip, now));
                        prop_assert_eq!(found.is_some(), in_force(ip, 0), "{}", ip);
                    }
                }
                let nowhere = IpAddr::V4(0.into());
                for user in 0..6 {
                    let found = index.as_ref().and_then(|i| i.of_user(user, now));
                    prop_assert_eq!(found.is_some(), in_force(nowhere, user));
                }
            }
        }
    }
}
