//! Starts a whole gateway: its threads, its actors, its admin API. Used by `serve`, the demo and
//! the tests alike.

mod actors;
mod reload;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;

use crate::actors::assignment_reader::Assignments;
use crate::actors::config_watcher::Reload;
use crate::actors::gateway::{Drain, Gateway};
use crate::actors::peers::{self};
use crate::actors::session_registry::Shards;
use crate::admin::{self, Admin, Sources};
use crate::admission::{Doors, FileBudget, Gate, LiveConfig};
use crate::config::{Config, RouteSource};
use crate::inspection::Inspector;
use crate::memory::{self, MemoryBudget, available};
use crate::metrics::{ServiceBook, WorkerMetrics};
use crate::net::listen;
use crate::net::tls::{FileMistake, Tls};
use crate::store::pod::Pod;
use crate::store::{admin_tokens, token_keys};
use crate::supervision::{self, ActorRegistry, CountedAddr};
use crate::telemetry;

pub use crate::admin::Logging;

use actors::{Parts, start_actors};

/// Time that a start waits for the first attempt to load routes; then it continues without.
const FIRST_LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The players' port cannot be had.
    #[error("listen.address {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The admin API's port cannot be had.
    #[error("admin.address {0}: {1}")]
    Admin(SocketAddr, io::Error),
    /// The port for other gateways cannot be had.
    #[error("peer.address: {0}")]
    Peer(io::Error),
    /// Files of TLS have mistakes; one a line.
    #[error("{}", lines(.0))]
    Tls(Vec<FileMistake>),
    /// The open-file limit cannot be read, or leaves no room for clients.
    #[error("open files: {0}")]
    Files(String),
    /// Tokens of the admin API are not good.
    #[error("{}", .0.join("\n"))]
    AdminTokens(Vec<String>),
    /// The keys of resume tokens are not good.
    #[error("{0}")]
    TokenKeys(String),
    /// Authorities of a collector cannot be used.
    #[error("{0}")]
    Otlp(String),
    /// The pod cannot be named whose cost is to be told.
    #[error("{0}")]
    Kubernetes(String),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// The gateway's thread ended before it was ready.
    #[error("the gateway ended during startup")]
    Ended,
}

fn lines(mistakes: &[FileMistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    /// Where players connect.
    pub players: SocketAddr,
    /// Where other gateways connect, if they can.
    pub peer: Option<SocketAddr>,
    /// Where the admin API answers.
    pub admin: SocketAddr,
    gateway: CountedAddr<Gateway>,
    inspector: Inspector,
    metrics: Vec<Arc<WorkerMetrics>>,
    system: JoinHandle<io::Result<()>>,
    admin_api: Admin,
}

/// Counters of a gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sessions now.
    pub sessions: u64,
    /// Frames from clients.
    pub client_frames_in: u64,
    /// Frames to clients.
    pub client_frames_out: u64,
    /// Links that are ready now.
    pub links: u64,
}

impl Running {
    /// Begins to drain. The gateway ends when it is done.
    pub fn drain(&self) {
        self.gateway.do_send(Drain::by_signal());
    }

    /// Reads the routes again now.
    pub fn reload(&self) {
        self.gateway.do_send(Reload);
    }

    /// Returns the address of the gateway actor.
    pub fn gateway(&self) -> &CountedAddr<Gateway> {
        &self.gateway
    }

    /// Returns the inspector of its actors.
    pub fn inspector(&self) -> &Inspector {
        &self.inspector
    }

    /// Returns its counters.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for metrics in &self.metrics {
            totals.sessions += metrics.sessions_now();
            totals.client_frames_in += metrics.client_frames_in.get();
            totals.client_frames_out += metrics.client_frames_out.get();
            totals.links += metrics.links_now();
        }
        totals
    }

    /// Waits until a drain has ended the gateway.
    ///
    /// # Errors
    /// The gateway's thread failed.
    pub fn wait(self) -> io::Result<()> {
        let result = self.system.join();
        self.admin_api.stop();
        let ended = result.map_err(|_| io::Error::other("the gateway's thread panicked"))?;
        let failed = "drained, because too many actors have died; see the log";
        ended.map_err(|_| io::Error::other(failed))
    }
}

/// Starts a gateway and returns when it listens and has tried to load its routes, so that the first
/// clients are not refused for lack of routes.
///
/// # Errors
/// See [`StartError`]; then nothing is left running.
pub fn start(config: Config) -> Result<Running, StartError> {
    start_with(config, None)
}

