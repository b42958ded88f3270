//! Figures of a gateway that come back to what they were.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::Value;

use crate::support::wire::{DEADLINE, get, metric};

/// Gauges that must return to what they were.
const GAUGES: [&str; 5] = [
    "game_gateway_connections",
    "game_gateway_connections_being_refused",
    "game_gateway_sessions",
    "game_gateway_links",
    "game_gateway_waiting_sessions",
];

/// Figures that are the same before a case and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Live ones, by kind.
    pub(crate) actors: BTreeMap<String, u64>,
    /// By metric.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) files: usize,
}

impl Snapshot {
    pub(crate) async fn take(admin: SocketAddr, process: u32) -> Snapshot {
        let (status, body) = get(admin, "/api/v1/actors").await;
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let kinds = answer["kinds"].as_array().expect("kinds");
        let live = |kind: &Value| {
            let name = kind["kind"].as_str().expect("a kind").to_owned();
            (name, kind["live"].as_u64().expect("a number"))
        };
        let (_, metrics) = get(admin, "/metrics").await;
        Snapshot {
            actors: kinds.iter().map(live).collect(),
            counts: GAUGES
                .into_iter()
                .map(|name| (name, metric(&metrics, name)))
                .collect(),
            files: std::fs::read_dir(format!("/proc/{process}/fd"))
                .expect("it runs")
                .count(),
        }
    }

    /// Waits until everything is what it was, with no more files at least.
    ///
    /// # Panics
    /// It does not become so.
    pub(crate) async fn comes_back(&self, admin: SocketAddr, process: u32) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut now = Snapshot::take(admin, process).await;
            now.files = now.files.max(self.files);
            if now == *self {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{now:?} is not what it was: {self:?}"
            );
            crate::support::wire::look_again().await;
        }
    }
}

pub(crate) fn status_kib(process: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    number.and_then(|n| n.parse().ok()).expect("a size")
}

pub(crate) fn memory_kib(process: u32) -> u64 {
    status_kib(process, "VmRSS:")
}
