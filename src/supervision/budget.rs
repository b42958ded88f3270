//! The budget of deaths: too many in too short a time end the process.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::address::CountedRecipient;

/// Deaths of supervised actors within [`BUDGET_WINDOW`] that end the process.
const BUDGET_DEATHS: usize = 5;
/// See [`BUDGET_DEATHS`].
pub(super) const BUDGET_WINDOW: Duration = Duration::from_secs(60);

/// Too many supervised actors have died: the process is to end in order, and to say that it failed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Exhausted;

/// How many deaths of supervised actors the process bears.
#[derive(Debug, Default)]
pub struct Budget {
    deaths: Mutex<VecDeque<Instant>>,
    root: OnceLock<CountedRecipient<Exhausted>>,
}

impl Budget {
    /// Who is told when there are too many. Only the first call counts.
    pub fn report_to(&self, root: CountedRecipient<Exhausted>) {
        // Set once, at the start.
        let _ = self.root.set(root);
    }

    pub(super) fn death(&self) {
        let mut deaths = self.deaths.lock().unwrap_or_else(PoisonError::into_inner);
        deaths.push_back(Instant::now());
        deaths.retain(|death| death.elapsed() < BUDGET_WINDOW);
        if deaths.len() >= BUDGET_DEATHS
            && let Some(root) = self.root.get()
        {
            tracing::error!(deaths = deaths.len(), within = ?BUDGET_WINDOW,
                "too many actors have died; draining, then exiting with a failure");
            root.do_send(Exhausted);
        }
    }
}
