//! The lines about changes that are refused because their token may only read: one a second for each token, however
//! many there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::access::AUDIT;

/// Time between two lines about the same token.
const INTERVAL: Duration = Duration::from_secs(1);
/// Tokens and gateways whose lines are told apart; those beyond share one.
const MOST_HOLDERS: usize = 128;

/// A change that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedChange {
    /// Who has asked for it.
    pub(super) by: String,
    pub(super) method: String,
    pub(super) path: String,
}

/// Refused changes that no line tells of yet.
#[derive(Debug, Clone, Default)]
pub(super) struct RefusedChanges(Arc<Mutex<HashMap<String, Untold>>>);

/// Those of one token whose last line is less than a second old.
#[derive(Debug, Default)]
struct Untold {
    count: u64,
    newest: Option<RefusedChange>,
}

impl RefusedChanges {
    /// Says that a change was refused to whoever has this token, now or within a second.
    pub(super) fn note(&self, token: &str, refused: RefusedChange) {
        let Some((token, refused)) = self.take(token, refused) else {
            return;
        };
        tell(&refused, 1);
        let own = self.clone();
        actix_web::rt::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                match own.due(&token) {
                    Some((newest, count)) => tell(&newest, count),
                    None => return,
                }
            }
        });
    }

    /// Returns the change, and whose lines it counts with, if there is to be a line about it now.
    fn take(&self, token: &str, refused: RefusedChange) -> Option<(String, RefusedChange)> {
        let mut untold = self.untold();
        let is_crowded = untold.len() >= MOST_HOLDERS && !untold.contains_key(token);
        let token = if is_crowded { "" } else { token };
        if let Some(untold) = untold.get_mut(token) {
            untold.count += 1;
            untold.newest = Some(refused);
            return None;
        }
        untold.insert(token.to_owned(), Untold::default());
        Some((token.to_owned(), refused))
    }

    /// Returns the newest of those that no line tells of, and their number; without any the token is forgotten.
    fn due(&self, token: &str) -> Option<(RefusedChange, u64)> {
        let mut untold = self.untold();
        let own = std::mem::take(untold.get_mut(token)?);
        let due = own.newest.map(|newest| (newest, own.count));
        if due.is_none() {
            untold.remove(token);
        }
        due
    }

    fn untold(&self) -> MutexGuard<'_, HashMap<String, Untold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(newest: &RefusedChange, changes: u64) {
    let RefusedChange { by, method, path } = newest;
    tracing::info!(target: AUDIT, by, method, path, changes, "a change is refused: the token may only read");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str) -> RefusedChange {
        RefusedChange {
            by: "page at 192.0.2.7:1".to_owned(),
            method: "POST".to_owned(),
            path: path.to_owned(),
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_the_others_are_counted() {
        let changes = RefusedChanges::default();
        assert!(changes.take("page", post("/1")).is_some());
        for n in 2..=300 {
            assert_eq!(changes.take("page", post(&format!("/{n}"))), None);
        }
        assert!(changes.take("other", post("/")).is_some(), "one of its own");
        assert_eq!(changes.due("page"), Some((post("/300"), 299)));
        assert_eq!(changes.take("page", post("/301")), None);
        assert_eq!(changes.due("page"), Some((post("/301"), 1)));
        assert_eq!((changes.due("page"), changes.due("other")), (None, None));
        assert!(changes.untold().is_empty(), "nobody is remembered");
        assert!(changes.take("page", post("/302")).is_some());
    }

    #[test]
    fn so_many_tokens_are_told_apart() {
        let changes = RefusedChanges::default();
        let lines = (0..1_000).filter(|n| changes.take(&n.to_string(), post("/")).is_some());
        assert_eq!(lines.count(), MOST_HOLDERS + 1);
        assert_eq!(changes.untold().len(), MOST_HOLDERS + 1);
        assert_eq!(
            changes.due(""),
            Some((post("/"), 1_000 - MOST_HOLDERS as u64 - 1))
        );
    }
}
