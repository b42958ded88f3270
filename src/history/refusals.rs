//! Recent refusals of one worker, in groups: why players of a service or realm are turned away.

use std::net::SocketAddr;

use crate::codec::code::Code;
use crate::labels::Label;
use crate::memory::{self, Held, Part};
use crate::session::closing::Outcome;

/// The most groups.
const MAX_GROUPS: usize = 256;
/// Groups with a single refusal that make room before any other does.
const MAX_SINGLE: usize = MAX_GROUPS / 4;
/// Bytes that a group's texts count as: a service has 64 at most, and a reason is one of the gateway's own.
const TEXTS: usize = 128;

/// One refusal.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The code or HTTP status that the player got; `None`: nothing was sent.
    pub code: Option<Code>,
    /// The text of an ERROR, or the label of a closing.
    pub reason: &'a str,
    /// The service concerned; empty: none, or not known.
    pub service: &'a str,
    /// The realm; 0: none.
    pub realm_id: u32,
    /// The user, bound or claimed; 0: not known.
    pub user_id: u64,
    /// The player's address.
    pub client: SocketAddr,
}

/// Refusals with the same code, reason, service and realm.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Refusal`")]
pub struct RefusalGroup {
    pub code: Option<Code>,
    pub reason: Box<str>,
    pub service: Box<str>,
    pub realm_id: u32,
    /// Number of refusals.
    pub count: u64,
    /// The newest refusal's user.
    pub user_id: u64,
    /// The newest refusal's address.
    pub client: SocketAddr,
    /// The first refusal, in the worker's milliseconds.
    pub first_ms: u64,
    /// The newest refusal, likewise.
    pub last_ms: u64,
}

/// Groups that have given way to others.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// Number of groups.
    pub groups: u64,
    /// Refusals in them.
    pub refusals: u64,
}

/// The groups of one worker.
#[derive(Debug)]
pub struct Refusals {
    groups: Vec<RefusalGroup>,
    forgotten: Forgotten,
    held: Held,
}

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals {
            groups: Vec::new(),
            forgotten: Forgotten::default(),
            held: Held::new(Part::History, 0),
        }
    }
}

impl<'a> Refusal<'a> {
    /// The refusal of a connection that has no session.
    pub fn of(outcome: &Outcome<'_>, client: SocketAddr) -> Refusal<'a> {
        Refusal {
            code: outcome.client,
            reason: outcome.label.label(),
            service: "",
            realm_id: 0,
            user_id: 0,
            client,
        }
    }
}

impl RefusalGroup {
    fn new(refusal: &Refusal<'_>, now_ms: u64) -> RefusalGroup {
        RefusalGroup {
            code: refusal.code,
            reason: refusal.reason.into(),
            service: refusal.service.into(),
            realm_id: refusal.realm_id,
            count: 1,
            user_id: refusal.user_id,
            client: refusal.client,
            first_ms: now_ms,
            last_ms: now_ms,
        }
    }

    fn is_of(&self, refusal: &Refusal<'_>) -> bool {
        self.realm_id == refusal.realm_id
            && self.code == refusal.code
            && *self.service == *refusal.service
            && *self.reason == *refusal.reason
    }

    fn add(&mut self, refusal: &Refusal<'_>, now_ms: u64) {
        self.count += 1;
        self.last_ms = now_ms;
        self.user_id = refusal.user_id;
        self.client = refusal.client;
    }
}

impl Refusals {
    /// Counts a refusal in its group.
    pub fn add(&mut self, refusal: &Refusal<'_>, now_ms: u64) {
        if let Some(group) = self.groups.iter_mut().find(|group| group.is_of(refusal)) {
            return group.add(refusal, now_ms);
        }
        let group = RefusalGroup::new(refusal, now_ms);
        let each = size_of::<RefusalGroup>() + TEXTS;
        // The list doubles.
        let doubles = self.groups.len() == self.groups.capacity();
        let growth = if doubles { self.groups.len().max(4) } else { 0 };
        let fits = !memory::is_scarce() || memory::admits(growth * each);
        if self.groups.len() < MAX_GROUPS && fits {
            self.groups.push(group);
            self.held.set(self.groups.capacity() * each);
        } else if let Some(least) = self.to_forget() {
            let before = std::mem::replace(&mut self.groups[least], group);
            self.forgotten.groups += 1;
            self.forgotten.refusals += before.count;
        }
    }

