//! What one snapshot says, section by section.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::web;
use bytes::Bytes;
use futures_util::future::join4;
use serde::Serialize;
use utoipa::ToSchema;

use super::History;
use super::readings::{Point, WorkerRow};
use crate::actors::backend_pool::{BackendHealth, Breaker};
use crate::actors::config_watcher::RoutesLoaded;
use crate::actors::gateway::{AskDrain, DrainSnapshot, State, StatusSnapshot};
use crate::admin::event_streams::event;
use crate::admin::memory::Memory;
use crate::admin::process_families::OsFigures;
use crate::admin::top_talkers::{self, TopTalkers};
use crate::admin::{Desk, in_time};
use crate::inspection::{BackendSnapshot, GroupBy, RefusalFilter, RefusalRow};
use crate::routing::health::OperatorState;
use crate::store::RefusedKind;

/// Rows of backends in one snapshot; those that are not well come first. `/api/v1/backends` has them all.
const MAX_BACKENDS: usize = 200;
/// Groups of refusals in one snapshot.
const MAX_REFUSALS: usize = 30;
/// Talkers of each way to group them.
const MAX_TALKERS: usize = 10;

/// The data of each event. What could not be had in time is left out, and comes with a later snapshot.
#[derive(Serialize, ToSchema)]
pub(super) struct LiveEvents {
    /// Once, before all others.
    history: Option<History>,
    gateway: Option<GatewayNow>,
    traffic: Option<Point>,
    drain: Option<DrainSnapshot>,
    routes: Option<RoutesNow>,
    workers: Vec<WorkerRow>,
    backends: Option<BackendsNow>,
    errors: Errors,
    refusals: Option<RefusalsNow>,
    memory: Memory,
    process: OsFigures,
    talkers: Option<Talkers>,
}

/// The gateway.
#[derive(Serialize, ToSchema)]
struct GatewayNow {
    version: &'static str,
    gateway_id: String,
    /// Seconds since 1970.
    start_time_seconds: u64,
    state: State,
    /// Why no new session should come here; empty: it is ready.
    reasons: Vec<&'static str>,
    connections: u64,
    /// Connections served at a time, at most.
    limit: u64,
    /// The most so far.
    peak: u64,
    /// Sessions that wait for their player.
    suspended: u64,
    /// Sessions that other gateways have taken over.
    handed_over: u64,
    /// Bans in force.
    bans: u64,
    /// Event streams that are open.
    event_streams: u64,
    /// When the first of the players' certificates ends, in seconds since 1970; 0: there is none.
    certificate_expires_seconds: u64,
}

/// The rules in force, without the rules.
#[derive(Serialize, ToSchema)]
struct RoutesNow {
    source: String,
    version: u64,
    services: u64,
    /// Seconds since 1970.
    loaded_at_seconds: Option<u64>,
    /// The reason that newer data is not in force.
    error: Option<String>,
    error_kind: Option<&'static str>,
    /// Seconds since 1970.
    error_at_seconds: Option<u64>,
    watching: bool,
}

/// The backends: those that are not well or that an operator has taken out, then one of each service, then the others.
#[derive(Serialize, ToSchema)]
struct BackendsNow {
    total: u64,
    /// At most 200 of them, `links` left out.
    rows: Vec<BackendSnapshot>,
}

/// Counts since the start; those that are 0 are left out.
#[derive(Default, Serialize, ToSchema)]
struct Errors {
    /// ERROR frames to players, by code.
    refused_frames: BTreeMap<String, u64>,
    /// Connections that ended, by reason.
    closed_connections: BTreeMap<&'static str, u64>,
    /// Frames that were dropped, by reason.
    dropped_frames: BTreeMap<&'static str, u64>,
}

/// The newest groups of refusals, as `/api/v1/refusals` has them.
#[derive(Serialize, ToSchema)]
struct RefusalsNow {
    groups: u64,
    rows: Vec<Refused>,
}

/// Refusals with the same code, reason, service and realm.
#[derive(Serialize, ToSchema)]
struct Refused {
    code: Option<u16>,
    reason: String,
    service: String,
    realm_id: u32,
    count: u64,
    last_user_id: String,
    #[schema(value_type = String)]
    last_client: SocketAddr,
    /// Seconds since 1970.
    last_seconds: u64,
}

/// Who has sent and got the most bytes lately.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct Talkers {
    session: TopTalkers,
    user: TopTalkers,
    address: TopTalkers,
    service: TopTalkers,
}

impl Talkers {
    /// Ranks them, all by the same two samples.
    pub(super) async fn now(desk: &web::Data<Desk>) -> Option<Talkers> {
        let top = |by| top_talkers::top(desk, by, Default::default(), MAX_TALKERS);
        Some(Talkers {
            session: top(GroupBy::Session).await.ok()?,
            user: top(GroupBy::User).await.ok()?,
            address: top(GroupBy::Address).await.ok()?,
            service: top(GroupBy::Service).await.ok()?,
        })
    }
}

