//! The admin API: actix-web's application on a thread of its own. It asks actors by messages with a deadline and
//! never reaches into them; so however many ask, players do not notice.
//!
//! * [`server`]: its thread and port. [`visitors`]: its connections, and who gives way. [`mod@connection`]: one of
//!   them, request by request. [`turns`]: how many are answered at a time.
//! * [`endpoints`]: every path with its methods, once; the API's document is made of it.
//! * [`access`]: who may ask. [`params`], [`ids`] and [`wishes`]: what they say. [`errors`]: what is wrong.
//! * [`answering`]: what other gateways ask for operators of theirs. [`deployment`]: what this one asks them,
//!   over [`shared_reads`] and [`silences`];
//!   [`everywhere`]: requests with `deployment=true`, [`deployment_sessions`]: those for sessions.
//! * One module for each subject: [`probes`], [`gateways`], [`actors`], [`sessions`], [`assign`], [`refusals`], [`top_talkers`],
//!   [`backends`], [`backend_state`], [`routes`], [`route_changes`], [`drain`], [`bans`], [`limits`], [`traces`], [`log_level`], [`config`], [`memory`]; [`live`], over
//!   [`event_streams`], [`page_files`] and [`pages`] for people.

mod accept;
mod access;
mod actor_families;
mod actors;
mod answering;
mod assign;
mod assignments;
mod backend_state;
mod backends;
mod ban_wish;
mod bans;
mod busy_sessions;
mod config;
mod connection;
mod deployment;
mod deployment_sessions;
mod drain;
mod endpoint_families;
mod endpoints;
mod errors;
mod event_streams;
mod everywhere;
mod families;
mod family;
mod found;
mod gateways;
mod ids;
mod limits;
mod live;
mod log_level;
mod memory;
mod metrics;
mod openapi;
mod otlp_families;
mod page_files;
mod pages;
mod params;
mod peer_families;
mod probes;
mod process_families;
mod question_families;
mod refusals;
mod refused_changes;
mod route_changes;
mod routes;
mod server;
mod service_families;
mod sessions;
mod shared_reads;
mod silences;
mod timing_families;
mod top_talkers;
mod trace_event;
mod trace_wish;
mod traces;
mod turns;
mod visitors;
mod whoami;
mod wishes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use actix::Message;

use crate::actors::gateway::{AskStatus, Gateway, StatusSnapshot};
use crate::actors::peers::Peering;
use crate::admission::{Doors, Gate, LiveConfig};
use crate::config::Config;
use crate::inspection::Inspector;
use crate::logging::Log;
use crate::memory::MemoryBudget;
use crate::metrics::{ServiceBook, WorkerMetrics};
use crate::net::tls::Tls;
use crate::store::admin_tokens::AdminToken;
use crate::supervision::{CountedAddr, Receive};
use backends::RecentRows;
use deployment::Deployment;
use errors::ApiError;
use event_streams::EventStreams;
use family::ProcessFigures;
use live::Live;
use process_families::OsFigures;
use refused_changes::RefusedChanges;

pub use families::FAMILIES;
pub use family::Family;
pub use log_level::{LogLevel, MAX_LEVEL};
pub use server::{Admin, listen, start};
pub use visitors::MAX_CONNECTIONS;

/// Timeout of an answer by the gateway; after it the request is answered without.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of an inspection. It has deadlines of its own, all of them shorter, and then says
/// what it has; this one is for what they forget.
const CENSUS_TIMEOUT: Duration = Duration::from_secs(8);

/// The log of the process, as far as the admin API has to do with it.
#[derive(Debug)]
pub struct Logging {
    /// The filter, and the way to change it.
    pub level: LogLevel,
    /// Where lines go.
    pub log: Log,
}

