//! The stage of a case: a gateway process with an echoing backend, and a resident player whose frames go
//! on exactly.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use futures_util::{StreamExt, stream};
use game_gateway::sdk::backend::{self, Backend};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, MutexGuard};

use crate::resident::{Resident, exchange};
use crate::snapshot::{Snapshot, memory_kib, status_kib};
use crate::support::namespace;
use crate::support::process::Process;
use crate::support::redis::RedisServer;
use crate::support::wire::{Player, get, metric, soon};

/// Key of the rules in Redis.
pub(crate) const RULES: &str = "game-gateway:routing:rules";
/// Set where cases have their full size, which takes half an hour.
const FULL: &str = "GAME_GATEWAY_TEST_FULL";

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

/// Parts of a stage beyond those of every case.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    /// Lines of configuration.
    pub(crate) config: &'a str,
    /// The most open files, if there is a limit.
    pub(crate) files: Option<usize>,
    /// Services, each with its endpoints.
    pub(crate) services: &'a [(&'a str, &'a [SocketAddr])],
    /// Source of the routes in place of a file.
    pub(crate) redis: Option<&'a RedisServer>,
}

/// Workers of the gateway.
pub(crate) const WORKERS: u64 = 2;

impl Stage {
    /// Starts with these lines of configuration.
    pub(crate) async fn start(config: &str) -> Stage {
        Stage::start_with(Setup {
            config,
            ..Setup::default()
        })
        .await
    }

    pub(crate) async fn start_with(setup: Setup<'_>) -> Stage {
        let turn = TURN.lock().await;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let backend = async || Backend::start(any, backend::echo).await.expect("a backend");
        let backends = [backend().await, backend().await];
        let directory = tempfile::tempdir().expect("a directory");
        let routes = directory.path().join("routes.json");
        let rules = rules(&backends, setup.services);
        std::fs::write(&routes, format!(r#"{{"rules":{rules}}}"#)).expect("routes");
        let mut more = setup.config.to_owned();
        if let Some(redis) = setup.redis {
            redis.command(&["SET", RULES, &rules]);
            let url = redis.url();
            write!(more, "\nroutes.source = \"redis\"\nredis.url = {url:?}").expect("written");
        }
        let base = format!(
            "gateway.workers = {WORKERS}\nlisten.address = \"127.0.0.1:0\"\n\
             admin.address = \"127.0.0.1:0\"\nroutes.file = {routes:?}\n\
             backend.probe_interval = \"0s\"\nbackend.idle_timeout = \"1h\"\n"
        );
        let file = directory.path().join("gateway.toml");
        std::fs::write(&file, format!("{base}{more}\n")).expect("configuration");
        let limit = setup
            .files
            .map_or_else(String::new, |files| format!("ulimit -n {files}; "));
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

    /// Has players of a service come and go until there are so many links more. What is there then must be there
    /// afterwards.
    pub(crate) async fn warm_up(&mut self, service: &str, links: u64) {
        let goal = self.before.counts["game_gateway_links"] + links;
        soon(async {
            while self.metric("game_gateway_links").await < goal {
                exchange(&mut Player::connect_to(self.players).await, service, 0).await;
            }
        })
        .await;
        self.before = at_rest(self.admin, self.process.id()).await;
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
                crate::support::wire::look_again().await;
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
                crate::support::wire::look_again().await;
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
        self.before.comes_back(self.admin, self.process.id()).await;
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

/// Returns the rules of `game`, `other` and these.
fn rules(backends: &[Backend; 2], services: &[(&str, &[SocketAddr])]) -> String {
    let [game, other] = [[backends[0].address()], [backends[1].address()]];
    let ours = [("game", &game[..]), ("other", &other[..])];
    let rule = |(service, endpoints): &(&str, &[SocketAddr])| {
        let rule = json!({ "strategy": "round_robin", "endpoints": endpoints });
        ((*service).to_owned(), rule)
    };
    let all = ours.iter().chain(services).map(rule);
    Value::Object(all.collect()).to_string()
}

/// Has players come until every worker has its link, and go.
async fn warmed_up(players: SocketAddr, admin: SocketAddr, process: u32) -> Snapshot {
    soon(async {
        let links = async || {
            let (_, metrics) = get(admin, "/metrics").await;
            metric(&metrics, "game_gateway_links")
        };
        while links().await < WORKERS {
            exchange(&mut Player::connect_to(players).await, "game", 0).await;
        }
    })
    .await;
    at_rest(admin, process).await
}

/// Waits until nobody but the resident is there.
async fn at_rest(admin: SocketAddr, process: u32) -> Snapshot {
    soon(async {
        loop {
            let mut now = Snapshot::take(admin, process).await;
            if now.actors["client"] == 1 {
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

/// Returns the size of a case: so large where everybody runs it, or in full.
pub(crate) fn size(everywhere: usize, full: usize) -> usize {
    match std::env::var_os(FULL) {
        Some(_) => full,
        None => everywhere,
    }
}

/// Waits for the turn of a case that has no [`Stage`].
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// Runs a case in a network namespace of its own, where it may cut paths. `test`: its full name.
pub(crate) fn alone<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    // Inside, the case itself waits for its turn, which is the next one there.
    let _turn = (!namespace::is_own()).then(|| TURN.blocking_lock());
    namespace::alone(test, body);
}

/// Does `one` for each number, at most `at_once` at a time.
pub(crate) async fn each<F: Future<Output = ()> + Send>(
    count: usize,
    at_once: usize,
    one: impl Fn(usize) -> F,
) {
    let all = stream::iter((0..count).map(one));
    all.buffer_unordered(at_once).collect::<()>().await;
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
