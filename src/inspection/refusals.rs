//! Recent refusals: the groups of all workers, added up.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix::clock::timeout;
use futures_util::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ANSWER_TIMEOUT, Inspector};
use crate::actors::worker::ListRefusals;
use crate::codec::code::Code;
use crate::history::RefusalGroup;

/// Selection of refusals; an unset member takes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `RefusalRow`")]
pub struct RefusalFilter {
    pub code: Option<u16>,
    pub service: Option<String>,
    pub realm_id: Option<u32>,
}

/// Refusals with the same code, reason, service and realm.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RefusalRow {
    /// The code of protocol 1.4, or the HTTP status; `null`: the connection was closed with nothing sent.
    #[schema(example = 404)]
    pub code: Option<u16>,
    /// The text of the ERROR, or the reason under which `game_gateway_closed_connections_total` counts.
    #[schema(example = "no such realm")]
    pub reason: String,
    /// The service concerned; empty: none, or not known.
    pub service: String,
    /// The realm; 0: none.
    pub realm_id: u32,
    /// Number of refusals.
    pub count: u64,
    /// The user of the newest one, decimal; "0": not known.
    pub last_user_id: String,
    /// The player's address of the newest one.
    #[schema(value_type = String, example = "10.0.0.7:9300")]
    pub last_client: SocketAddr,
    /// Time of the first one, in seconds since 1970.
    pub first_seconds: u64,
    /// Time of the newest one, in seconds since 1970.
    pub last_seconds: u64,
    /// Seconds since the newest one.
    pub age_seconds: u64,
}

/// Recent refusals, the newest first.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct RefusalPage {
    /// The groups.
    pub refusals: Vec<RefusalRow>,
    /// Number of groups that pass the filter.
    pub groups: u64,
    /// Number of groups that have given way to others since the start.
    pub forgotten_groups: u64,
    /// Number of refusals in these.
    pub forgotten_refusals: u64,
    /// Workers that did not answer in time: their refusals are missing.
    pub silent_workers: Vec<usize>,
}

impl RefusalFilter {
    fn passes(&self, group: &RefusalGroup) -> bool {
        let code = group.code.map(|code| code.0);
        self.code.is_none_or(|wanted| code == Some(wanted))
            && self.realm_id.is_none_or(|realm| realm == group.realm_id)
            && (self.service.as_ref()).is_none_or(|service| **service == *group.service)
    }
}

impl Inspector {
    /// Returns at most `limit` groups of refusals that pass the filter, those that were seen last first.
    pub async fn refusals(&self, filter: &RefusalFilter, limit: usize) -> RefusalPage {
        let answers = self.workers.iter().map(|worker| worker.send(ListRefusals));
        let answers = answers.map(|answer| timeout(ANSWER_TIMEOUT, answer));
        let mut page = RefusalPage::default();
        let mut rows: HashMap<Key, RefusalRow> = HashMap::new();
        for (worker, answer) in join_all(answers).await.into_iter().enumerate() {
            let Ok(Ok(answer)) = answer else {
                page.silent_workers.push(worker);
                continue;
            };
            page.forgotten_groups += answer.forgotten.groups;
            page.forgotten_refusals += answer.forgotten.refusals;
            for group in answer.groups {
                if filter.passes(&group) {
                    add(&mut rows, group, answer.epoch);
                }
            }
        }
        page.groups = rows.len() as u64;
        page.refusals = rows.into_values().collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        for row in &mut page.refusals {
            row.age_seconds = now.saturating_sub(row.last_seconds);
        }
        // Of those of the same second the most frequent.
        page.refusals
            .sort_by_key(|row| std::cmp::Reverse((row.last_seconds, row.count)));
        page.refusals.truncate(limit);
        page
    }
}

type Key = (Option<Code>, Box<str>, Box<str>, u32);

/// Adds what one worker knows of a group.
fn add(rows: &mut HashMap<Key, RefusalRow>, group: RefusalGroup, epoch: Duration) {
    let at = |ms: u64| (epoch + Duration::from_millis(ms)).as_secs();
    let (first, last) = (at(group.first_ms), at(group.last_ms));
    let (reason, service) = (group.reason.to_string(), group.service.to_string());
    let key = (group.code, group.reason, group.service, group.realm_id);
    let row = rows.entry(key).or_insert_with(|| RefusalRow {
        code: group.code.map(|code| code.0),
        reason,
        service,
        realm_id: group.realm_id,
        count: 0,
        last_user_id: String::new(),
        last_client: group.client,
        first_seconds: first,
        last_seconds: 0,
        age_seconds: 0,
    });
    row.count += group.count;
    row.first_seconds = row.first_seconds.min(first);
    if last >= row.last_seconds {
        row.last_seconds = last;
        row.last_user_id = group.user_id.to_string();
        row.last_client = group.client;
    }
}