    /// Returns the group that gives way: the least recently seen. A flood of names that nobody has makes groups of
    /// one refusal each; where there are many of these, they give way before a group that recurs.
    fn to_forget(&self) -> Option<usize> {
        let singles = self.groups.iter().filter(|group| group.count == 1).count();
        let spares_others = singles >= MAX_SINGLE;
        let numbered = self.groups.iter().enumerate();
        let least = numbered
            .filter(|(_, group)| !spares_others || group.count == 1)
            .min_by_key(|(_, group)| group.last_ms);
        least.map(|(place, _)| place)
    }

    /// The groups, in no order.
    pub fn groups(&self) -> &[RefusalGroup] {
        &self.groups
    }

    /// Groups that have given way.
    pub fn forgotten(&self) -> Forgotten {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(service: &str, realm_id: u32) -> Refusal<'_> {
        Refusal {
            code: Some(Code::NO_ROUTE),
            reason: "no such realm",
            service,
            realm_id,
            user_id: 4711,
            client: SocketAddr::from(([192, 0, 2, 1], 7)),
        }
    }

    #[test]
    fn the_same_is_one_group_with_its_newest_player() {
        let mut refusals = Refusals::default();
        refusals.add(&refusal("game", 7), 1_000);
        let other = Refusal {
            user_id: 4712,
            client: SocketAddr::from(([192, 0, 2, 2], 8)),
            ..refusal("game", 7)
        };
        refusals.add(&other, 5_000);
        refusals.add(&refusal("game", 8), 6_000);
        refusals.add(&refusal("chat", 7), 7_000);
        let coded = Refusal {
            code: None,
            ..refusal("game", 7)
        };
        refusals.add(&coded, 8_000);
        assert_eq!(refusals.groups().len(), 4);
        let group = &refusals.groups()[0];
        assert_eq!(
            (group.count, group.user_id, group.client.port()),
            (2, 4712, 8)
        );
        assert_eq!((group.first_ms, group.last_ms), (1_000, 5_000));
    }

    #[test]
    fn a_flood_of_names_is_bounded_and_spares_what_recurs() {
        let mut refusals = Refusals::default();
        refusals.add(&refusal("game", 7), 0);
        refusals.add(&refusal("game", 7), 1);
        for n in 0..10_000_u32 {
            refusals.add(&refusal(&format!("x{n}"), n), u64::from(n) + 2);
        }
        assert_eq!(refusals.groups().len(), MAX_GROUPS);
        let kept: u64 = refusals.groups().iter().map(|group| group.count).sum();
        assert_eq!(kept + refusals.forgotten().refusals, 10_002);
        assert!(
            refusals.groups().iter().any(|g| &*g.service == "game"),
            "it recurs"
        );
    }

    #[test]
    fn the_least_recently_seen_gives_way_among_equals() {
        let mut refusals = Refusals::default();
        for turn in 0..2_u64 {
            for n in 0..MAX_GROUPS as u32 {
                refusals.add(&refusal("game", n), turn * 1_000 + u64::from(n));
            }
        }
        refusals.add(&refusal("game", 0), 5_000);
        refusals.add(&refusal("new", 0), 6_000);
        let has = |realm: u32, service: &str| {
            let mut groups = refusals.groups().iter();
            groups.any(|g| g.realm_id == realm && *g.service == *service)
        };
        assert!(has(0, "game") && has(0, "new") && !has(1, "game"));
        assert_eq!(
            refusals.forgotten(),
            Forgotten {
                groups: 1,
                refusals: 2
            }
        );
    }
}
