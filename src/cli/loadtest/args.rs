//! The arguments.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::units::per_second;
use crate::config::units::parse_duration;

/// Transport of the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Raw frames over TCP.
    Tcp,
    /// One frame per WebSocket message.
    Websocket,
    /// One POST per frame, each its own session, on a keep-alive connection.
    Http,
}

/// Protocol of the echo backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendProtocol {
    /// The link protocol, for a gateway.
    Link,
    /// Echoes raw bytes, to compare with a plain TCP proxy.
    Raw,
    /// Echoes WebSocket messages, to compare with a WebSocket proxy.
    Websocket,
}

/// Generate load on a gateway and verify every response.
#[derive(Debug, Clone, Args)]
pub struct LoadtestArgs {
    /// Address of the gateway (or proxy) under load.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7000")]
    pub target: String,
    /// Transport; sessions are spread evenly over a comma-separated list.
    #[arg(long, value_enum, default_value = "tcp", value_delimiter = ',')]
    pub transport: Vec<Transport>,
    /// Connect over TLS.
    #[arg(long, requires = "ca")]
    pub tls: bool,
    /// With --tls: CA certificates to trust (PEM file).
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub ca: Option<PathBuf>,
    /// Name of the echo service; sessions are spread evenly over a comma-separated list.
    #[arg(long, default_value = "echo", value_delimiter = ',')]
    pub service: Vec<String>,
    /// Number of sessions, each on its own connection.
    #[arg(long, default_value_t = 64)]
    pub sessions: usize,
    /// Addresses of this machine to connect from, in turns: each has ports of its own.
    #[arg(
        long,
        value_name = "ADDR",
        value_delimiter = ',',
        conflicts_with = "expect_moves"
    )]
    pub bind: Vec<IpAddr>,
    /// Open loop: frames per second over all sessions; closed loop if omitted.
    #[arg(long, value_parser = per_second, value_name = "N", conflicts_with_all = ["idle", "think", "in_flight"])]
    pub rate: Option<f64>,
    /// Payload size of a frame in bytes, at least 24.
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub payload: usize,
    /// Duration of the measurement [default: 10s; with --backend-only: until stopped].
    #[arg(long, value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Duration of the warm-up before the measurement; its responses are verified too.
    #[arg(long, value_parser = parse_duration, default_value = "1s")]
    pub warmup: Duration,
    /// Time to wait for responses at the end; missing ones then count as lost.
    #[arg(long, value_parser = parse_duration, default_value = "2s")]
    pub grace: Duration,
    /// Closed loop: pause between a response and the next frame.
    #[arg(long, value_parser = parse_duration, default_value = "0ms")]
    pub think: Duration,
    /// Connections opened per second.
    #[arg(long, value_parser = per_second, default_value = "1000/s", value_name = "N")]
    pub connect_rate: f64,
    /// Closed loop: outstanding frames per session.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub in_flight: usize,
    /// A new connection for each frame, which is closed once that is answered; --sessions of them at a time. Latency is from
    /// connecting to the answer.
    #[arg(long, conflicts_with_all = ["rate", "idle", "think", "in_flight", "expect_moves", "resumable"])]
    pub reconnect: bool,
    /// Hold the sessions open and idle after one round trip each.
    #[arg(long, conflicts_with_all = ["think", "in_flight"])]
    pub idle: bool,
    /// user_id of the first session, incremented for each further one; 0 sends none.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub user_base: u64,
    /// Make sessions resumable, so that the gateway keeps a replay ring for each; none is resumed.
    #[arg(long)]
    pub resumable: bool,
    /// Resume sessions on other gateways: moves are counted and are not errors. Closed loop, one
    /// outstanding frame.
    #[arg(long, conflicts_with_all = ["rate", "idle", "in_flight"])]
    pub expect_moves: bool,
    /// realm_id of the sessions; 0 sends none.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub realm: u32,
    /// Number of realms from --realm (or 1) on; the sessions take them in turns.
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "match_size",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub realms: Option<u32>,
    /// Matches of so many players: each is a realm of its own, whose state the backend keeps and each player compares
    /// at the end.
    #[arg(long, value_name = "N", requires = "expect_moves", value_parser = clap::value_parser!(u32).range(1..))]
    pub match_size: Option<u32>,
    /// Number of load generator threads; the sessions are divided among them.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Run an echo backend in this process on each of these addresses. With --expect-moves and several of them each in
    /// turn is upgraded: its sessions move to the others, and it starts anew.
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub with_backend: Vec<SocketAddr>,
    /// Run only the echo backend, until SIGINT, SIGTERM or the end of --duration. On SIGTERM its sessions move to other
    /// backends first.
    #[arg(long, value_name = "ADDR", conflicts_with = "with_backend")]
    pub backend_only: Option<SocketAddr>,
    /// With --backend-only: address for a cluster's requests. `GET /ready` is answered 200 while the backend takes
    /// sessions; `GET /leave` has them moved to other backends, and is answered when none is left.
    #[arg(long, value_name = "ADDR", requires = "backend_only")]
    pub control: Option<SocketAddr>,
    /// Interval at which the echo backend sends a numbered frame to each player of a match.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    pub pushes: Option<Duration>,
    /// Protocol of the echo backend.
    #[arg(long, value_enum, default_value = "link")]
    pub backend_protocol: BackendProtocol,
    /// Number of threads of the echo backend.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub backend_threads: usize,
}
