//! Starts a whole gateway: its threads, its actors, its admin API. Used by `serve`, the demo and
//! the tests alike.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix::prelude::*;

use crate::actors::census::Census;
use crate::actors::config_watcher::Reload;
use crate::actors::drain::Drain;
use crate::actors::gateway::Gateway;
use crate::actors::link_book::LinkBook;
use crate::actors::router::Router;
use crate::actors::scope::{Gate, Scope};
use crate::actors::session_registry::SessionRegistry;
use crate::actors::worker::Worker;
use crate::admin::{self, Admin, LogLevel, Sources};
use crate::config::Config;
use crate::metrics::WorkerMetrics;
use crate::net::listen;
use crate::session::id::Homes;

/// How long a start waits for the first attempt to load routes; then it goes on without.
const FIRST_LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The players' port cannot be had.
    #[error("listen.address {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The admin API's port cannot be had.
    #[error("admin.address {0}: {1}")]
    Admin(SocketAddr, std::io::Error),
    /// The open-file limit cannot be read, or leaves no room for clients.
    #[error("open files: {0}")]
    Files(String),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The gateway's thread ended before it was ready.
    #[error("the gateway ended while it started")]
    Ended,
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    /// Where players connect.
    pub players: SocketAddr,
    /// Where the admin API answers.
    pub admin: SocketAddr,
    gateway: Addr<Gateway>,
    metrics: Vec<Arc<WorkerMetrics>>,
    system: JoinHandle<std::io::Result<()>>,
    admin_api: Admin,
}

/// What a gateway has done so far.
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

    /// The gateway's address, for its messages.
    pub fn gateway(&self) -> &Addr<Gateway> {
        &self.gateway
    }

    /// What it has done so far.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for metrics in &self.metrics {
            totals.sessions += metrics.sessions_started.get() - metrics.sessions_ended.get();
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
    pub fn wait(self) -> std::io::Result<()> {
        let result = self.system.join();
        self.admin_api.stop();
        result.unwrap_or_else(|_| Err(std::io::Error::other("the gateway's thread panicked")))
    }
}

/// Starts a gateway and returns when it listens and has tried to load its routes, so that whoever
/// connects then is not told that there are none yet.
///
/// # Errors
/// See [`StartError`]; then nothing is left running.
pub fn start(config: Config) -> Result<Running, StartError> {
    start_with(config, None)
}

/// As [`start`]; `log_level` is what the admin API may change.
///
/// # Errors
/// See [`StartError`]; then nothing is left running.
pub fn start_with(config: Config, log_level: Option<Arc<LogLevel>>) -> Result<Running, StartError> {
    let config = Arc::new(config);
    let count = config.gateway.worker_count();
    let gate = Arc::new(Gate::new(connection_limit(&config)?));
    let address = config.listen.address;
    let listeners =
        listen::listeners(address, count).map_err(|error| StartError::Listen(address, error))?;
    let players = listeners[0].local_addr()?;
    let (admin_listener, admin_address) = admin::listen(config.admin.address)
        .map_err(|error| StartError::Admin(config.admin.address, error))?;
    let metrics: Vec<_> = (0..count)
        .map(|_| Arc::new(WorkerMetrics::default()))
        .collect();

    let (started, ready) = mpsc::channel();
    let (first_load, loaded) = mpsc::channel();
    let (thread_config, thread_metrics) = (Arc::clone(&config), metrics.clone());
    let system = std::thread::Builder::new()
        .name("gateway".into())
        .spawn(move || {
            let system = System::new();
            let gateway = system.block_on(async move {
                start_actors(thread_config, gate, thread_metrics, listeners, first_load)
            });
            // The receiver waits for exactly this.
            let _ = started.send(gateway);
            system.run()
        })?;
    let gateway = ready.recv().map_err(|_| StartError::Ended)?;
    let sources = Sources {
        config,
        gateway: gateway.clone(),
        metrics: metrics.clone(),
        census: Census::default(),
        log_level,
    };
    let admin_api = admin::start(admin_listener, sources)?;
    // `/ready` says what is wrong where there are none.
    let _ = loaded.recv_timeout(FIRST_LOAD_TIMEOUT);
    Ok(Running {
        players,
        admin: admin_address,
        gateway,
        metrics,
        system,
        admin_api,
    })
}

/// Leaves first: each constructor gets live addresses of what it depends on.
fn start_actors(
    config: Arc<Config>,
    gate: Arc<Gate>,
    metrics: Vec<Arc<WorkerMetrics>>,
    listeners: Vec<std::net::TcpListener>,
    first_load: mpsc::Sender<()>,
) -> Addr<Gateway> {
    let arbiters: Vec<Arbiter> = metrics.iter().map(|_| Arbiter::new()).collect();
    let registry = |arbiter: &Arbiter| {
        SessionRegistry::start_in_arbiter(&arbiter.handle(), |_| SessionRegistry::default())
    };
    let registries: Vec<_> = arbiters.iter().map(registry).collect();
    let homes = Homes::new(arbiters.len());
    let book = Arc::new(LinkBook::default());
    let (mut routers, mut workers) = (Vec::new(), Vec::new());
    for (worker, ((arbiter, metrics), listener)) in
        arbiters.iter().zip(metrics).zip(listeners).enumerate()
    {
        let scope = Arc::new(Scope {
            worker,
            config: Arc::clone(&config),
            metrics,
            gate: Arc::clone(&gate),
            homes: homes.clone(),
            registries: registries.clone(),
            book: Arc::clone(&book),
        });
        let routing = Arc::clone(&scope);
        let router = Router::start_in_arbiter(&arbiter.handle(), move |_| Router::new(routing));
        routers.push(router.clone());
        let worker = move |_: &mut Context<Worker>| Worker::new(scope, router, listener);
        workers.push(Worker::start_in_arbiter(&arbiter.handle(), worker));
    }
    Gateway::new(config, gate, routers, workers, first_load).start()
}

/// `listen.max_connections`, lowered where the open-file limit is.
fn connection_limit(config: &Config) -> Result<usize, StartError> {
    let wanted = config.listen.max_connections;
    let fitting =
        listen::raise_file_limit().map_err(|error| StartError::Files(error.to_string()))?;
    if fitting == 0 {
        let least = listen::RESERVED_FILES;
        return Err(StartError::Files(format!(
            "the limit leaves no room for clients; it must be over {least}"
        )));
    }
    if fitting < wanted {
        tracing::warn!(
            wanted,
            fitting,
            "listen.max_connections is lowered to fit the open-file limit"
        );
    }
    Ok(wanted.min(fitting))
}
