//! The budget of deaths: too many panics of supervised actors in too short a time end the process.
//! Clients and links do not count, so that bad packets never add up to an exit.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::address::CountedRecipient;

/// Deaths of supervised actors within [`BUDGET_WINDOW`] that end the process.
const BUDGET_DEATHS: usize = 5;
/// See [`BUDGET_DEATHS`].
pub(super) const BUDGET_WINDOW: Duration = Duration::from_secs(60);

/// The budget is exhausted: the process drains and exits with a failure.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Exhausted;

/// Recent deaths of supervised actors.
#[derive(Debug, Default)]
pub struct Budget {
    deaths: Mutex<VecDeque<Instant>>,
    root: OnceLock<CountedRecipient<Exhausted>>,
}

impl Budget {
    /// Sets the recipient of [`Exhausted`]. Only the first call has an effect.
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
