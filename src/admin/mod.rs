//! The admin API: actix-web on a thread of its own. It asks actors by messages with a deadline and
//! never reaches into them; so however many ask, players do not notice.

mod api;
mod families;
mod metrics;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};

use crate::actors::gateway::Gateway;
use crate::actors::life::Address;
use crate::config::Config;
use crate::metrics::WorkerMetrics;

pub use families::{FAMILIES, Family};

/// Requests being served at a time; the admin API is for few.
const MAX_CONNECTIONS: usize = 256;

/// What every request may use.
struct Desk {
    config: Arc<Config>,
    gateway: Address<Gateway>,
    metrics: Vec<Arc<WorkerMetrics>>,
    started_at: std::time::SystemTime,
    started: std::time::Instant,
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
pub fn start(
    listener: TcpListener,
    config: Arc<Config>,
    gateway: Address<Gateway>,
    metrics: Vec<Arc<WorkerMetrics>>,
) -> io::Result<Admin> {
    let desk = web::Data::new(Desk {
        config,
        gateway,
        metrics,
        started_at: std::time::SystemTime::now(),
        started: std::time::Instant::now(),
    });
    let (running, handle) = mpsc::channel();
    let serve = move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(move || {
                App::new().app_data(desk.clone()).configure(api::configure)
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
