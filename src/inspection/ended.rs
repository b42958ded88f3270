//! One session with its story, and the sessions that have ended of late.

use std::cmp::Reverse;
use std::sync::Arc;

use actix::clock::timeout;
use futures_util::future::join_all;

use super::{ANSWER_TIMEOUT, InspectError, Inspector, SessionPage};
use crate::actors::client::{SessionFilter, SessionSnapshot, SessionStory, worker_of};
use crate::actors::worker::{ListEnded, ReadEnded, ReadSession, Worker};
use crate::supervision::Seat;

impl Inspector {
    /// Returns one session, also one that has ended of late; `None` if there is no such session.
    ///
    /// # Errors
    /// Its worker does not answer.
    pub async fn session(&self, session_id: u64) -> Result<Option<SessionStory>, InspectError> {
        if let Some((client_number, worker)) = self.client_number(session_id).await? {
            let question = ReadSession {
                session_id,
                client_number,
            };
            match timeout(ANSWER_TIMEOUT, worker.send(question)).await {
                Ok(Ok(None)) => {} // It has just ended.
                Ok(Ok(session)) => return Ok(session),
                _ => return Err(InspectError::Silent(worker_of(client_number))),
            }
        }
        let question = ReadEnded { session_id };
        let answers = self.workers.iter().map(|worker| worker.send(question));
        let answers = answers.map(|answer| timeout(ANSWER_TIMEOUT, answer));
        let (mut found, mut silent) = (Vec::new(), None);
        for (worker, answer) in join_all(answers).await.into_iter().enumerate() {
            match answer {
                Ok(Ok(story)) => found.extend(story),
                _ => silent = Some(worker),
            }
        }
        // It may have been here twice.
        let newest = found.into_iter().max_by_key(|story| end(&story.session));
        match (newest, silent) {
            (None, Some(worker)) => Err(InspectError::Silent(worker)),
            (newest, _) => Ok(newest),
        }
    }

    /// Returns at most `limit` sessions that have ended and pass the filter, the newest first.
    pub async fn ended_sessions(&self, filter: &SessionFilter, limit: usize) -> SessionPage {
        let filter = Arc::new(filter.clone());
        let lists = self
            .workers
            .iter()
            .map(|seat| ended_on(seat, &filter, limit));
        let mut page = SessionPage::default();
        for (worker, list) in join_all(lists).await.into_iter().enumerate() {
            match list {
                Some(sessions) => page.sessions.extend(sessions),
                None => page.silent_workers.push(worker),
            }
        }
        page.sessions.sort_by_key(|session| Reverse(end(session)));
        page.sessions.truncate(limit);
        page
    }
}

fn end(session: &SessionSnapshot) -> Option<u64> {
    session.end.as_ref().map(|end| end.at_seconds)
}

/// Returns a worker's share; `None`: it does not answer.
async fn ended_on(
    worker: &Seat<Worker>,
    filter: &Arc<SessionFilter>,
    limit: usize,
) -> Option<Vec<SessionSnapshot>> {
    let (mut sessions, mut below) = (Vec::new(), u64::MAX);
    while sessions.len() < limit {
        let question = ListEnded {
            below,
            limit: limit - sessions.len(),
            filter: Arc::clone(filter),
        };
        let answer = timeout(ANSWER_TIMEOUT, worker.send(question)).await;
        let answer = answer.ok()?.ok()?;
        sessions.extend(answer.sessions);
        match answer.below {
            Some(next) => below = next,
            None => break,
        }
    }
    Some(sessions)
}
