//! The sessions of all gateways as one list, gateway by gateway.
//!
//! A cursor names a gateway by a hash of its id and a place in that one's own list: whatever gateway is asked for
//! the next page goes on there, and one that is gone meanwhile is passed over.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::access::Caller;
use super::answering::is_success;
use super::deployment::{Ask, Round, check_path};
use super::errors::ApiError;
use super::found::ended_at;
use super::gateways::INFO;
use super::{Desk, in_time};
use crate::actors::client::{SessionFilter, SessionSnapshot, SessionState};
use crate::inspection::{InspectError, SessionPage};

/// Rows that another gateway is asked for at a time: their JSON fits into one answer.
const ROWS: usize = 250;
/// Time after which a page ends early.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// A page of the sessions of all gateways.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct DeploymentSessions {
    /// The sessions. One that lives throughout, on one gateway, is on exactly one page.
    #[schema(value_type = Vec<SessionSnapshot>)]
    sessions: Vec<Box<RawValue>>,
    /// Where the next page begins; `null`: this is the last.
    next_cursor: Option<String>,
    /// Workers that did not answer in time: their sessions are missing.
    silent_workers: Vec<usize>,
    /// Gateways that have not answered, and workers of others: their sessions are missing.
    unanswered: Vec<Unanswered>,
}

/// What is missing of an answer.
#[derive(Debug, Serialize, ToSchema)]
struct Unanswered {
    /// The gateway, or its address or name where nobody has ever answered there.
    gateway: String,
    #[schema(example = "it has not answered in time")]
    why_not: String,
}

/// A page of another gateway.
#[derive(Deserialize)]
struct RemotePage {
    sessions: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
    silent_workers: Vec<usize>,
}

/// A request for sessions.
pub(super) struct Wanted<'a> {
    pub(super) caller: &'a Caller,
    pub(super) filter: &'a SessionFilter,
    /// The same as text of a query.
    pub(super) filters: &'a str,
    pub(super) limit: usize,
    pub(super) cursor: Option<&'a str>,
}

impl Wanted<'_> {
    fn path(&self, limit: usize, cursor: Option<&str>) -> String {
        let mut path = format!("/api/v1/sessions?limit={limit}");
        if !self.filters.is_empty() {
            path.push('&');
            path.push_str(self.filters);
        }
        if let Some(cursor) = cursor {
            path.push_str("&cursor=");
            path.push_str(cursor);
        }
        path
    }
}

/// Lists sessions of all gateways.
///
/// # Errors
/// The cursor is not one, or there is nobody to ask.
pub(super) async fn list(desk: &Desk, wanted: &Wanted<'_>) -> Result<DeploymentSessions, ApiError> {
    desk.deployment.check(wanted.caller)?;
    check_path(&wanted.path(wanted.limit, wanted.cursor))?;
    if wanted.filter.state == Some(SessionState::Ended) {
        return ended(desk, wanted).await;
    }
    let from = wanted
        .cursor
        .map(Place::parse)
        .transpose()?
        .unwrap_or_default();
    let deadline = Instant::now() + PAGE_TIMEOUT;
    let mut page = DeploymentSessions::default();
    // Those that hang are known after this, all at once.
    let round = desk
        .deployment
        .ask_others(Ask::get(wanted.caller, INFO))
        .await;
    page.note(&round);
    let mut gateways = vec![(key(&desk.config.gateway.id), None)];
    for reply in &round.replies {
        if let (Ok(_), Some(name)) = (&reply.outcome, &reply.gateway) {
            gateways.push((key(name), Some(reply.address)));
        }
    }
    gateways.sort_unstable();
    for (gateway, address) in gateways.into_iter().filter(|(key, _)| *key >= from.gateway) {
        let mut at = from.cursor.clone().filter(|_| gateway == from.gateway);
        loop {
            let room = wanted.limit - page.sessions.len();
            if room == 0 || Instant::now() >= deadline {
                let next = Place {
                    gateway,
                    cursor: at,
                };
                page.next_cursor = Some(next.text());
                return Ok(page);
            }
            let more = match address {
                None => page.add_own(desk, wanted, at.as_deref(), room).await?,
                Some(address) => {
                    page.add_of(desk, address, wanted, at.as_deref(), room)
                        .await?
                }
            };
            match more {
                None => break,
                next => at = next,
            }
        }
    }
    Ok(page)
}

/// Lists sessions that have ended on any gateway, the newest first, on one page.
async fn ended(desk: &Desk, wanted: &Wanted<'_>) -> Result<DeploymentSessions, ApiError> {
    if wanted.cursor.is_some() {
        return Err(InspectError::BadCursor.into());
    }
    let path = wanted.path(wanted.limit.min(ROWS), None);
    let own = desk.inspector.ended_sessions(wanted.filter, wanted.limit);
    let others = desk.deployment.ask_others(Ask::get(wanted.caller, &path));
    let (own, round) = futures_util::future::join(in_time(own), others).await;
    let mut page = DeploymentSessions::default();
    page.note(&round);
    page.add(own?)?;
    for reply in &round.replies {
        let Ok(answered) = &reply.outcome else {
            continue;
        };
        let Ok(theirs) = serde_json::from_slice::<RemotePage>(&answered.answer.body) else {
            continue; // Noted already.
        };
        page.sessions.extend(theirs.sessions);
        page.note_silent(&reply.name(), &theirs.silent_workers);
        if answered.answer.cut {
            page.missing(
                reply.name(),
                "some of its sessions do not fit into its answer",
            );
        }
    }
    page.sessions
        .sort_by_cached_key(|row| std::cmp::Reverse(ended_at(row.get().as_bytes())));
    page.sessions.truncate(wanted.limit);
    Ok(page)
}

