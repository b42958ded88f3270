//! Clients as actors: their workers list them, for the registry has them not.

use actix::clock::{Instant, timeout};
use serde::Serialize;
use serde_json::value::to_raw_value;

use super::{ANSWER_TIMEOUT, ActorPage, Cursor, InspectError, Inspector, deadline};
use crate::actors::client::{Place, SessionSnapshot, worker_of};
use crate::actors::worker::{ClientRow, ListClients, ReadClient};
use crate::supervision::{ActorId, ActorSnapshot, ActorState, Kind, Load};

/// A client's account of itself.
#[derive(Serialize)]
struct Detail {
    session: Option<SessionSnapshot>,
}

impl Inspector {
    pub(super) async fn clients(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<ActorPage, InspectError> {
        let mut page = ActorPage::default();
        let (mut at, deadline) = (Cursor::parse(cursor, self.workers.len())?, deadline());
        let mut more = false;
        // A full page asks on, for nothing: it is the last one unless there is one more.
        while (page.actors.len() < limit || !more)
            && at.worker < self.workers.len()
            && Instant::now() < deadline
        {
            let question = ListClients {
                from: at.slot,
                limit: limit - page.actors.len(),
            };
            match timeout(ANSWER_TIMEOUT, self.workers[at.worker].send(question)).await {
                Ok(Ok(answer)) => {
                    let rows = answer.clients.iter();
                    page.actors
                        .extend(rows.map(|row| self.snapshot(row, &answer.place)));
                    (at, more) = (at.after(answer.next), answer.more);
                }
                // The worker's own row shows that it does not answer.
                _ => at = at.after(None),
            }
        }
        page.next_cursor = self.cursor(at);
        Ok(page)
    }

    pub(super) async fn client(&self, client_number: u64) -> Option<ActorSnapshot> {
        let worker = self.workers.get(worker_of(client_number))?;
        let question = ReadClient {
            client_number,
            #[cfg(feature = "fault-injection")]
            fault: None,
        };
        let answer = timeout(ANSWER_TIMEOUT, worker.send(question)).await;
        let (row, place) = answer.ok()?.ok()??;
        Some(self.snapshot(&row, &place))
    }

    fn snapshot(&self, row: &ClientRow, place: &Place) -> ActorSnapshot {
        let id = |kind, number| ActorId { kind, number }.to_string();
        let session = row.session.as_ref().map(|row| row.snapshot(place));
        ActorSnapshot {
            id: id(Kind::Client, row.client_number),
            kind: Kind::Client,
            name: row.remote.to_string(),
            worker: Some(place.worker),
            parent: Some(id(Kind::Worker, place.worker as u64)),
            state: ActorState::Running,
            uptime_seconds: row.uptime_seconds.into(),
            restarts: 0,
            restarts_by_hand: 0,
            panics: 0,
            handled: row.handled,
            waiting: row.waiting,
            waiting_highest: row.waiting_highest,
            load: Load::default(),
            busy_seconds: row.busy_seconds,
            handlers: None,
            last_error: None,
            detail: to_raw_value(&Detail { session }).ok(),
            responding: true,
        }
    }
}
