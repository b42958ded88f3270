//! The state of the backends: the accounts of every worker's pools, added up.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;

use super::{Inspector, account, slow};
use crate::actors::backend_pool::{BackendHealth, Breaker, PoolSnapshot};
use crate::inspection::snapshots::Times;
use crate::inspection::{BackendSnapshot, OrderSnapshot};
use crate::routing::health::{NamedOrder, OperatorState};
use crate::routing::{EndpointName, RouteTable};
use crate::supervision::Kind;

impl Inspector {
    /// Lists every endpoint of a rule, and every other one that is used or probed. Endpoints of realms are
    /// there once they are: each of a thousand services may have each of ten thousand. Names that do not resolve
    /// are never used; the first 10,000 of them are there.
    pub async fn backends(&self) -> Vec<BackendSnapshot> {
        let mut backends: BTreeMap<(String, SocketAddr), BackendSnapshot> = BTreeMap::new();
        let table = self.routes.load_full();
        for (name, service) in table.iter().flat_map(|table| table.services()) {
            for endpoint in service.endpoints() {
                let row = unused(name.to_owned(), *endpoint, true);
                backends.insert((name.to_owned(), *endpoint), row);
            }
        }
        let pools = self.actors.list(Kind::BackendPool, None, usize::MAX);
        let accounts = join_all(pools.iter().map(|entry| account(entry))).await;
        for account in accounts.into_iter().flatten() {
            let account: Box<dyn Any> = account;
            let Ok(pool) = account.downcast::<PoolSnapshot>() else {
                continue; // No pool gives another account.
            };
            let row = backends
                .entry((pool.service.clone(), pool.endpoint))
                .or_insert_with(|| {
                    let named = |t: &Arc<RouteTable>| t.names_for(&pool.service, pool.endpoint);
                    let in_rules = table.as_ref().is_some_and(named);
                    unused(pool.service.clone(), pool.endpoint, in_rules)
                });
            add(row, *pool);
        }
        let unresolved = table.iter().flat_map(|table| {
            let names = table.unresolved();
            names.map(|(service, name)| {
                let mut row = nowhere(&service.name, name, table.failure(name));
                let order = self.operator.order(name);
                row.obey(order.map(|order| (name.clone(), order)).as_ref());
                row
            })
        });
        let withdrawn = self.operator.withdrawn();
        for ((_, endpoint), row) in &mut backends {
            row.obey(withdrawn.order(*endpoint));
        }
        let mut rows: Vec<BackendSnapshot> = backends.into_values().chain(unresolved).collect();
        for row in &mut rows {
            row.connect = row.times.connect.percentiles();
            row.first_answer = row.times.first_answer.percentiles();
            row.answer = row.times.answer.percentiles();
        }
        slow::judge(&mut rows);
        // Stable: endpoints of one service stay in the order of their addresses, then names.
        rows.sort_by(|one, other| one.service.cmp(&other.service));
        rows
    }
}

impl BackendSnapshot {
    fn obey(&mut self, order: Option<&NamedOrder>) {
        if let Some((name, order)) = order {
            self.operator_state = order.state;
            self.order = Some(OrderSnapshot::new(name, order));
        }
    }
}

/// A row for an endpoint that nobody has used.
pub(super) fn unused(service: String, endpoint: SocketAddr, in_rules: bool) -> BackendSnapshot {
    BackendSnapshot {
        service,
        endpoint: endpoint.to_string(),
        address: Some(endpoint),
        in_rules,
        health: BackendHealth::Unknown,
        breaker: Breaker::Closed,
        operator_state: OperatorState::Ready,
        order: None,
        evacuation: None,
        last_error: None,
        sessions: 0,
        waiting_sessions: 0,
        rtt_us: None,
        ping_age_us: None,
        queued_bytes: 0,
        frames_in: 0,
        frames_out: 0,
        bytes_in: 0,
        bytes_out: 0,
        connect: None,
        first_answer: None,
        answer: None,
        usual_answer_us: None,
        awaited_us: None,
        silent_us: None,
        slow: None,
        times: Times::default(),
        links: Vec::new(),
    }
}

/// A row for a name of a rule or realm that does not resolve: no session can go there.
fn nowhere(service: &str, name: &EndpointName, why: Option<String>) -> BackendSnapshot {
    let why = why.unwrap_or_else(|| "its server has not answered yet".to_owned());
    let nobody = SocketAddr::from(([0, 0, 0, 0], name.port));
    BackendSnapshot {
        endpoint: name.to_string(),
        address: None,
        health: BackendHealth::Down,
        last_error: Some(format!("the name cannot be resolved: {why}")),
        ..unused(service.to_owned(), nobody, true)
    }
}

/// Adds what one worker's pool knows.
fn add(row: &mut BackendSnapshot, pool: PoolSnapshot) {
    // A worker that has not tried knows less than one that has.
    let rank = |health| match health {
        BackendHealth::Unknown => 0,
        BackendHealth::Down => 1,
        BackendHealth::Leaving => 2,
        BackendHealth::Up => 3,
        // Its other links will notice too.
        BackendHealth::Suspect => 4,
    };
    if rank(pool.health) > rank(row.health) {
        row.health = pool.health;
    }
    row.breaker = row.breaker.max(pool.breaker);
    row.last_error = row.last_error.take().or(pool.last_error);
    row.evacuation = row.evacuation.or(pool.evacuation);
    row.waiting_sessions += pool.waiting_sessions;
    for link in &pool.links {
        row.sessions += link.sessions;
        row.rtt_us = row.rtt_us.max(link.rtt_us);
        row.ping_age_us = row.ping_age_us.max(link.ping_age_us);
        row.awaited_us = row.awaited_us.max(link.awaited_us);
        row.silent_us = row.silent_us.max(link.silent_us);
        row.queued_bytes += link.queued_bytes;
        row.frames_in += link.frames_in;
        row.frames_out += link.frames_out;
        row.bytes_in += link.bytes_in;
        row.bytes_out += link.bytes_out;
    }
    row.times.connect.add(pool.connect);
    row.times.first_answer.add(pool.first_answer);
    row.times.answer.add(pool.answer);
    row.times.usual_answer.add(pool.usual_answer);
    row.links.extend(pool.links);
}
