//! The stage of a case: a gateway process with an echoing backend, and a resident player whose frames go
//! on exactly.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use game_gateway::sdk::backend::{self, Backend};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use crate::support::process::Process;
use crate::support::wire::{Player, get, soon};

/// Cases take turns, for each wants the machine for itself.
static TURN: Mutex<()> = Mutex::const_new(());

/// A gateway in a process of its own, a resident, and two services that echo: `game`, to which each worker
/// has a link, and `other`, which nobody has used yet.
pub(crate) struct Stage {
    pub(crate) players: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: Process,
    _backends: [Backend; 2],
    resident: Resident,
    before: Snapshot,
    /// Configuration of every case.
    base: String,
    file: PathBuf,
    _directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Figures that are the same before a case and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Live ones, by kind.
    actors: BTreeMap<String, u64>,
    /// By metric.
    counts: BTreeMap<&'static str, u64>,
    files: usize,
}

/// Workers of the gateway.
const WORKERS: u64 = 2;

/// Gauges that must return to what they were.
const GAUGES: [&str; 5] = [
    "game_gateway_connections",
    "game_gateway_connections_being_refused",
    "game_gateway_sessions",
    "game_gateway_links",
    "game_gateway_waiting_sessions",
];

impl Stage {
    /// Starts with these lines of configuration.
    pub(crate) async fn start(more: &str) -> Stage {
        Stage::start_with(more, None).await
    }

    /// Starts with at most so many open files, if there is a limit.
    pub(crate) async fn start_with(more: &str, files: Option<usize>) -> Stage {
        let turn = TURN.lock().await;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let backend = async || Backend::start(any, backend::echo).await.expect("a backend");
        let backends = [backend().await, backend().await];
        let directory = tempfile::tempdir().expect("a directory");
        let routes = directory.path().join("routes.json");
        let rule = |backend: &Backend| {
            let address = backend.address();
            format!(r#"{{"strategy":"round_robin","endpoints":["{address}"]}}"#)
        };
        let [game, other] = [rule(&backends[0]), rule(&backends[1])];
        let rules = format!(r#"{{"rules":{{"game":{game},"other":{other}}}}}"#);
        std::fs::write(&routes, rules).expect("routes");
        let base = format!(
            "gateway.workers = {WORKERS}\nlisten.address = \"127.0.0.1:0\"\n\
             admin.address = \"127.0.0.1:0\"\nroutes.file = {routes:?}\n"
        );
        let file = directory.path().join("gateway.toml");
        std::fs::write(&file, format!("{base}{more}\n")).expect("configuration");
        let limit = files.map_or_else(String::new, |files| format!("ulimit -n {files}; "));
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{limit}exec \"$0\" \"$@\""));
        command.arg(env!("CARGO_BIN_EXE_game-gateway"));
        command
            .args(["serve", "--config"])
            .arg(&file)
            .env_remove("POD_NAME");
        let process = Process::spawn(&mut command);
        let ready = process.wait_for_line("game-gateway ready: players on ");
        let (players, admin) = ready.split_once(", admin on ").expect("both addresses");
        let players = players.parse().expect("an address");
        let admin = admin.parse().expect("an address");
        let resident = Resident::start(players).await;
        let before = warmed_up(players, admin, process.id()).await;
        Stage {
            players,
            admin,
            process,
            _backends: backends,
            resident,
            before,
            base,
            file,
            _directory: directory,
            _turn: turn,
        }
    }

    /// Says that the case has opened the first link to `other`, which stays.
    pub(crate) fn has_opened_a_link(&mut self) {
        for kind in ["backend_pool", "link"] {
            *self.before.actors.entry(kind.to_owned()).or_default() += 1;
        }
        *self.before.counts.entry("game_gateway_links").or_default() += 1;
        self.before.files += 1;
    }

