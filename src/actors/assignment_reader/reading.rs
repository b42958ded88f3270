//! Questions to Redis, what becomes of the answers, and what is said of mistakes in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::follow::Connection;
use super::handle::Mistaken;
use super::{Account, Assigned, AssignmentReader, How, Unassigned};
use crate::routing::EndpointName;
use crate::session::rate::Bucket;
use crate::store::assignments::Question;
use crate::store::redis::assign::{Field, read_assignment};

/// Lines about mistaken assignments in one second; the others are counted in the next line.
const LINES_PER_SECOND: u64 = 1;
/// Characters of a mistaken value that are shown.
const MAX_SHOWN: usize = 80;

/// What troubles of the connection are kept under; others are under the name of their service.
pub(super) const CONNECTION: &str = "";

/// What is wrong with Redis now, by service: each is told once for as long as it stays so.
#[derive(Default)]
pub(super) struct Troubles {
    by_service: BTreeMap<Arc<str>, Arc<str>>,
}

impl Troubles {
    /// Says what is wrong, unless that has been said.
    pub(super) fn tell(&mut self, service: &str, why: &Arc<str>) {
        if self.by_service.get(service) != Some(why) {
            let error = &**why;
            tracing::error!(
                error,
                "assignments cannot be read; those that are known stay"
            );
            self.by_service.insert(service.into(), Arc::clone(why));
        }
    }

    /// Notes that a service's trouble is over.
    fn over(&mut self, service: &str) {
        if self.by_service.remove(service).is_some() {
            tracing::info!(service, "assignments are read again");
        }
    }
}

/// Bounds the lines about mistakes: there may be one for each user.
pub(super) struct Complaints {
    bucket: Bucket,
    since: Instant,
    /// Mistakes that no line tells of.
    untold: u64,
}

impl Complaints {
    pub(super) fn new() -> Complaints {
        Complaints {
            bucket: Bucket::default(),
            since: Instant::now(),
            untold: 0,
        }
    }

    /// Returns how many went untold before, if there is room for a line.
    fn next(&mut self) -> Option<u64> {
        let now = self.since.elapsed().as_nanos() as u64;
        match self.bucket.after(now, 1, LINES_PER_SECOND) {
            Ok(after) => {
                self.bucket = after;
                Some(std::mem::take(&mut self.untold))
            }
            Err(_) => {
                self.untold += 1;
                None
            }
        }
    }
}

impl AssignmentReader {
    /// Asks Redis, as soon as it is known whether it is there, for `redis.timeout` in all.
    pub(super) fn read(
        &self,
        question: &Question,
    ) -> impl Future<Output = Result<Field, String>> + use<> {
        let server = Arc::clone(&self.server);
        let mut connection = self.connection.subscribe();
        let key = self.keys.assignments_of(question.service());
        let user_id = question.user_id();
        async move {
            let patience = server.timeout();
            let read = async {
                let known = |now: &Connection| !matches!(now, Connection::Connecting);
                let known = connection.wait_for(known).await;
                let now = known.map_or(Connection::None, |now| now.clone());
                match now {
                    Connection::Up(up) => read_assignment(&server, &up, &key, user_id).await,
                    Connection::Lost(why) => Err(why.to_string()),
                    Connection::None | Connection::Connecting => Err(no_answer(&key, patience)),
                }
            };
            let read = tokio::time::timeout(patience, read).await;
            read.unwrap_or_else(|_| Err(no_answer(&key, patience)))
        }
    }

    /// Takes what Redis has said.
    pub(super) fn take(
        &mut self,
        question: Question,
        field: Result<Field, String>,
    ) -> Result<Assigned, Unassigned> {
        let field = match field {
            Ok(field) => field,
            Err(why) => {
                self.troubles.tell(question.service(), &why.into());
                return self.last_good(&question);
            }
        };
        let service = Arc::clone(question.service());
        self.troubles.over(&service);
        let endpoint = self.parse(&question, field);
        let answer = self.answer(&service, endpoint.as_deref(), How::Read);
        if let (Some(endpoint), Err(_)) = (&endpoint, answer) {
            let why = "it is no endpoint of the rule, nor in its `assignable` networks";
            self.complain(Mistaken::NotAllowed, &question, endpoint, why);
        }
        match self.may_keep(endpoint.as_deref()) {
            true => (self.state.cache).answered(question, endpoint, Instant::now()),
            false => self.state.cache.passed(&question),
        }
        self.count();
        answer
    }

    /// Returns what was known before Redis could not be asked.
    pub(super) fn last_good(&mut self, question: &Question) -> Result<Assigned, Unassigned> {
        let known = self.state.cache.failed(question);
        let endpoint = known.ok_or(Unassigned::Unknown)?;
        self.answer(question.service(), Some(&endpoint), How::LastGood)
    }

    /// Answers by the rule in force.
    pub(super) fn answer(
        &self,
        service: &str,
        endpoint: Option<&str>,
        how: How,
    ) -> Result<Assigned, Unassigned> {
        let table = self.routes.load();
        let allowed = |endpoint| table.as_ref()?.allowed(service, endpoint);
        let nowhere = Unassigned::Nowhere {
            known: how == How::Known,
        };
        let endpoint = endpoint.and_then(allowed).ok_or(nowhere)?;
        Ok(Assigned { endpoint, how })
    }

    /// Reads a field. One that is no endpoint is none.
    fn parse(&mut self, question: &Question, field: Field) -> Option<Arc<str>> {
        let value = match field {
            Field::Absent => return None,
            Field::Value(value) => value,
            Field::TooLarge(why) => {
                self.complain(Mistaken::Malformed, question, "", &why);
                return None;
            }
        };
        // Nothing that invalid UTF-8 can be right; with its replacement characters it is named.
        let text = String::from_utf8_lossy(&value);
        match text.parse::<EndpointName>() {
            Ok(_) => Some(text.into()),
            Err(error) => {
                self.complain(Mistaken::Malformed, question, &text, &error.to_string());
                None
            }
        }
    }

    fn complain(&mut self, mistaken: Mistaken, question: &Question, value: &str, why: &str) {
        self.counts.mistaken(mistaken);
        let Some(untold) = self.complaints.next() else {
            return;
        };
        let key = self.keys.assignments_of(question.service());
        let shown: String = value.chars().take(MAX_SHOWN).collect();
        tracing::error!(key, field = question.user_id(), value = ?shown, why, untold,
            "an assignment in Redis is mistaken, and counts as none");
    }

    pub(super) fn account(&self) -> Account {
        Account {
            services: self.services.len(),
            connected: matches!(*self.connection.borrow(), Connection::Up(_)),
            known: self.state.cache.len(),
            error: self.troubles.by_service.values().next().cloned(),
        }
    }
}

fn no_answer(key: &str, patience: Duration) -> String {
    format!("redis key {key}: timed out after {patience:?}")
}