impl DeploymentSessions {
    fn missing(&mut self, gateway: String, why_not: impl Into<String>) {
        let why_not = why_not.into();
        self.unanswered.push(Unanswered { gateway, why_not });
    }

    /// Notes who has not answered.
    fn note(&mut self, round: &Round) {
        for reply in &round.replies {
            match &reply.outcome {
                Err(why) => self.missing(reply.name(), why.to_string()),
                Ok(answered) if is_success(answered.answer.status) => {}
                Ok(answered) => {
                    let why = format!("it has answered with status {}", answered.answer.status);
                    self.missing(reply.name(), why);
                }
            }
        }
        for name in &round.unresolved {
            self.missing(name.clone(), "it cannot be looked up");
        }
        if round.left_out > 0 {
            self.missing(
                format!("{} addresses", round.left_out),
                "there are too many",
            );
        }
    }

    fn note_silent(&mut self, gateway: &str, workers: &[usize]) {
        for worker in workers {
            let why = format!("its worker {worker} has not answered in time");
            self.missing(gateway.to_owned(), why);
        }
    }

    /// Adds sessions of this gateway; returns where it goes on.
    fn add(&mut self, own: SessionPage) -> Result<Option<String>, ApiError> {
        for row in &own.sessions {
            let broken = |_| ApiError::internal("cannot write the answer");
            self.sessions.push(to_raw_value(row).map_err(broken)?);
        }
        for worker in own.silent_workers {
            if !self.silent_workers.contains(&worker) {
                self.silent_workers.push(worker);
            }
        }
        Ok(own.next_cursor)
    }

    async fn add_own(
        &mut self,
        desk: &Desk,
        wanted: &Wanted<'_>,
        at: Option<&str>,
        room: usize,
    ) -> Result<Option<String>, ApiError> {
        let own = desk.inspector.sessions(wanted.filter, at, room);
        self.add(in_time(own).await??)
    }

    /// Adds sessions of another gateway; returns where it goes on.
    async fn add_of(
        &mut self,
        desk: &Desk,
        address: SocketAddr,
        wanted: &Wanted<'_>,
        at: Option<&str>,
        room: usize,
    ) -> Result<Option<String>, ApiError> {
        let mut rows = room.min(ROWS);
        loop {
            let path = wanted.path(rows, at);
            let asked = desk
                .deployment
                .ask_one(address, Ask::get(wanted.caller, &path));
            let asked = asked.await;
            let Some(reply) = &*asked else {
                return Ok(None); // The address has become this gateway's own.
            };
            let name = reply.name();
            let answer = match &reply.outcome {
                Ok(answered) => &answered.answer,
                Err(why) => {
                    self.missing(name, why.to_string());
                    return Ok(None);
                }
            };
            match serde_json::from_slice::<RemotePage>(&answer.body) {
                // A page that was cut would lose what is behind the cut.
                Ok(_) if answer.cut && rows > 1 => rows /= 2,
                Ok(theirs) => {
                    self.sessions.extend(theirs.sessions);
                    self.note_silent(&name, &theirs.silent_workers);
                    return Ok(theirs.next_cursor);
                }
                Err(_) if answer.status == 400 && at.is_some() => {
                    return Err(InspectError::BadCursor.into());
                }
                Err(_) => {
                    let why = format!("it has answered with status {}", answer.status);
                    self.missing(name, why);
                    return Ok(None);
                }
            }
        }
    }
}

/// A place in the list of all sessions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place {
    /// The gateway's key.
    gateway: u64,
    /// The place in that one's list; `None`: its beginning.
    cursor: Option<String>,
}

impl Place {
    fn parse(text: &str) -> Result<Place, ApiError> {
        let wrong = || ApiError::from(InspectError::BadCursor);
        let (gateway, cursor) = text.split_once('.').ok_or_else(wrong)?;
        let place = Place {
            gateway: u64::from_str_radix(gateway, 16).map_err(|_| wrong())?,
            cursor: Some(cursor.to_owned()).filter(|cursor| !cursor.is_empty()),
        };
        if place.text() == text {
            Ok(place)
        } else {
            Err(wrong())
        }
    }

    fn text(&self) -> String {
        let cursor = self.cursor.as_deref().unwrap_or_default();
        format!("{:016x}.{cursor}", self.gateway)
    }
}

/// Returns a gateway's place among all, the same whoever is asked: FNV-1a of its id.
fn key(gateway_id: &str) -> u64 {
    gateway_id
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_written() {
        for text in [
            "0000000000000000.",
            "cbf29ce484222325.0.17",
            "ffffffffffffffff.3.0",
        ] {
            assert_eq!(
                Place::parse(text).map(|place| place.text()).ok().as_deref(),
                Some(text)
            );
        }
        for text in [
            "",
            "0.17",
            "0.0.17",
            "CBF29CE484222325.0.17",
            "+0bf29ce48422232.",
            "00000000000000000.",
        ] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
        // As the document of FNV has it.
        assert_eq!(key("a"), 0xAF63_DC4C_8601_EC8C);
    }
}