impl LiveEvents {
    /// Takes a snapshot.
    pub(super) async fn now(desk: &web::Data<Desk>, process: OsFigures) -> LiveEvents {
        let filter = RefusalFilter::default();
        let (status, drain, rows, refusals) = join4(
            desk.status(),
            desk.ask(AskDrain),
            desk.recent_rows.get(&desk.inspector),
            in_time(desk.inspector.refusals(&filter, MAX_REFUSALS)),
        )
        .await;
        let status = status.ok();
        LiveEvents {
            history: None,
            gateway: status.as_ref().map(|status| GatewayNow::of(status, desk)),
            traffic: desk.live.readings(|readings| readings.last()),
            drain: drain.ok(),
            routes: status.and_then(|s| s.routes).map(RoutesNow::of),
            workers: desk.live.readings(|readings| readings.workers()),
            backends: Some(BackendsNow::of(&rows)),
            errors: Errors::of(desk),
            refusals: refusals.ok().map(|page| RefusalsNow {
                groups: page.groups,
                rows: page.refusals.into_iter().map(Refused::of).collect(),
            }),
            memory: desk.memory.snapshot().into(),
            process,
            talkers: desk.live.talkers(|talkers| talkers.clone()),
        }
    }

    /// Returns each section as an event.
    pub(super) fn written(&self) -> Vec<(&'static str, Bytes)> {
        fn written<T: Serialize>(
            name: &'static str,
            data: Option<&T>,
        ) -> Option<(&'static str, Bytes)> {
            Some((name, event(name, data?)))
        }
        let all = [
            written("gateway", self.gateway.as_ref()),
            written("traffic", self.traffic.as_ref()),
            written("drain", self.drain.as_ref()),
            written("routes", self.routes.as_ref()),
            written("workers", Some(&self.workers)),
            written("backends", self.backends.as_ref()),
            written("errors", Some(&self.errors)),
            written("refusals", self.refusals.as_ref()),
            written("memory", Some(&self.memory)),
            written("process", Some(&self.process)),
            written("talkers", self.talkers.as_ref()),
        ];
        all.into_iter().flatten().collect()
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl GatewayNow {
    fn of(status: &StatusSnapshot, desk: &Desk) -> GatewayNow {
        GatewayNow {
            version: env!("CARGO_PKG_VERSION"),
            gateway_id: desk.config.gateway.id.clone(),
            start_time_seconds: seconds(desk.started_at),
            state: status.state,
            reasons: status.reasons_not_ready(),
            connections: status.connections as u64,
            limit: status.limit as u64,
            peak: status.peak as u64,
            suspended: status.suspended as u64,
            handed_over: status.handed_over,
            bans: desk.doors.bans().count() as u64,
            event_streams: desk.event_streams.open() as u64,
            certificate_expires_seconds: status.tls.expires_at,
        }
    }
}

impl RoutesNow {
    fn of(loaded: RoutesLoaded) -> RoutesNow {
        RoutesNow {
            source: loaded.source.to_string(),
            version: loaded.version,
            services: loaded.services as u64,
            loaded_at_seconds: loaded.loaded_at.map(seconds),
            error: loaded.error.as_ref().map(ToString::to_string),
            error_kind: loaded.error_kind.map(RefusedKind::name),
            error_at_seconds: loaded.error_at.map(seconds),
            watching: loaded.watching,
        }
    }
}

impl BackendsNow {
    fn of(all: &[BackendSnapshot]) -> BackendsNow {
        let mut chosen: Vec<&BackendSnapshot> = all.iter().collect();
        // The first well one of each service is never cut off before the second of another: whether a service has
        // any is to be seen. Stable: apart from that they stay in their order.
        let mut has_one = BTreeSet::new();
        chosen.sort_by_cached_key(|row| match is_well(row) {
            true => 1 + u8::from(!has_one.insert(&row.service)),
            false => 0,
        });
        chosen.truncate(MAX_BACKENDS);
        let shown = |row: &BackendSnapshot| BackendSnapshot {
            links: Vec::new(),
            ..row.clone()
        };
        BackendsNow {
            total: all.len() as u64,
            rows: chosen.into_iter().map(shown).collect(),
        }
    }
}

fn is_well(row: &BackendSnapshot) -> bool {
    matches!(row.health, BackendHealth::Up | BackendHealth::Unknown)
        && row.breaker == Breaker::Closed
        && row.slow.is_none()
        && row.operator_state == OperatorState::Ready
}

impl Errors {
    fn of(desk: &Desk) -> Errors {
        let mut errors = Errors::default();
        for metrics in &desk.metrics {
            for (code, n) in metrics.errors_sent.iter().filter(|(_, n)| *n > 0) {
                let code = code.map_or_else(|| "other".to_owned(), |code| code.to_string());
                *errors.refused_frames.entry(code).or_default() += n;
            }
            for (reason, n) in metrics.closings.iter().filter(|(_, n)| *n > 0) {
                *errors.closed_connections.entry(reason).or_default() += n;
            }
            for (reason, n) in metrics.dropped.iter().filter(|(_, n)| *n > 0) {
                *errors.dropped_frames.entry(reason).or_default() += n;
            }
        }
        errors
    }
}

impl Refused {
    fn of(row: RefusalRow) -> Refused {
        Refused {
            code: row.code,
            reason: row.reason,
            service: row.service,
            realm_id: row.realm_id,
            count: row.count,
            last_user_id: row.last_user_id,
            last_client: row.last_client,
            last_seconds: row.last_seconds,
        }
    }
}
