//! Why names of the routing data cannot be resolved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The newest failure of each name that fails. Whoever looks names up writes it, operators read it.
#[derive(Debug, Default)]
pub struct NameFailures(Mutex<BTreeMap<Arc<str>, String>>);

impl NameFailures {
    fn with<R>(&self, look: impl FnOnce(&mut BTreeMap<Arc<str>, String>) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces what is wrong with a name; none: it has been resolved. Returns true if it has failed before.
    pub fn set(&self, host: &Arc<str>, failure: Option<String>) -> bool {
        let before = self.with(|failures| match failure {
            Some(failure) => failures.insert(Arc::clone(host), failure),
            None => failures.remove(host),
        });
        before.is_some()
    }

    /// Forgets the names that are not `wanted`.
    pub fn keep(&self, wanted: impl Fn(&Arc<str>) -> bool) {
        self.with(|failures| failures.retain(|host, _| wanted(host)));
    }

    /// Returns what is wrong with a name; none where it has been resolved, or not been looked up yet.
    pub fn of(&self, host: &str) -> Option<String> {
        self.with(|failures| failures.get(host).cloned())
    }
}