/// Starts as [`start`] does; the admin API shows `logging` and may change its level.
///
/// # Errors
/// See [`StartError`]; then nothing is left running.
pub fn start_with(mut config: Config, logging: Option<Logging>) -> Result<Running, StartError> {
    let memory = memory_budget(&mut config);
    let config = Arc::new(config);
    let tls = load_tls(&config)?;
    let count = config.gateway.worker_count();
    let gate = Arc::new(gate(&config)?);
    let doors = Arc::new(Doors::new(Arc::clone(&config)));
    let (listeners, players) = listen_for_players(&config)?;
    let (admin_listener, admin_address) = admin::listen(config.admin.address)
        .map_err(|error| StartError::Admin(config.admin.address, error))?;
    let admin_tokens = admin_tokens::load(&config.admin).map_err(StartError::AdminTokens)?;
    let tokens = ArcSwap::from_pointee(token_keys::load(&config).map_err(StartError::TokenKeys)?);
    let (answering, questions) = tokio::sync::mpsc::channel(peers::MAX_ANSWERING);
    let peers = peers::listen(&config, answering).map_err(StartError::Peer)?;
    let peering = peers.as_ref().map(|peers| peers.peering().clone());
    let peer = (peers.as_ref().map(peers::Listening::address)).transpose()?;
    let metrics = vec_of::<Arc<WorkerMetrics>>(count);
    let services = Arc::new(ServiceBook::new(count));
    let parts = Parts {
        memory: Arc::clone(&memory),
        config: Arc::clone(&config),
        tls: Arc::clone(&tls),
        gate: Arc::clone(&gate),
        doors: Arc::clone(&doors),
        metrics: metrics.clone(),
        services: Arc::clone(&services),
        listeners,
        actors: ActorRegistry::new(count),
        shards: Shards::new(count),
        routers: vec_of(count),
        workers: vec_of(count),
        routes: Arc::default(),
        links: Arc::default(),
        assignments: assignments(&config),
        traces: Arc::default(),
        exporter: telemetry::start(&config).map_err(StartError::Otlp)?,
        tokens: Arc::new(tokens),
        peers,
        pod: pod(&config)?,
    };
    let inspector = parts.inspector();
    let live = Arc::new(parts.live());
    let (first_load, loaded) = mpsc::channel();
    let (system, gateway) = spawn_system(parts, Arc::clone(&live), first_load)?;
    let sources = Sources {
        config,
        tokens: admin_tokens,
        doors,
        live_config: live,
        gateway: gateway.clone(),
        metrics: metrics.clone(),
        services: Arc::clone(&services),
        memory,
        inspector: inspector.clone(),
        logging,
        gate,
        tls,
        peering: peering.unwrap_or_default(),
    };
    let admin_api = admin::start(admin_listener, sources, questions)?;
    // `/ready` says what is wrong where there are none.
    let _ = loaded.recv_timeout(FIRST_LOAD_TIMEOUT);
    Ok(Running {
        players,
        peer,
        admin: admin_address,
        gateway,
        metrics,
        inspector,
        system,
        admin_api,
    })
}

/// Returns a listener for each worker, and the address that they share.
fn listen_for_players(config: &Config) -> Result<(Vec<TcpListener>, SocketAddr), StartError> {
    let (address, count) = (config.listen.address, config.gateway.worker_count());
    let listeners = listen::listeners(address, count, config.listen.dead_after)
        .map_err(|error| StartError::Listen(address, error))?;
    let players = listeners[0].local_addr()?;
    Ok((listeners, players))
}

/// Starts the gateway's own thread, and on it its actors.
fn spawn_system(
    parts: Parts,
    live: Arc<LiveConfig>,
    first_load: mpsc::Sender<()>,
) -> Result<(JoinHandle<io::Result<()>>, CountedAddr<Gateway>), StartError> {
    supervision::record_panics();
    let (started, ready) = mpsc::channel();
    let run = move || {
        let system = System::new();
        let gateway = system.block_on(start_actors(parts, live, first_load));
        let failed = gateway.is_err();
        // The receiver waits for exactly this.
        let _ = started.send(gateway);
        if failed { Ok(()) } else { system.run() }
    };
    let system = std::thread::Builder::new()
        .name("gateway".into())
        .spawn(run)?;
    let gateway = ready.recv().map_err(|_| StartError::Ended)??;
    Ok((system, gateway))
}

/// Returns the way to users' assignments, which are where the routing data is.
fn assignments(config: &Config) -> Assignments {
    match config.routes.source {
        RouteSource::Redis => Assignments::in_redis(),
        RouteSource::File => Assignments::default(),
    }
}

/// Returns the pod whose deletion cost is reported to Kubernetes, if that is enabled.
fn pod(config: &Config) -> Result<Option<Pod>, StartError> {
    let kubernetes = &config.kubernetes;
    let variable = |name: &str| std::env::var(name).ok();
    let pod = || Pod::from_environment(&kubernetes.service_account, variable);
    let pod = kubernetes.pod_deletion_cost.then(pod).transpose();
    pod.map_err(StartError::Kubernetes)
}

fn load_tls(config: &Arc<Config>) -> Result<Arc<Tls>, StartError> {
    let (tls, warnings) = Tls::load(config).map_err(StartError::Tls)?;
    for warning in warnings {
        tracing::warn!(warning, "TLS");
    }
    Ok(Arc::new(tls))
}

/// Makes the budget of `limits.memory`, or of what takes its place, and says so.
fn memory_budget(config: &mut Config) -> Arc<MemoryBudget> {
    memory::use_small_pages();
    let configured = config.limits.memory.is_some();
    reload::complete(config);
    let bytes = config.limits.memory.unwrap_or(available::LEAST);
    tracing::info!(
        bytes,
        configured,
        "limits.memory: all queues and buffers together"
    );
    Arc::new(MemoryBudget::new(bytes, config.gateway.worker_count()))
}

fn vec_of<T: Default>(count: usize) -> Vec<T> {
    (0..count).map(|_| T::default()).collect()
}

/// Makes the gate for `listen.max_connections`, or as many as there are files for.
fn gate(config: &Config) -> Result<Gate, StartError> {
    let limit = listen::raise_file_limit().map_err(|error| StartError::Files(error.to_string()))?;
    let peers = config.peer.address.map_or(0, |_| peers::MAX_SOCKETS);
    let workers = config.gateway.worker_count();
    let files = FileBudget::new(limit, workers, admin::MAX_CONNECTIONS, peers);
    let wanted = config.listen.max_connections;
    let gate = Gate::new(wanted, files).ok_or_else(|| {
        let least = files.kept_free(0) + 2;
        StartError::Files(format!(
            "limit {limit} too low for clients, expected more than {least}"
        ))
    })?;
    let fitting = gate.limit();
    if fitting < wanted {
        tracing::warn!(
            wanted,
            fitting,
            limit,
            kept_free = files.kept_free(0),
            "listen.max_connections is lowered to fit the open-file limit"
        );
    }
    Ok(gate)
}
