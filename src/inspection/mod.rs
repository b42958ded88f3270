//! Inspection: questions to actors with deadlines, for the admin API, which reaches actors in no other
//! way.
//!
//! A worker looks at a bounded number of its clients per question, so that traffic goes on in between.
//! The inspector repeats the question until a page is full, the workers have no more clients, or
//! its deadline has passed.

mod assigning;
mod backends;
mod bans;
mod busiest;
mod clients;
mod ended;
mod refusals;
mod restarting;
mod slow;
mod snapshots;
mod talkers;
mod traces;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::clock::{Instant, timeout};
use futures_util::future::join_all;

use crate::actors::assignment_reader::Assignments;
use crate::actors::backend_pool::OperatorBook;
use crate::actors::client::{SessionFilter, worker_of};
use crate::actors::session_registry::{FindClientNumber, Shards};
#[cfg(feature = "fault-injection")]
use crate::actors::worker::ReadClient;
use crate::actors::worker::{KickSession, ListSessions, Worker};
use crate::scope::RoutesInForce;
#[cfg(feature = "fault-injection")]
use crate::supervision::Fault;
use crate::supervision::{
    Account, ActorId, ActorRegistry, ActorSnapshot, Entry, Inspect, Kind, KindSnapshot, Seat,
};
use crate::traces::Traces;

pub use bans::EndedByBan;
pub use busiest::BusiestBy;
pub use refusals::{RefusalFilter, RefusalPage, RefusalRow};
pub use slow::Slow;
pub use snapshots::{ActorNode, ActorPage, BackendSnapshot, OrderSnapshot, SessionPage};
pub use talkers::{GroupBy, Sample, SortBy, Talker, rank};
pub use traces::BegunTrace;

/// Largest number of actors or sessions on one page.
pub const MAX_PAGE: usize = 1000;
/// Deadline of one actor's answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Deadline of a page, which then ends early.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Failure of an inspection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// Not a cursor of this gateway.
    #[error("the cursor is not one that this gateway has given")]
    BadCursor,
    /// This worker has not answered in time.
    #[error("worker {0} has not answered in time")]
    Silent(usize),
}

/// Asks actors about themselves.
#[derive(Debug, Clone)]
pub struct Inspector {
    /// Every actor but the clients.
    pub actors: Arc<ActorRegistry>,
    /// The workers, which know the clients.
    pub workers: Vec<Seat<Worker>>,
    /// The session registries, which know who has a session.
    pub shards: Shards,
    /// The table in force.
    pub routes: Arc<RoutesInForce>,
    /// What operators have said of endpoints.
    pub operator: Arc<OperatorBook>,
    /// Users' assignments in Redis.
    pub assignments: Assignments,
    /// What is recorded of some sessions.
    pub traces: Arc<Traces>,
}

/// Position in the listing of all workers' clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    worker: usize,
    slot: usize,
}

impl Cursor {
    fn parse(text: Option<&str>, workers: usize) -> Result<Cursor, InspectError> {
        let start = Cursor { worker: 0, slot: 0 };
        let Some(text) = text else { return Ok(start) };
        let parts = text.split_once('.');
        let number = |text: &str| text.parse().map_err(|_| InspectError::BadCursor);
        let (worker, slot) = parts.ok_or(InspectError::BadCursor)?;
        let cursor = Cursor {
            worker: number(worker)?,
            slot: number(slot)?,
        };
        let known = cursor.worker < workers && cursor.text() == text;
        known.then_some(cursor).ok_or(InspectError::BadCursor)
    }

    fn text(self) -> String {
        format!("{}.{}", self.worker, self.slot)
    }

    /// Returns the position after an answer that gave `next`.
    fn after(self, next: Option<usize>) -> Cursor {
        match next {
            Some(slot) => Cursor { slot, ..self },
            None => Cursor {
                worker: self.worker + 1,
                slot: 0,
            },
        }
    }
}

impl Inspector {
    /// Returns the counters of every kind of actor.
    pub fn kinds(&self) -> Vec<KindSnapshot> {
        self.actors.kinds()
    }

    /// Returns the tree of supervision, with numbers of clients in place of clients.
    pub fn tree(&self) -> Option<ActorNode> {
        let mut below: BTreeMap<Option<ActorId>, Vec<Arc<Entry>>> = BTreeMap::new();
        for entry in self.actors.all() {
            below.entry(entry.parent()).or_default().push(entry);
        }
        let root = below.remove(&None)?.pop()?;
        Some(self.node(&root, &mut below))
    }

    fn node(
        &self,
        entry: &Arc<Entry>,
        below: &mut BTreeMap<Option<ActorId>, Vec<Arc<Entry>>>,
    ) -> ActorNode {
        let actor = entry.snapshot();
        let children = below.remove(&Some(entry.id())).unwrap_or_default();
        let clients = (actor.kind == Kind::Worker).then(|| self.actors.clients(actor.worker));
        ActorNode {
            actor,
            clients: clients.as_ref().map(|clients| clients.live),
            clients_load: clients.map(|clients| clients.load),
            children: children
                .iter()
                .map(|child| self.node(child, below))
                .collect(),
        }
    }

