//! The cost of nearly idle connections, including those of slowhttptest, for a gateway in a process of
//! its own: bounded memory until they are cut off, without effect on others.

use std::net::SocketAddr;
use std::process::Command;

use game_gateway::codec::link;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::peers::run;
use crate::scene::{Browser, data, request, send};
use crate::support::process::Process;
use crate::support::wire::{Backend, Link, Player, get, soon};

/// Connections that one attack holds.
const CONNECTIONS: u64 = 200;
/// Bytes of the answer to an empty message.
const LARGE: usize = 128 * 1024;
/// Other growth of a gateway's memory, in bytes: its pools and the slack of its allocator.
const SLACK: u64 = 8 * 1024 * 1024;

/// A gateway as its users start it.
struct Served {
    process: Process,
    players: SocketAddr,
    admin: SocketAddr,
    _directory: TempDir,
}

impl Served {
    async fn start() -> Served {
        let backend = Backend::start().await;
        let directory = tempfile::tempdir().expect("a directory");
        let routes = directory.path().join("routes.json");
        std::fs::write(&routes, backend.routes()).expect("written");
        let file = directory.path().join("gateway.toml");
        let settings = format!(
            "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
             listen.sniff_timeout = \"1s\"\nlisten.http.timeout = \"1s\"\n\
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
        Served {
            players: players.parse().expect("an address"),
            admin: admin.parse().expect("an address"),
            process,
            _directory: directory,
        }
    }

    /// Waits until so many responses had this status.
    async fn responses(&self, status: u16, count: u64) {
        let name = format!("game_gateway_http_responses_total{{status=\"{status}\"}} ");
        let seen = async {
            loop {
                let (_, metrics) = get(self.admin, "/metrics").await;
                let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
                if line.is_some_and(|value| value.parse().is_ok_and(|n: u64| n >= count)) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        soon(seen).await;
    }

    /// Returns its peak memory, in bytes.
    fn peak(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).expect("a process's status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = peak.and_then(|text| text.trim().strip_suffix(" kB"));
        let kibibytes: u64 = kibibytes
            .and_then(|text| text.parse().ok())
            .expect("a size");
        kibibytes * 1024
    }

    /// Plays while something happens that may cost so many bytes a connection.
    async fn survives(&self, what: impl Future, bytes_each: u64) {
        let mut player = Player::connect_to(self.players).await;
        player.data("game", b"before").await;
        player.answer().await;
        let before = self.peak();
        let playing = async {
            loop {
                player.data("game", b"meanwhile").await;
                assert_eq!(&player.answer().await.payload[..], b"meanwhile");
            }
        };
        tokio::select! {
            _ = what => {}
            () = playing => {}
        }
        let grown = self.peak() - before;
        assert!(grown <= CONNECTIONS * bytes_each + SLACK, "{grown} bytes");
    }

    async fn attack(&self, path: &str, attack: &[&str]) {
        let connections = CONNECTIONS.to_string();
        let url = format!("http://{}{path}", self.players);
        let mut command = Command::new("slowhttptest");
        command.args([
            "-c",
            &connections,
            "-r",
            &connections,
            "-v",
            "1",
            "-u",
            &url,
        ]);
        run(command.args(attack)).await;
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

/// A WebSocket that once had a large message keeps no buffer as large.
#[tokio::test]
async fn large_messages_leave_no_large_buffers() {
    let gateway = Served::start().await;
    let mut idle = Vec::new();
    let talk = async {
        for _ in 0..CONNECTIONS {
            let socket = soon(TcpStream::connect(gateway.players)).await;
            let mut browser = Browser::over(socket.expect("connected")).await;
            browser.binary(data("game", &[7; 60_000])).await;
            assert_eq!(browser.answer().await.len(), 60_000);
            browser.binary(data("game", b"small")).await;
            assert_eq!(&browser.answer().await[..], b"small");
            idle.push(browser);
        }
    };
    gateway.survives(talk, 16 * 1024).await;
}

#[tokio::test]
async fn slow_heads_are_cut_off() {
    let gateway = Served::start().await;
    let attack = gateway.attack("/game", &["-H", "-i", "1", "-l", "20"]);
    gateway.survives(attack, 16 * 1024).await;
    gateway.responses(408, CONNECTIONS).await;
}

#[tokio::test]
async fn slow_bodies_are_cut_off() {
    let gateway = Served::start().await;
    let attack = gateway.attack("/game", &["-B", "-i", "1", "-l", "20", "-s", "60000"]);
    gateway.survives(attack, 64 * 1024).await;
    gateway.responses(408, CONNECTIONS).await;
}

/// A client that does not read its answers gets no more of them.
#[tokio::test]
async fn slow_readers_of_many_answers_wait() {
    let gateway = Served::start().await;
    let reading = [
        "-X", "-k", "10", "-l", "5", "-w", "512", "-y", "1024", "-n", "1",
    ];
    let attack = gateway.attack("/health", &reading);
    gateway.survives(attack, 64 * 1024).await;
    gateway.responses(200, CONNECTIONS).await;
}

/// A client that does not read one large answer costs at most twice its length.
#[tokio::test]
async fn large_answers_that_nobody_reads() {
    let gateway = Served::start().await;
    let mut silent = Vec::new();
    let attack = async {
        for _ in 0..CONNECTIONS {
            let mut socket = soon(TcpStream::connect(gateway.players))
                .await
                .expect("connected");
            send(
                &mut socket,
                &request("POST /game", "Content-Length: 0\r\n", b""),
            )
            .await;
            silent.push(socket);
        }
        gateway.responses(200, CONNECTIONS).await;
    };
    // Each step is waited for; how long all of them take is the machine's affair.
    gateway.survives(attack, 2 * LARGE as u64).await;
}
