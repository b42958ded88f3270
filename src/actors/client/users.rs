//! Which clients of a worker say who they are: the way from a user to its clients without a look at all of them.
//!
//! An ordered set rather than a hash table: what a player claims cannot make it slow, and it never grows at a stroke.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// A user, as two halves so that an entry needs 12 bytes, and the slot of one of its clients.
type Entry = (u32, u32, u32);

/// The clients of one worker that have a user, bound or claimed.
#[derive(Debug, Default)]
pub(super) struct Users {
    entries: BTreeSet<Entry>,
}

fn entry(user_id: u64, slot: u32) -> Entry {
    ((user_id >> 32) as u32, user_id as u32, slot)
}

impl Users {
    /// The client in `slot` has another user; 0 is none.
    pub(super) fn change(&mut self, slot: u32, before: u64, now: u64) {
        if before != 0 {
            self.entries.remove(&entry(before, slot));
        }
        if now != 0 {
            self.entries.insert(entry(now, slot));
        }
    }

    /// Returns at most `limit` slots of a user's clients, in their order, beginning with `from`.
    pub(super) fn slots(&self, user_id: u64, from: u32, limit: usize) -> Vec<usize> {
        let its: RangeInclusive<Entry> = entry(user_id, from)..=entry(user_id, u32::MAX);
        let slots = self.entries.range(its).take(limit);
        slots.map(|(_, _, slot)| *slot as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_leads_to_its_clients_and_no_others() {
        let mut users = Users::default();
        for (slot, user) in [(3, 7), (1, 7), (2, 8), (5, 7 << 32), (4, u64::MAX)] {
            users.change(slot, 0, user);
        }
        assert_eq!(users.slots(7, 0, 9), [1, 3]);
        assert_eq!(users.slots(7, 2, 9), [3]);
        assert_eq!(users.slots(7, 0, 1), [1]);
        assert_eq!(users.slots(7 << 32, 0, 9), [5]);
        assert_eq!(users.slots(u64::MAX, 0, 9), [4]);
        assert_eq!(users.slots(0, 0, 9), [0_usize; 0]);
        users.change(3, 7, 8);
        users.change(1, 7, 0);
        assert_eq!(users.slots(7, 0, 9), [0_usize; 0]);
        assert_eq!(users.slots(8, 0, 9), [2, 3]);
        assert_eq!(size_of::<Entry>(), 12);
    }
}