    /// Returns at most `limit` actors of one kind with their details.
    ///
    /// # Errors
    /// The cursor is invalid.
    pub async fn actors(
        &self,
        kind: Kind,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<ActorPage, InspectError> {
        let limit = limit.clamp(1, MAX_PAGE);
        if kind == Kind::Client {
            return self.clients(cursor, limit).await;
        }
        let number = |text: &str| text.parse().map_err(|_| InspectError::BadCursor);
        let after = cursor.map(number).transpose()?;
        let mut entries = self.actors.list(kind, after, limit + 1);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().map(|entry| entry.id().number.to_string());
        let accounts = entries.iter().map(|entry| detail(entry));
        Ok(ActorPage {
            actors: join_all(accounts).await,
            next_cursor: last.filter(|_| more),
        })
    }

    fn cursor(&self, at: Cursor) -> Option<String> {
        (at.worker < self.workers.len()).then(|| at.text())
    }

    /// Returns one actor with its details; `None` if there is no such actor.
    pub async fn actor(&self, id: &str) -> Option<ActorSnapshot> {
        let id: ActorId = id.parse().ok()?;
        if id.kind != Kind::Client {
            let entry = self.actors.find(id)?;
            return Some(ActorSnapshot {
                handlers: Some(entry.handlers()),
                ..detail(&entry).await
            });
        }
        self.client(id.number).await
    }

    /// Returns at most `limit` sessions that pass the filter.
    ///
    /// # Errors
    /// The cursor is invalid.
    pub async fn sessions(
        &self,
        filter: &SessionFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<SessionPage, InspectError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut page = SessionPage::default();
        let (mut at, deadline) = (Cursor::parse(cursor, self.workers.len())?, deadline());
        let (filter, mut more) = (Arc::new(filter.clone()), false);
        while (page.sessions.len() < limit || !more)
            && at.worker < self.workers.len()
            && Instant::now() < deadline
        {
            let question = ListSessions {
                from: at.slot,
                limit: limit - page.sessions.len(),
                filter: Arc::clone(&filter),
            };
            match timeout(ANSWER_TIMEOUT, self.workers[at.worker].send(question)).await {
                Ok(Ok(answer)) => {
                    let rows = answer.sessions.iter();
                    page.sessions
                        .extend(rows.map(|row| row.snapshot(&answer.place)));
                    (at, more) = (at.after(answer.next), answer.more);
                }
                _ => {
                    page.silent_workers.push(at.worker);
                    at = at.after(None);
                }
            }
        }
        page.next_cursor = self.cursor(at);
        Ok(page)
    }

    /// Finds the number of the client that has a session, and its worker.
    async fn client_number(
        &self,
        session_id: u64,
    ) -> Result<Option<(u64, &Seat<Worker>)>, InspectError> {
        let home = self.shards.homes().home(session_id);
        let question = self.shards.seats()[home].send(FindClientNumber { session_id });
        let client_number = timeout(ANSWER_TIMEOUT, question).await;
        let client_number = client_number.map_err(drop).and_then(|o| o.map_err(drop));
        let client_number = client_number.map_err(|()| InspectError::Silent(home))?;
        Ok(client_number.and_then(|client_number| {
            Some((client_number, self.workers.get(worker_of(client_number))?))
        }))
    }

    /// Ends a session with CLOSE 440. Returns `false` if there is no such session.
    ///
    /// # Errors
    /// Its worker does not answer.
    pub async fn kick(&self, session_id: u64) -> Result<bool, InspectError> {
        let Some((client_number, worker)) = self.client_number(session_id).await? else {
            return Ok(false);
        };
        let command = KickSession {
            session_id,
            client_number,
        };
        match timeout(ANSWER_TIMEOUT, worker.send(command)).await {
            Ok(Ok(kicked)) => Ok(kicked),
            _ => Err(InspectError::Silent(worker_of(client_number))),
        }
    }

    /// Injects a fault into an actor.
    #[cfg(feature = "fault-injection")]
    pub fn inject(&self, id: &str, fault: Fault) {
        let Ok(id) = id.parse::<ActorId>() else {
            return;
        };
        let fault = Some(fault);
        if id.kind == Kind::Client {
            let client_number = id.number;
            if let Some(worker) = self.workers.get(worker_of(client_number)) {
                worker.do_send(ReadClient {
                    client_number,
                    fault,
                });
            }
        } else if let Some(port) = self.actors.find(id).and_then(|entry| entry.inspect()) {
            port.do_send(Inspect { fault });
        }
    }
}

fn deadline() -> Instant {
    Instant::now() + PAGE_TIMEOUT
}

/// Asks an actor for its account; none where it does not answer in time.
async fn account(entry: &Entry) -> Option<Box<dyn Account>> {
    let answer = entry.inspect()?.send(Inspect::default());
    timeout(ANSWER_TIMEOUT, answer).await.ok()?.ok()
}

/// Describes an actor, with its account if it gives one in time.
async fn detail(entry: &Entry) -> ActorSnapshot {
    let detail = account(entry).await.map(|account| account.to_json());
    ActorSnapshot {
        responding: detail.is_some(),
        detail,
        ..entry.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_written() {
        for (text, worker, slot) in [("0.0", 0, 0), ("3.4711", 3, 4711)] {
            let cursor = Cursor::parse(Some(text), 4).unwrap();
            assert_eq!(cursor, Cursor { worker, slot });
        }
        for wrong in [
            "", ".", "1", "1.", ".1", "a.b", "4.0", "0.00", "0.-1", "0.1.2", " 0.1",
        ] {
            assert_eq!(
                Cursor::parse(Some(wrong), 4),
                Err(InspectError::BadCursor),
                "{wrong}"
            );
        }
    }
}
