//! Queries for what a worker remembers for operators.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix::prelude::*;

use super::Worker;
use crate::history::{Forgotten, RefusalGroup};
use crate::supervision::Receive;

/// Asks for recent refusals.
#[derive(Debug, Message)]
#[rtype(result = "RefusalsSnapshot")]
pub struct ListRefusals;

/// Recent refusals of a worker.
#[derive(Debug, MessageResponse)]
pub struct RefusalsSnapshot {
    /// The groups, in no order.
    pub groups: Vec<RefusalGroup>,
    /// Groups that have given way.
    pub forgotten: Forgotten,
    /// The beginning of the worker's milliseconds, in seconds since 1970.
    pub epoch: Duration,
}

impl Worker {
    /// Returns the beginning of the worker's milliseconds, since 1970.
    fn epoch(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let age = Duration::from_millis(self.shared.elapsed_ms());
        now.unwrap_or_default().saturating_sub(age)
    }
}

impl Receive<ListRefusals> for Worker {
    type Result = RefusalsSnapshot;

    fn receive(&mut self, _: ListRefusals, _: &mut Context<Self>) -> RefusalsSnapshot {
        let epoch = self.epoch();
        self.shared.with_refusals(|refusals| RefusalsSnapshot {
            groups: refusals.groups().to_vec(),
            forgotten: refusals.forgotten(),
            epoch,
        })
    }
}
