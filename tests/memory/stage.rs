//! A gateway in a process of its own, with one backend that the test plays.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::process::Process;
use crate::support::wire::{Backend, DEADLINE, Link, Player, get, metric, soon};

pub(crate) const MIB: u64 = 1024 * 1024;
/// Other growth of a gateway's memory, in bytes: its pools and the slack of its allocator.
pub(crate) const SLACK: u64 = 12 * MIB;

/// Resident memory for 100 bytes of the budget: the rest is the allocator's.
pub(crate) const PRICE_PERCENT: u64 = 125;

/// `limits.memory` of [`SMALL`].
pub(crate) const LIMIT: u64 = 16 * MIB;
/// A small budget that large frames fill.
pub(crate) const SMALL: &str = "limits.memory = \"16MiB\"\nlisten.max_payload = \"1MiB\"\n\
     session.outbound_queue = \"4MiB\"\nsession.idle_timeout = \"1h\"\nlisten.http.timeout = \"5m\"";
/// A frame of 1 MiB on its way through link, session and request, in buffers of up to twice its size.
pub(crate) const UNDER_WAY: u64 = 6 * MIB;
/// Rounds in which nobody could send anything.
const QUIET_ROUNDS: usize = 200;

/// The gateway's process.
pub(crate) struct Served {
    process: Process,
    pub(crate) players: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) backend: Backend,
    directory: TempDir,
}

/// Writes the configuration, with these settings, one a line.
fn configure(file: &Path, settings: &str) {
    let routes = file.with_file_name("routes.json");
    let workers = match settings.contains("gateway.workers") {
        true => "",
        false => "gateway.workers = 1\n",
    };
    let settings = format!(
        "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
         {workers}routes.file = {routes:?}\nbackend.ping_interval = \"1h\"\n{settings}\n"
    );
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, settings).expect("written");
    std::fs::rename(&fresh, file).expect("renamed");
}

impl Served {
    /// Starts one with these settings, one a line, and one worker where they say nothing else.
    pub(crate) async fn start(settings: &str) -> Served {
        let backend = Backend::start().await;
        let routes = backend.routes();
        Served::start_with(settings, backend, &routes)
    }

    /// Starts one with these routes.
    pub(crate) fn start_with(settings: &str, backend: Backend, document: &str) -> Served {
        let directory = tempfile::tempdir().expect("a directory");
        let routes = directory.path().join("routes.json");
        std::fs::write(&routes, document).expect("written");
        let file = directory.path().join("gateway.toml");
        configure(&file, settings);
        let mut program = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
        program.arg("serve").arg("--config").arg(&file);
        let process = Process::spawn(&mut program);
        let ready = process.wait_for_line("game-gateway ready: players on ");
        let (players, admin) = ready.split_once(", admin on ").expect("both addresses");
        Served {
            players: players.parse().expect("an address"),
            admin: admin.parse().expect("an address"),
            process,
            backend,
            directory,
        }
    }

    /// Replaces these settings while it runs.
    pub(crate) fn set(&self, settings: &str) {
        configure(&self.directory.path().join("gateway.toml"), settings);
    }

    /// Stops the process, or lets it go on.
    pub(crate) fn stop(&self, stops: bool) {
        self.process.signal(if stops { "STOP" } else { "CONT" });
    }

    /// Returns how many frames were sent on the links that there are.
    pub(crate) async fn sent_to_backends(&self) -> u64 {
        let answer = self.json("/api/v1/backends").await;
        let backends = answer["backends"].as_array().expect("a list");
        let links = backends
            .iter()
            .flat_map(|b| b["links"].as_array().expect("a list"));
        links
            .map(|link| link["frames_out"].as_u64().expect("a number"))
            .sum()
    }

    /// Starts sessions, the first of which brings the link; returns the players and their sessions.
    pub(crate) async fn sessions(&self, count: usize) -> (Link, Vec<(Player, u64)>) {
        let mut link = None;
        let mut players = Vec::new();
        for _ in 0..count {
            let mut player = Player::connect_narrow(self.players).await;
            player.data("game", b"hello").await;
            let link = match &mut link {
                Some(link) => link,
                None => link.insert(self.backend.link().await),
            };
            let session_id = link.opened().await.session_id;
            link.data().await;
            players.push((player, session_id));
        }
        (link.expect("a session at least"), players)
    }

    /// Sends to fill the budget as [`send_all`](Self::send_all) does, which must bring it to where clients are not
    /// read.
    pub(crate) async fn fill(&self, clients: &mut [TcpStream], bytes: &[u8]) {
        soon(self.send(clients, bytes, true)).await;
    }

