//! The open-file budget: what the process needs beside its players is kept free for it, so that a full
//! house never costs a probe, a link or a look-up.

/// Sockets of the players' port, the log, watches, look-ups, Redis, files that are read again.
const OWN: usize = 64;
/// An event loop, a listener, a share of the spare files and a connection that is just being accepted.
const FOR_EACH_WORKER: usize = 8;
/// Links for which there is room before the routes are known.
const LEAST_LINKS: usize = 16;
/// Most links that are kept only to know how their endpoints are.
const MOST_PROBED: usize = 1024;
/// Connections over the limit that are kept for as long as it takes to tell them so.
const MOST_REFUSALS: usize = 1024;
/// Share of what players have that goes to those that are refused.
const REFUSALS_SHARE: usize = 16;

/// The open files of the process, and who needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileBudget {
    /// The open-file limit.
    limit: usize,
    own: usize,
    /// Connections to the admin API at a time.
    admin: usize,
    /// Connections to and from other gateways.
    peers: usize,
}

/// Connections to the players' port for which there are files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Served at a time.
    pub connections: usize,
    /// Beyond them, kept while they are told that they are not served.
    pub refusals: usize,
}

impl FileBudget {
    /// The budget under `limit` open files. `admin` and `peers` are the most connections that these may
    /// have; where the limit is low they get an eighth of it each.
    pub fn new(limit: usize, workers: usize, admin: usize, peers: usize) -> FileBudget {
        FileBudget {
            limit,
            own: OWN + FOR_EACH_WORKER * workers,
            admin: admin.min(limit / 8),
            peers: peers.min(limit / 8),
        }
    }

    /// Returns the connections to the admin API for which files are kept free.
    pub fn admin(&self) -> usize {
        self.admin
    }

    /// Returns the files that are kept free beside players' where `links` links may be needed; links get a
    /// quarter of the limit at most.
    pub fn kept_free(&self, links: usize) -> usize {
        let links = links.max(LEAST_LINKS).min(self.limit / 4);
        self.own + self.admin + self.peers + links
    }

    /// Returns the links that may be kept only to know how their endpoints are: at most half of what all links get.
    pub fn most_probed(&self) -> usize {
        MOST_PROBED.min(self.limit / 8)
    }

    /// Returns the room for players where `wanted` connections and `links` links may be needed; none
    /// where the limit is too low for any.
    pub fn room(&self, wanted: usize, links: usize) -> Option<Room> {
        let left = self.limit.checked_sub(self.kept_free(links))?;
        let refusals = (left / REFUSALS_SHARE).clamp(1, MOST_REFUSALS);
        let connections = left.checked_sub(refusals)?.min(wanted);
        (connections > 0).then_some(Room {
            connections,
            refusals,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn links_that_the_rules_want_take_seats_of_players() {
        let budget = FileBudget::new(1024, 2, 256, 0);
        let before = budget.room(100_000, 0).unwrap();
        let after = budget.room(100_000, 100).unwrap();
        assert_eq!(before.connections + before.refusals, 1024 - 80 - 128 - 16);
        assert_eq!(after.connections + after.refusals, 1024 - 80 - 128 - 100);
        // However many they want.
        let most = budget.room(100_000, 1_000_000).unwrap();
        assert_eq!(most.connections + most.refusals, 1024 - 80 - 128 - 256);
        assert_eq!(FileBudget::new(80, 1, 256, 0).room(1, 0), None);
        assert_eq!(budget.most_probed(), 128);
        assert_eq!(FileBudget::new(1 << 20, 2, 256, 0).most_probed(), 1024);
    }

    proptest! {
        #[test]
        fn everybody_together_never_exceeds_the_limit(
            limit in 1_usize..2_000_000, workers in 1_usize..64, peers in 0_usize..2000,
            wanted in 1_usize..200_000, links in 0_usize..100_000,
        ) {
            let budget = FileBudget::new(limit, workers, 256, peers);
            if let Some(room) = budget.room(wanted, links) {
                let all = budget.kept_free(links) + room.connections + room.refusals;
                prop_assert!(all <= limit, "{all}");
                prop_assert!((1..=wanted).contains(&room.connections));
                prop_assert!((1..=MOST_REFUSALS).contains(&room.refusals));
            }
        }
    }
}
