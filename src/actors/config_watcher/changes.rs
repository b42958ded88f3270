//! The changes of what is in force, for operators: the last ones, in memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use crate::routing::Difference;
use crate::routing::difference::Limits;
use crate::store::redis::{Index, Version};

/// Most changes that are remembered.
pub const MAX_CHANGES: usize = 64;
/// What is named of one: with all counted, 64 of the longest are 2 MiB.
pub(super) const LIMITS: Limits = Limits {
    named: 20,
    chars: 400,
};

/// New routing data that has come in force.
#[derive(Debug)]
pub struct Change {
    /// The table's version.
    pub version: u64,
    /// Since when it is in force.
    pub at: SystemTime,
    /// Why the source was read.
    pub because: &'static str,
    /// Who has written it, as far as it is known.
    pub by: Option<Arc<str>>,
    /// The version in the history of Redis that it is.
    pub recorded: Option<Arc<Version>>,
    /// Number of its services.
    pub services: usize,
    /// Number of its realms.
    pub realms: usize,
    /// What differs from the data before; none for the first.
    pub difference: Option<Difference>,
}

/// The last [`MAX_CHANGES`].
#[derive(Debug, Clone, Default)]
pub struct Changes {
    last: VecDeque<Arc<Change>>,
}

impl Changes {
    pub(super) fn push(&mut self, change: Change) {
        if self.last.len() == MAX_CHANGES {
            self.last.pop_front();
        }
        self.last.push_back(Arc::new(change));
    }

    /// Returns them, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Arc<Change>> {
        self.last.iter().rev()
    }
}

/// What Redis says of the data that was read from it.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The version that the data is; none: it was written in another way.
    pub(super) version: Option<Arc<Version>>,
    pub(super) history: Arc<Index>,
}

impl Record {
    pub(super) fn of(history: Index, digest: &str) -> Record {
        Record {
            version: history.find(digest).cloned().map(Arc::new),
            history: Arc::new(history),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut changes = Changes::default();
        for version in 1..=MAX_CHANGES as u64 + 3 {
            changes.push(Change {
                version,
                at: SystemTime::now(),
                because: "changed",
                by: None,
                recorded: None,
                services: 0,
                realms: 0,
                difference: None,
            });
        }
        let versions: Vec<u64> = changes.newest_first().map(|it| it.version).collect();
        assert_eq!(versions.len(), MAX_CHANGES);
        assert_eq!((versions[0], versions[MAX_CHANGES - 1]), (67, 4));
    }
}
