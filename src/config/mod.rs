//! The configuration: a TOML file, overridden by the environment, checked as a whole.
//!
//! * [`keys`]: the table of all keys with their fields.
//! * [`field`]: their values.
//! * [`load`](mod@load): file and environment to a [`Config`], or all mistakes at once.
//! * [`lists`]: networks, origins and files.
//! * [`otlp`]: where spans go, and of which sessions.
//! * [`redis`]: Redis, and its URL with the password masked.
//! * [`reload`](mod@reload): the same again, while the gateway runs.
//! * [`units`]: durations and sizes as people write them.

pub mod admin;
mod contradictions;
mod field;
pub mod keys;
pub mod lists;
pub mod load;
pub mod otlp;
pub mod peer;
pub mod redis;
pub mod redis_url;
mod reload;
pub mod units;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use crate::codec::network::{Network, Networks};
pub use admin::{Admin, NamedTokens};
pub use lists::{Origins, Paths};
pub use load::{Mistake, Place, change, environment, host_name, load, log_format};
pub use otlp::{Attributes, CollectorUrl, Otlp, Share};
pub use peer::{HostPort, HostPorts, Peer, PeerChannel};
pub use redis::{Redis, RedisUrl};
pub use reload::{Reloaded, reload};

/// The effective configuration. Fields are named after their keys; docs/configuration.md describes
/// each.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each key is described once, in docs/configuration.md"
)]
pub struct Config {
    pub gateway: Gateway,
    pub listen: Listen,
    pub routes: Routes,
    pub redis: Redis,
    pub session: Session,
    pub backend: Backend,
    pub limits: Limits,
    pub peer: Peer,
    pub kubernetes: Kubernetes,
    pub drain: Drain,
    pub admin: Admin,
    pub log: Log,
    pub otlp: Otlp,
    /// The file that it was loaded from, if it was.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Returns how many sessions may be suspended at a time: as many as there may be connections, unless
    /// `session.max_suspended` says otherwise.
    pub fn max_suspended(&self) -> usize {
        let suspended = self.session.max_suspended;
        suspended.unwrap_or(self.listen.max_connections)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Kubernetes {
    pub pod_deletion_cost: bool,
    pub service_account: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Gateway {
    pub id: String,
    pub workers: usize,
}

impl Gateway {
    /// Returns the number of workers; 0 in the configuration means one a core.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Listen {
    pub address: SocketAddr,
    pub max_connections: usize,
    pub sniff_timeout: Duration,
    pub dead_after: Duration,
    pub max_payload: u32,
    pub proxy_protocol_from: Networks,
    pub tls: ListenTls,
    pub http: Http,
    pub websocket: WebSocket,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct ListenTls {
    pub certificate: Paths,
    pub key: Paths,
    pub client_ca: Option<PathBuf>,
    pub required: bool,
    pub max_handshakes: usize,
    pub max_handshakes_per_second: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Http {
    pub timeout: Duration,
    pub trusted_proxies: Networks,
    pub allowed_origins: Origins,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "see Config")]
pub struct WebSocket {
    pub allowed_origins: Origins,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Routes {
    pub source: RouteSource,
    pub file: PathBuf,
}

/// The source of the routing data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteSource {
    /// A watched file.
    File,
    /// Two keys in Redis, with notifications.
    Redis,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Session {
    pub idle_timeout: Duration,
    pub resume_window: Duration,
    pub replay_bytes: usize,
    pub max_suspended: Option<usize>,
    pub token_keys: Vec<Secret>,
    pub token_keys_file: Option<PathBuf>,
    pub trust_client_ids: bool,
    pub max_services: u8,
    pub outbound_queue: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Backend {
    pub links_per_endpoint: usize,
    pub connect_timeout: Duration,
    pub idle_timeout: Duration,
    pub ping_interval: Duration,
    pub max_backoff: Duration,
    pub probe_interval: Duration,
    pub max_ejected_percent: u8,
    pub max_assigned_endpoints: usize,
    pub resolve_interval: Duration,
    pub high_watermark: usize,
    pub max_link_payload: u32,
    pub token: Option<Secret>,
    pub tls: BackendTls,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct BackendTls {
    pub enabled: bool,
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Limits {
    pub memory: Option<usize>,
    pub connections_per_ip: usize,
    pub connections_per_second_per_ip: usize,
    pub ipv6_prefix: u8,
    pub connections_per_second: usize,
    pub new_sessions_per_second: usize,
    pub frames_per_second: usize,
    pub bytes_per_second: usize,
    pub patience: Duration,
    pub allow: Networks,
    pub deny: Networks,
    pub max_bans: usize,
}

impl Limits {
    /// Returns what stands for `address` where addresses are counted: that one, or of IPv6 `ipv6_prefix` bits of it.
    pub fn source_key(&self, address: IpAddr) -> u128 {
        source_key(address, self.ipv6_prefix)
    }
}

/// Returns [`Limits::source_key`] with this `ipv6_prefix`.
pub fn source_key(address: IpAddr, ipv6_prefix: u8) -> u128 {
    match address.to_canonical() {
        // As an IPv4-mapped IPv6 address.
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => {
            let host_bits = 128 - u32::from(ipv6_prefix.min(128));
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            address.to_bits() & mask
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Drain {
    pub window: Duration,
    pub accept_grace: Duration,
    pub moves_at_once: usize,
}
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
    pub access_per_second: usize,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value so that it is never printed.
    pub fn new(value: String) -> Secret {
        Secret(value)
    }

    /// Returns the value.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Default for Session {
    fn default() -> Session {
        const SECOND: Duration = Duration::from_secs(1);
        Session {
            idle_timeout: 300 * SECOND,
            resume_window: 30 * SECOND,
            replay_bytes: 64 * 1024,
            max_suspended: None,
            token_keys: Vec::new(),
            token_keys_file: None,
            trust_client_ids: false,
            max_services: 8,
            outbound_queue: 1024 * 1024,
        }
    }
}

impl Default for Http {
    fn default() -> Http {
        Http {
            timeout: Duration::from_secs(10),
            trusted_proxies: Networks::default(),
            allowed_origins: Origins::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: None,
            connections_per_ip: 0,
            connections_per_second_per_ip: 0,
            ipv6_prefix: 64,
            connections_per_second: 0,
            new_sessions_per_second: 0,
            frames_per_second: 0,
            bytes_per_second: 0,
            patience: Duration::from_secs(10),
            allow: Networks::default(),
            deny: Networks::default(),
            max_bans: 4096,
        }
    }
}

impl Default for ListenTls {
    fn default() -> ListenTls {
        ListenTls {
            certificate: Paths::default(),
            key: Paths::default(),
            client_ca: None,
            required: false,
            max_handshakes: 4096,
            max_handshakes_per_second: 0,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        const SECOND: Duration = Duration::from_secs(1);
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        Config {
            gateway: Gateway {
                id: String::new(),
                workers: 0,
            },
            listen: Listen {
                address: any(7000),
                max_connections: 100_000,
                sniff_timeout: 5 * SECOND,
                dead_after: 20 * SECOND,
                max_payload: 65_536,
                proxy_protocol_from: Networks::default(),
                tls: ListenTls::default(),
                http: Http::default(),
                websocket: WebSocket::default(),
            },
            routes: Routes {
                source: RouteSource::File,
                file: "config/routes.json".into(),
            },
            redis: Redis::default(),
            session: Session::default(),
            backend: Backend {
                links_per_endpoint: 1,
                connect_timeout: 2 * SECOND,
                idle_timeout: 300 * SECOND,
                ping_interval: 5 * SECOND,
                max_backoff: SECOND,
                probe_interval: 5 * SECOND,
                max_ejected_percent: 50,
                max_assigned_endpoints: 4096,
                resolve_interval: 10 * SECOND,
                high_watermark: 1024 * 1024,
                max_link_payload: 16 * 1024 * 1024,
                token: None,
                tls: BackendTls::default(),
            },
            limits: Limits::default(),
            peer: Peer::default(),
            kubernetes: Kubernetes {
                pod_deletion_cost: false,
                service_account: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
            },
            drain: Drain {
                window: 30 * SECOND,
                accept_grace: 3 * SECOND,
                moves_at_once: 256,
            },
            admin: Admin::default(),
            log: Log {
                level: "info".to_owned(),
                format: LogFormat::Text,
                access_per_second: 100,
            },
            otlp: Otlp::default(),
            file: None,
        }
    }
}