    /// Replaces the lines of configuration, as editors do, by renaming.
    pub(crate) fn reconfigure(&self, more: &str) {
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, format!("{}{more}\n", self.base)).expect("configuration");
        std::fs::rename(&fresh, &self.file).expect("renamed");
    }

    /// Waits until the gateway has logged this.
    pub(crate) async fn says(&self, what: &str) {
        soon(async {
            while !self.process.output().contains(what) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Returns the status of `/health`.
    pub(crate) async fn health(&self) -> u16 {
        get(self.admin, "/health").await.0
    }

    /// Returns a metric's value, over all its labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, body) = get(self.admin, "/metrics").await;
        metric(&body, name)
    }

    /// Waits until a metric is as it must become.
    pub(crate) async fn until(&self, name: &str, right: impl Fn(u64) -> bool) -> u64 {
        soon(async {
            loop {
                let value = self.metric(name).await;
                if right(value) {
                    return value;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Resident memory of the gateway, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        memory_kib(self.process.id())
    }

    /// Returns the most memory that the gateway has had, in KiB.
    pub(crate) fn memory_peak_kib(&self) -> u64 {
        status_kib(self.process.id(), "VmHWM:")
    }

    /// Ends the case: the resident has had all its answers, everything returns to what it was, and memory
    /// has grown by `memory_kib` at most. Prints the figures.
    pub(crate) async fn unharmed(mut self, case: &str, memory_kib: u64, before_kib: u64) {
        assert!(self.process.runs(), "{}", self.process.output());
        let played = self.resident.end().await;
        // So that a player is there as before.
        let mut again = Resident::start(self.players).await;
        let process = self.process.id();
        let settled = async {
            loop {
                let now = Snapshot::take(self.admin, process).await;
                if now == self.before {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(crate::support::wire::DEADLINE, settled)
            .await
            .is_err()
        {
            let now = Snapshot::take(self.admin, process).await;
            assert_eq!(now, self.before, "{case}: not what it was");
        }
        let after_kib = self.memory_kib();
        println!(
            "{case}: resident {} frames, longest wait {} ms; memory {before_kib} KiB before, {after_kib} after, {} at the most",
            played.frames,
            played.longest.as_millis(),
            self.memory_peak_kib(),
        );
        assert!(
            after_kib <= before_kib + memory_kib,
            "{case}: memory {before_kib} KiB before, {after_kib} after"
        );
        again.end().await;
    }
}

/// Has players come until every worker has its link, and go.
async fn warmed_up(players: SocketAddr, admin: SocketAddr, process: u32) -> Snapshot {
    soon(async {
        loop {
            let mut now = Snapshot::take(admin, process).await;
            if now.counts["game_gateway_links"] < WORKERS {
                exchange(&mut Player::connect_to(players).await, 0).await;
            } else if now.actors["client"] == 1 {
                // A connection to the admin API may be there a moment longer.
                for _ in 0..10 {
                    let again = Snapshot::take(admin, process).await;
                    now.files = now.files.min(again.files);
                }
                return now;
            }
        }
    })
    .await
}

impl Snapshot {
    async fn take(admin: SocketAddr, process: u32) -> Snapshot {
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
}

fn metric(body: &str, name: &str) -> u64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let rest = match rest.strip_prefix('{') {
            Some(labelled) => labelled.split_once('}')?.1,
            None => rest,
        };
        rest.strip_prefix(' ')?.parse::<u64>().ok()
    };
    let values: Vec<u64> = body.lines().filter_map(value).collect();
    assert!(!values.is_empty(), "no {name} in\n{body}");
    values.iter().sum()
}

fn status_kib(process: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    number.and_then(|n| n.parse().ok()).expect("a size")
}

fn memory_kib(process: u32) -> u64 {
    status_kib(process, "VmRSS:")
}

/// Connects from an address of this machine, of which 127.0.0.0/8 has many.
pub(crate) async fn connect_from(source: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(to).await
}

/// The `n`th address of 127.0.0.0/8 that is not 127.0.0.x.
pub(crate) fn source(n: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + n as u32)
}

/// A player who sends numbered frames, one after the other, and must get each back in order.
struct Resident {
    ends: Arc<AtomicBool>,
    plays: JoinHandle<Played>,
}

/// What a resident has seen.
struct Played {
    frames: u64,
    longest: Duration,
}

impl Resident {
    /// Returns when the first frame is back.
    async fn start(players: SocketAddr) -> Resident {
        let ends = Arc::new(AtomicBool::new(false));
        let mut player = Player::connect_to(players).await;
        exchange(&mut player, 0).await;
        let stop = Arc::clone(&ends);
        let plays = tokio::spawn(async move {
            let (mut frames, mut longest) = (1, Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                let sent = Instant::now();
                exchange(&mut player, frames).await;
                longest = longest.max(sent.elapsed());
                frames += 1;
            }
            Played { frames, longest }
        });
        Resident { ends, plays }
    }

    async fn end(&mut self) -> Played {
        self.ends.store(true, Ordering::Relaxed);
        let played = (&mut self.plays).await;
        played.expect("the resident's frames go on exactly")
    }
}

async fn exchange(player: &mut Player, number: u64) {
    player.data("game", &number.to_be_bytes()).await;
    let answer = player.answer().await;
    assert_eq!(&answer.payload[..], &number.to_be_bytes(), "in order");
}
