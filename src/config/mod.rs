//! Stub.
#![allow(missing_docs)]
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
#[derive(Debug, Clone)]
pub struct Secret(String);
impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}
#[derive(Debug, Clone)]
pub struct Config {
    pub gateway: Gateway,
    pub listen: Listen,
    pub routes: Routes,
    pub session: Session,
    pub backend: Backend,
    pub drain: Drain,
    pub admin: Admin,
    pub log: Log,
}
#[derive(Debug, Clone)]
pub struct Gateway {
    pub id: String,
    pub workers: usize,
}
impl Gateway {
    pub fn worker_count(&self) -> usize {
        if self.workers == 0 {
            std::thread::available_parallelism().map_or(1, |n| n.get())
        } else {
            self.workers
        }
    }
}
#[derive(Debug, Clone)]
pub struct Listen {
    pub address: SocketAddr,
    pub max_connections: usize,
    pub sniff_timeout: Duration,
    pub max_payload: u32,
}
#[derive(Debug, Clone)]
pub struct Routes {
    pub file: PathBuf,
}
#[derive(Debug, Clone)]
pub struct Session {
    pub idle_timeout: Duration,
    pub resume_window: Duration,
    pub trust_client_ids: bool,
    pub max_services: u8,
    pub outbound_queue: usize,
}
#[derive(Debug, Clone)]
pub struct Backend {
    pub links_per_endpoint: usize,
    pub connect_timeout: Duration,
    pub idle_timeout: Duration,
    pub ping_interval: Duration,
    pub max_backoff: Duration,
    pub resolve_interval: Duration,
    pub high_watermark: usize,
    pub max_link_payload: u32,
    pub token: Option<Secret>,
}
#[derive(Debug, Clone)]
pub struct Drain {
    pub window: Duration,
    pub accept_grace: Duration,
}
#[derive(Debug, Clone)]
pub struct Admin {
    pub address: SocketAddr,
    pub token: Option<Secret>,
}
#[derive(Debug, Clone)]
pub enum LogFormat {
    Text,
    Json,
}
#[derive(Debug, Clone)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}
pub fn load(
    _f: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Config, Vec<String>> {
    let env: std::collections::HashMap<_, _> = env.collect();
    let g = |k: &str, d: &str| env.get(k).cloned().unwrap_or(d.to_string());
    let s = Duration::from_secs;
    Ok(Config {
        gateway: Gateway {
            id: "gw".into(),
            workers: g("GATEWAY__GATEWAY__WORKERS", "0").parse().unwrap(),
        },
        listen: Listen {
            address: g("GATEWAY__LISTEN__ADDRESS", "0.0.0.0:7000")
                .parse()
                .unwrap(),
            max_connections: 100000,
            sniff_timeout: s(5),
            max_payload: 65536,
        },
        routes: Routes {
            file: g("GATEWAY__ROUTES__FILE", "config/routes.json").into(),
        },
        session: Session {
            idle_timeout: s(300),
            resume_window: s(30),
            trust_client_ids: false,
            max_services: 8,
            outbound_queue: 1 << 20,
        },
        backend: Backend {
            links_per_endpoint: 1,
            connect_timeout: s(2),
            idle_timeout: s(300),
            ping_interval: s(5),
            max_backoff: s(1),
            resolve_interval: s(10),
            high_watermark: 1 << 20,
            max_link_payload: 16 << 20,
            token: None,
        },
        drain: Drain {
            window: s(30),
            accept_grace: s(3),
        },
        admin: Admin {
            address: g("GATEWAY__ADMIN__ADDRESS", "127.0.0.1:9090")
                .parse()
                .unwrap(),
            token: None,
        },
        log: Log {
            level: g("GATEWAY__LOG__LEVEL", "info"),
            format: LogFormat::Text,
        },
    })
}
