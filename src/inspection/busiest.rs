//! Which actors do the most.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Inspector;
use crate::supervision::BusyActor;

/// What makes an actor the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BusiestBy {
    /// The time that its handlers take.
    #[default]
    Time,
    /// The messages that it handles.
    Messages,
    /// The messages that wait for it.
    Waiting,
}

impl BusiestBy {
    fn of(self, actor: &BusyActor) -> f64 {
        match self {
            BusiestBy::Time => actor.load.busy_percent,
            BusiestBy::Messages => actor.load.messages_per_second,
            BusiestBy::Waiting => actor.waiting as f64,
        }
    }
}

impl Inspector {
    /// Returns the actors that do the most, the first one first; a worker's clients count as one. Those that do nothing
    /// are left out.
    pub fn busiest(&self, by: BusiestBy, limit: usize) -> Vec<BusyActor> {
        let mut actors = self.actors.loads();
        actors.retain(|actor| by.of(actor) > 0.0);
        actors.sort_by(|a, b| by.of(b).total_cmp(&by.of(a)));
        actors.truncate(limit);
        actors
    }
}
