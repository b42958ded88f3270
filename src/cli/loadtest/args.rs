//! The arguments.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::units::per_second;
use crate::config::units::parse_duration;

/// How the sessions reach the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Raw frames over TCP.
    Tcp,
    /// A frame in a WebSocket message.
    Websocket,
    /// A POST for each frame, each a session of its own, on a connection that is kept.
    Http,
}

/// What the echo backend speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendProtocol {
    /// The link protocol, for a gateway.
    Link,
    /// Bytes back as they came, so that a plain TCP proxy can be driven the same way.
    Raw,
    /// WebSocket messages back as they came, for a proxy that passes WebSockets on.
    Websocket,
}

/// Drives a gateway: sessions, rate, payload; checks every answer.
#[derive(Debug, Clone, Args)]
pub struct LoadtestArgs {
    /// The gateway (or proxy) to drive.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7000")]
    pub target: String,
    /// How to reach it; several, with commas between, are taken in turns.
    #[arg(long, value_enum, default_value = "tcp", value_delimiter = ',')]
    pub transport: Vec<Transport>,
    /// Inside TLS.
    #[arg(long, requires = "ca")]
    pub tls: bool,
    /// With --tls: the certificates to trust, a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub ca: Option<PathBuf>,
    /// The service that echoes.
    #[arg(long, default_value = "echo")]
    pub service: String,
    /// Sessions, each on its own connection.
    #[arg(long, default_value_t = 64)]
    pub sessions: usize,
    /// Open loop: frames a second over all sessions. Without it: closed loop.
    #[arg(long, value_parser = per_second, value_name = "N", conflicts_with_all = ["idle", "think", "in_flight"])]
    pub rate: Option<f64>,
    /// Bytes of payload in a frame, at least 24.
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub payload: usize,
    /// How long to measure [default: 10s; with --backend-only: until stopped].
    #[arg(long, value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// How long to drive before measuring; answers are checked all the same.
    #[arg(long, value_parser = parse_duration, default_value = "1s")]
    pub warmup: Duration,
    /// How long to wait for answers at the end; what is missing then is lost.
    #[arg(long, value_parser = parse_duration, default_value = "2s")]
    pub grace: Duration,
    /// Closed loop: pause between an answer and the next frame.
    #[arg(long, value_parser = parse_duration, default_value = "0ms")]
    pub think: Duration,
    /// Connections made a second.
    #[arg(long, value_parser = per_second, default_value = "1000/s", value_name = "N")]
    pub connect_rate: f64,
    /// Closed loop: frames that a session has outstanding.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub in_flight: usize,
    /// Only hold the sessions open, after one exchange each.
    #[arg(long, conflicts_with_all = ["think", "in_flight"])]
    pub idle: bool,
    /// The first session's user_id, the next has one more; 0: none have any.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub user_base: u64,
    /// Sessions that can be resumed: the gateway keeps their last frames. They never are.
    #[arg(long)]
    pub resumable: bool,
    /// Sessions that go on while gateways come and go: moves are counted, and are no errors. Closed
    /// loop, one frame outstanding.
    #[arg(long, conflicts_with_all = ["rate", "idle", "in_flight"])]
    pub expect_moves: bool,
    /// The sessions' realm_id; 0: none.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub realm: u32,
    /// Threads that drive, each with its share of the sessions.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Run an echo backend in this process, listening here.
    #[arg(long, value_name = "ADDR")]
    pub with_backend: Option<SocketAddr>,
    /// Run nothing but the echo backend, until SIGINT, SIGTERM or --duration.
    #[arg(long, value_name = "ADDR", conflicts_with = "with_backend")]
    pub backend_only: Option<SocketAddr>,
    /// What the echo backend speaks.
    #[arg(long, value_enum, default_value = "link")]
    pub backend_protocol: BackendProtocol,
    /// Threads of the echo backend.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub backend_threads: usize,
}