    /// Sends what each client is to send, as far as the gateway takes it: until nobody has sent anything in many
    /// rounds.
    pub(crate) async fn send_all(&self, clients: &mut [TcpStream], bytes: &[u8]) {
        soon(self.send(clients, bytes, false)).await;
    }

    async fn send(&self, clients: &mut [TcpStream], bytes: &[u8], fills: bool) {
        let mut sent = vec![0; clients.len()];
        let (mut quiet, mut full) = (0, !fills);
        while quiet < QUIET_ROUNDS || !full {
            quiet += 1;
            for (client, sent) in clients.iter_mut().zip(&mut sent) {
                while *sent < bytes.len() {
                    match client.try_write(&bytes[*sent..]) {
                        Ok(n) => (*sent, quiet) = (*sent + n, 0),
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                        Err(_) => *sent = bytes.len(),
                    }
                }
            }
            // Its answer is the gateway's time to go on.
            let memory = self.json("/api/v1/memory").await;
            full |= !matches!(memory["pressure"].as_str(), Some("none" | "rings"));
        }
    }

    /// Asserts that the process has kept its budget of `limit` bytes in all that has happened since `before`, its
    /// resident memory then. What is under way when the budget is full may go over it.
    pub(crate) async fn assert_bounded(&self, what: &str, before: u64) {
        let limit = LIMIT;
        let (held, grown) = (self.held().await, self.peak() - before);
        let bound = limit * PRICE_PERCENT / 100 + SLACK;
        println!("{what}: {held} held, grown by {grown} at most, limit {limit}, bound {bound}");
        assert!(held <= limit + UNDER_WAY, "{held} of {limit}");
        assert!(grown <= bound, "{grown} of {bound}");
    }

    /// Asserts that at no time more than the budget was held.
    pub(crate) async fn assert_never_over(&self, what: &str) {
        let memory = self.json("/api/v1/memory").await;
        let figure = |name: &str| memory[name].as_u64().expect("a number");
        let (peak, limit) = (figure("peak_bytes"), figure("limit_bytes"));
        println!("{what}: {peak} held at most, limit {limit}");
        assert!(peak <= limit, "{what}: {peak} of {limit}: {memory}");
    }

    /// Returns its peak memory, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Returns its memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).expect("a process's status");
        let size = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = size.and_then(|text| text.trim().strip_suffix(" kB"));
        let kibibytes: u64 = kibibytes
            .and_then(|text| text.parse().ok())
            .expect("a size");
        kibibytes * 1024
    }

    /// Asks the admin API.
    pub(crate) async fn json(&self, path: &str) -> serde_json::Value {
        let (_, body) = get(self.admin, path).await;
        serde_json::from_str(&body).expect("JSON")
    }

    /// Returns what is held of the budget, in bytes.
    pub(crate) async fn held(&self) -> u64 {
        let memory = self.json("/api/v1/memory").await;
        memory["held_bytes"].as_u64().expect("a number")
    }

    /// Waits until so much is held as must be.
    pub(crate) async fn until_held(&self, right: impl Fn(u64) -> bool) {
        let seen = async {
            while !right(self.held().await) {
                crate::support::wire::look_again().await;
            }
        };
        if tokio::time::timeout(DEADLINE, seen).await.is_err() {
            panic!("{}", self.json("/api/v1/memory").await);
        }
    }

    /// Waits until a part holds as much as it must.
    pub(crate) async fn until_part(&self, part: &str, right: impl Fn(u64) -> bool) {
        let bytes = |memory: serde_json::Value| memory["parts"][part].as_u64().expect("a number");
        soon(async {
            while !right(bytes(self.json("/api/v1/memory").await)) {
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }

    /// Waits until the budget's pressure is as it must become.
    pub(crate) async fn until_pressure(&self, right: impl Fn(&str) -> bool) {
        let seen = async {
            loop {
                let memory = self.json("/api/v1/memory").await;
                if right(memory["pressure"].as_str().expect("a word")) {
                    return;
                }
                crate::support::wire::look_again().await;
            }
        };
        soon(seen).await;
    }

    /// Waits until a metric is as it must become.
    pub(crate) async fn until_metric(&self, name: &str, right: impl Fn(u64) -> bool) {
        soon(async {
            while !right(self.metric(name).await) {
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }

    /// Returns the value of a metric.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, body) = get(self.admin, "/metrics").await;
        metric(&body, name)
    }
}
