//! Queries for what a worker remembers for operators.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::Worker;
use super::queries::MAX_ROWS;
use crate::actors::client::{SessionFilter, SessionSnapshot, SessionStory};
use crate::history::{Forgotten, RefusalGroup};
use crate::memory::Pressure;
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

/// Asks for sessions that have ended, the newest first.
#[derive(Debug, Clone, Message)]
#[rtype(result = "EndedSnapshot")]
pub struct ListEnded {
    /// Only those with smaller numbers.
    pub below: u64,
    /// Upper limit of the answer's length.
    pub limit: usize,
    /// Which.
    pub filter: Arc<SessionFilter>,
}

/// Some sessions of a worker that have ended.
#[derive(Debug, MessageResponse)]
pub struct EndedSnapshot {
    /// Those that pass the filter, the newest first.
    pub sessions: Vec<SessionSnapshot>,
    /// Where to go on; `None`: there are no more.
    pub below: Option<u64>,
}

/// Asks for one session that has ended.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<SessionStory>")]
pub struct ReadEnded {
    /// Which.
    pub session_id: u64,
}

impl Worker {
    /// Forgets sessions that ended long ago, and more of them while memory is short.
    pub(super) fn look_at_history(&self, pressure: Pressure) {
        let now_s = self.shared.now_s();
        self.shared.with_ended(|all| match pressure {
            _ if all.is_empty() => {}
            Pressure::None => all.forget_old(now_s),
            Pressure::Rings | Pressure::Reading | Pressure::Sessions | Pressure::Queues => {
                all.forget_half();
            }
        });
    }
}

impl Receive<ListEnded> for Worker {
    type Result = EndedSnapshot;

    fn receive(&mut self, msg: ListEnded, _: &mut Context<Self>) -> EndedSnapshot {
        let (place, limit) = (self.shared.place(), msg.limit.min(MAX_ROWS));
        let mut some = EndedSnapshot {
            sessions: Vec::new(),
            below: None,
        };
        self.shared.with_ended(|all| {
            all.forget_old(place.now_s);
            for (number, session) in all.newest_first(msg.below) {
                if some.sessions.len() == limit {
                    some.below = Some(number + 1);
                    break;
                }
                if msg.filter.passes_ended(session) {
                    let row = SessionSnapshot::of_ended(session, &place);
                    some.sessions.push(row);
                }
            }
        });
        some
    }
}

impl Receive<ReadEnded> for Worker {
    type Result = Option<SessionStory>;

    fn receive(&mut self, msg: ReadEnded, _: &mut Context<Self>) -> Self::Result {
        let place = self.shared.place();
        self.shared.with_ended(|all| {
            all.forget_old(place.now_s);
            let session = all.find(msg.session_id)?;
            Some(SessionStory::of_ended(session, &place))
        })
    }
}

impl Receive<ListRefusals> for Worker {
    type Result = RefusalsSnapshot;

    fn receive(&mut self, _: ListRefusals, _: &mut Context<Self>) -> RefusalsSnapshot {
        let epoch = self.shared.place().epoch;
        self.shared.with_refusals(|refusals| RefusalsSnapshot {
            groups: refusals.groups().to_vec(),
            forgotten: refusals.forgotten(),
            epoch,
        })
    }
}
