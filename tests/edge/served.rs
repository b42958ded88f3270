//! A gateway in a process of its own, whose memory can be looked at.

use std::net::SocketAddr;
use std::process::Command;

use game_gateway::codec::link;
use tempfile::TempDir;

use crate::support::process::Process;
use crate::support::wire::{Backend, Link, get, soon};

/// Bytes of the answer to an empty message.
pub(crate) const LARGE: usize = 128 * 1024;
/// Other growth of a gateway's memory, in bytes: its pools and the slack of its allocator.
pub(crate) const SLACK: u64 = 8 * 1024 * 1024;

/// A gateway as its users start it, with a service `game` ([`answer`]) and one that is `silent`.
pub(crate) struct Served {
    process: Process,
    pub(crate) players: SocketAddr,
    admin: SocketAddr,
    _directory: TempDir,
}

impl Served {
    /// Starts one that has as little patience as it may.
    pub(crate) async fn start() -> Served {
        Served::waiting("1s").await
    }

    /// Starts one whose backends have so long to answer.
    pub(crate) async fn waiting(timeout: &str) -> Served {
        let (backend, silent) = (Backend::start().await, Backend::start().await);
        let directory = tempfile::tempdir().expect("a directory");
        let routes = directory.path().join("routes.json");
        let rules = format!(
            r#"{{"rules":{{"game":{},"silent":{}}}}}"#,
            Backend::rule(&[&backend]),
            Backend::rule(&[&silent])
        );
        std::fs::write(&routes, rules).expect("written");
        let file = directory.path().join("gateway.toml");
        let settings = format!(
            "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
             listen.sniff_timeout = \"1s\"\nlisten.http.timeout = {timeout:?}\n\
             gateway.workers = 1\nroutes.file = {routes:?}\n"
        );
        std::fs::write(&file, settings).expect("written");
        let mut program = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
        program.arg("serve").arg("--config").arg(&file);
        let process = Process::spawn(&mut program);
        let ready = process.wait_for_line("game-gateway ready: players on ");
        let (players, admin) = ready.split_once(", admin on ").expect("both addresses");
        tokio::spawn(async move {
            loop {
                tokio::spawn(answer(backend.link().await));
            }
        });
        tokio::spawn(async move {
            loop {
                let mut link = silent.link().await;
                tokio::spawn(async move { while link.next().await.is_some() {} });
            }
        });
        Served {
            players: players.parse().expect("an address"),
            admin: admin.parse().expect("an address"),
            process,
            _directory: directory,
        }
    }

    /// Waits until so many responses had this status.
    pub(crate) async fn responses(&self, status: u16, count: u64) {
        let name = format!("game_gateway_http_responses_total{{status=\"{status}\"}} ");
        let seen = async {
            loop {
                let (_, metrics) = get(self.admin, "/metrics").await;
                let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
                if line.is_some_and(|value| value.parse().is_ok_and(|n: u64| n >= count)) {
                    return;
                }
                crate::support::wire::look_again().await;
            }
        };
        soon(seen).await;
    }

    /// Returns its peak memory, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.process.peak_memory()
    }

    /// Returns its memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.process.memory()
    }
}

/// Answers every DATA with its payload, and an empty one with a large answer.
async fn answer(mut link: Link) {
    let large = vec![7; LARGE];
    while let Some(frame) = link.next().await {
        if frame.kind == link::Kind::Data as u8 {
            let empty = frame.payload.is_empty();
            let payload = if empty { &large } else { &frame.payload[..] };
            link.send(link::Kind::Data, frame.session_id, payload).await;
        }
    }
}
