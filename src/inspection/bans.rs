//! The end of those who are there when they are banned.

use actix::clock::timeout;
use futures_util::future::join_all;

use super::{ANSWER_TIMEOUT, Inspector};
use crate::actors::worker::{BannedEnded, EndBanned, Worker};
use crate::admission::BanTarget;
use crate::supervision::Seat;

/// Outcome of a ban for those who were there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EndedByBan {
    /// Sessions that end.
    pub sessions: u64,
    /// Workers that have not answered in time: connections of theirs may stay.
    pub silent_workers: Vec<usize>,
}

impl Inspector {
    /// Ends all connections and sessions that a ban concerns, on all workers at once.
    pub async fn end_banned(&self, target: BanTarget) -> EndedByBan {
        let workers = self.workers.iter().map(|worker| end_on(worker, target));
        let mut all = EndedByBan::default();
        for (worker, ended) in join_all(workers).await.into_iter().enumerate() {
            match ended {
                Ok(sessions) => all.sessions += sessions,
                Err(sessions) => {
                    all.sessions += sessions;
                    all.silent_workers.push(worker);
                }
            }
        }
        all
    }
}

/// Returns the number of sessions that end on one worker.
///
/// # Errors
/// It does not answer any more; the number so far.
async fn end_on(worker: &Seat<Worker>, target: BanTarget) -> Result<u64, u64> {
    let (mut sessions, mut from) = (0, 0);
    loop {
        let answer = timeout(ANSWER_TIMEOUT, worker.send(EndBanned { target, from })).await;
        let Ok(Ok(BannedEnded {
            sessions: some,
            next,
        })) = answer
        else {
            return Err(sessions);
        };
        sessions += some;
        match next {
            Some(next) => from = next,
            None => return Ok(sessions),
        }
    }
}
