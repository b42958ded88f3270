//! The admin API: actix-web on a thread of its own. It asks actors by messages with a deadline and
//! never reaches into them; so however many ask, players do not notice.
//!
//! * [`endpoints`]: every path with its methods, once; the API's document is made of it.
//! * [`access`]: who may ask. [`params`] and [`ids`]: what they say. [`errors`]: what is wrong.
//! * One module for each subject: [`probes`], [`actors`], [`sessions`], [`backends`], [`routes`],
//!   [`drain`], [`log_level`], [`config`]; [`pages`] for people.

mod access;
mod actors;
mod backends;
mod config;
mod drain;
mod endpoints;
mod errors;
mod families;
mod family;
mod ids;
mod log_level;
mod metrics;
mod openapi;
mod pages;
mod params;
mod probes;
mod routes;
mod sessions;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use actix::Message;
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};

use crate::actors::gateway::{AskStatus, Gateway, StatusSnapshot};
use crate::config::Config;
use crate::inspection::Inspector;
use crate::logging::Log;
use crate::metrics::WorkerMetrics;
use crate::supervision::{CountedAddr, Receive};
use errors::ApiError;

pub use families::FAMILIES;
pub use family::Family;
pub use log_level::{LogLevel, MAX_LEVEL};

/// Requests being served at a time; the admin API is for few.
const MAX_CONNECTIONS: usize = 256;
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
    /// The root of the actors.
    pub gateway: CountedAddr<Gateway>,
    /// Each worker's counters.
    pub metrics: Vec<Arc<WorkerMetrics>>,
    /// Knows the other actors.
    pub inspector: Inspector,
    /// The log, if this program has one.
    pub logging: Option<Logging>,
}

/// The state that every request may use.
struct Desk {
    config: Arc<Config>,
    gateway: CountedAddr<Gateway>,
    metrics: Vec<Arc<WorkerMetrics>>,
    inspector: Inspector,
    logging: Option<Logging>,
    started_at: std::time::SystemTime,
    started: std::time::Instant,
}

impl Desk {
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

/// The admin API as it runs.
#[derive(Debug)]
pub struct Admin {
    server: ServerHandle,
    thread: std::thread::JoinHandle<io::Result<()>>,
}

impl Admin {
    /// Stops it; requests under way are cut off.
    pub fn stop(self) {
        // The returned future only waits; the command itself is sent at once.
        drop(self.server.stop(false));
        if self.thread.join().is_err() {
            tracing::error!("the admin API's thread panicked");
        }
    }
}

/// Opens the admin API's listening socket.
///
/// # Errors
/// The address cannot be bound.
pub fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Starts to answer on `listener`.
///
/// # Errors
/// Its thread cannot be started.
pub fn start(listener: TcpListener, sources: Sources) -> io::Result<Admin> {
    let desk = web::Data::new(Desk {
        config: sources.config,
        gateway: sources.gateway,
        metrics: sources.metrics,
        inspector: sources.inspector,
        logging: sources.logging,
        started_at: std::time::SystemTime::now(),
        started: std::time::Instant::now(),
    });
    let (running, handle) = mpsc::channel();
    let serve = move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(move || {
                App::new()
                    .app_data(desk.clone())
                    .configure(endpoints::configure)
            })
            .workers(1)
            .max_connections(MAX_CONNECTIONS)
            .disable_signals()
            .listen(listener)?
            .run();
            // The receiver waits for exactly this.
            let _ = running.send(server.handle());
            server.await
        })
    };
    let thread = std::thread::Builder::new()
        .name("admin".into())
        .spawn(serve)?;
    let ended = || io::Error::other("the admin API ended while it started");
    let server = handle.recv().map_err(|_| ended())?;
    Ok(Admin { server, thread })
}
