//! The shards of all workers.

use std::sync::Arc;

use super::SessionRegistry;
use crate::session::id::Homes;
use crate::supervision::Seat;

/// Every worker's shard, and which of them is the authority for an id. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shards {
    homes: Homes,
    seats: Arc<[Seat<SessionRegistry>]>,
}

impl Shards {
    /// Empty seats for `workers` shards.
    pub fn new(workers: usize) -> Shards {
        Shards {
            homes: Homes::new(workers),
            seats: (0..workers).map(|_| Seat::default()).collect(),
        }
    }

    /// The shard that is the authority for this id.
    pub fn home(&self, session_id: u64) -> &Seat<SessionRegistry> {
        &self.seats[self.homes.home(session_id)]
    }

    /// All shards, by their workers' indices.
    pub fn seats(&self) -> &[Seat<SessionRegistry>] {
        &self.seats
    }

    /// Which worker is at home with an id.
    pub fn homes(&self) -> &Homes {
        &self.homes
    }
}