/// The actors that the admin API asks, and the state that it answers from by itself.
pub struct Sources {
    /// The effective configuration.
    pub config: Arc<Config>,
    /// The tokens of those who may ask.
    pub tokens: Vec<AdminToken>,
    /// The limits in force, and the configuration with what has been reloaded.
    pub doors: Arc<Doors>,
    /// What operators change of the configuration.
    pub live_config: Arc<LiveConfig>,
    /// The root of the actors.
    pub gateway: CountedAddr<Gateway>,
    /// Each worker's counters.
    pub metrics: Vec<Arc<WorkerMetrics>>,
    /// What links count by service.
    pub services: Arc<ServiceBook>,
    /// The budget of memory.
    pub memory: Arc<MemoryBudget>,
    /// Knows the other actors.
    pub inspector: Inspector,
    /// The log, if this program has one.
    pub logging: Option<Logging>,
    /// The TLS configuration in force.
    pub tls: Arc<Tls>,
    /// Knows for how many connections to the admin API there are files.
    pub gate: Arc<Gate>,
    /// The way to other gateways.
    pub peering: Peering,
}

/// The state that every request may use.
struct Desk {
    config: Arc<Config>,
    tokens: Vec<AdminToken>,
    doors: Arc<Doors>,
    gate: Arc<Gate>,
    live_config: Arc<LiveConfig>,
    gateway: CountedAddr<Gateway>,
    metrics: Vec<Arc<WorkerMetrics>>,
    services: Arc<ServiceBook>,
    recent_rows: RecentRows,
    memory: Arc<MemoryBudget>,
    inspector: Inspector,
    logging: Option<Logging>,
    started_at: std::time::SystemTime,
    started: std::time::Instant,
    /// Admin connections that had to make room.
    closed_connections: Arc<AtomicU64>,
    samples: top_talkers::Samples,
    /// A rollback of the routes is under way.
    rolling_back: Arc<AtomicBool>,
    event_streams: EventStreams,
    refused_changes: RefusedChanges,
    live: Live,
    deployment: Deployment,
}

impl Desk {
    fn new(
        sources: Sources,
        closed_connections: Arc<AtomicU64>,
        event_streams: EventStreams,
    ) -> Desk {
        Desk {
            deployment: Deployment::new(sources.peering, &sources.config),
            config: sources.config,
            tokens: sources.tokens,
            doors: sources.doors,
            gate: sources.gate,
            live_config: sources.live_config,
            gateway: sources.gateway,
            metrics: sources.metrics,
            services: sources.services,
            recent_rows: RecentRows::default(),
            memory: sources.memory,
            inspector: sources.inspector,
            logging: sources.logging,
            started_at: std::time::SystemTime::now(),
            started: std::time::Instant::now(),
            closed_connections,
            samples: top_talkers::Samples::default(),
            rolling_back: Arc::default(),
            event_streams,
            refused_changes: RefusedChanges::default(),
            live: Live::default(),
        }
    }

    /// Returns the figures of the process that no actor has.
    fn process(&self) -> ProcessFigures {
        let logging = self.logging.as_ref();
        ProcessFigures {
            dropped_log_lines: logging.map_or(0, |logging| logging.log.dropped()),
            closed_admin_connections: self.closed_connections.load(Relaxed),
            os: OsFigures::read(self.started_at),
            event_streams: self.event_streams.open() as u64,
            refused_event_streams: self.event_streams.refused(),
            ..ProcessFigures::default()
        }
        .of_bans(self)
        .of_traces(self)
        .of_assignments(self)
    }

    /// Asks the gateway.
    async fn ask<M>(&self, message: M) -> Result<M::Result, ApiError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Gateway: Receive<M>,
    {
        let answer = actix_web::rt::time::timeout(ANSWER_TIMEOUT, self.gateway.send(message)).await;
        let late = || ApiError::timeout("the gateway has not answered in time");
        answer.ok().and_then(Result::ok).ok_or_else(late)
    }

    async fn status(&self) -> Result<StatusSnapshot, ApiError> {
        self.ask(AskStatus).await
    }
}

/// Waits for the inspector, up to a timeout.
async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, ApiError> {
    actix_web::rt::time::timeout(CENSUS_TIMEOUT, answer)
        .await
        .map_err(|_| ApiError::timeout("the actors concerned have not answered in time"))
}
