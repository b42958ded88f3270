//! News that take their time: what the nodes of a cluster know of its pods.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// From a pod's change of readiness to the nodes' knowing of it. Kubernetes gives no bound; a second is
/// usual.
const DELAY: Duration = Duration::from_millis(700);

/// A value that is in force a moment after it has become so.
#[derive(Debug)]
pub(crate) struct Late<T> {
    newest: T,
    in_force: T,
    to_come: VecDeque<(Instant, T)>,
}

impl<T: Clone + PartialEq> Late<T> {
    pub(crate) fn new(value: T) -> Late<T> {
        Late {
            newest: value.clone(),
            in_force: value,
            to_come: VecDeque::new(),
        }
    }

    pub(crate) fn in_force(&self) -> &T {
        &self.in_force
    }

    /// Takes what it is now.
    pub(crate) fn becomes(&mut self, value: T) {
        if value != self.newest {
            self.newest.clone_from(&value);
            self.to_come.push_back((Instant::now() + DELAY, value));
        }
    }

    /// Waits until another value is in force; for ever where none is to come.
    pub(crate) async fn passes(&mut self) {
        match self.to_come.front() {
            Some((when, _)) => sleep_until(*when).await,
            None => std::future::pending().await,
        }
        if let Some((_, value)) = self.to_come.pop_front() {
            self.in_force = value;
        }
    }
}
