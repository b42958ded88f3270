//! Names of backends, with a DNS server of the test that is silent for one zone.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Instant;

use crate::support::health::Health;
use crate::support::process::Process;
use crate::support::wire::{Backend, Gateway, Player, soon};

/// Where the DNS server listens: the C library knows no other port.
const SERVER: &str = "127.53.0.1:53";
/// The zone that gets no answer.
const SILENT: &[u8] = b"\x06silent\x04test\x00";
/// How many names there are in it.
const SILENT_NAMES: usize = 200;
/// No look-up of the silent zone ends within the test.
const OPTIONS: &str = "timeout:30 attempts:5";

/// A server that says that every name has the address 127.0.0.`last`, but for those of the silent zone.
struct Dns {
    last: AtomicU8,
    /// Questions that got no answer.
    unanswered: AtomicUsize,
}

impl Dns {
    /// Starts it; none where the system does not let this user have the port.
    fn start() -> Option<Arc<Dns>> {
        let socket = match UdpSocket::bind(SERVER) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
            Err(error) => panic!("{SERVER}: {error}"),
        };
        let dns = Arc::new(Dns {
            last: AtomicU8::new(2),
            unanswered: AtomicUsize::new(0),
        });
        let own = Arc::clone(&dns);
        // It ends with the process.
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                match own.answer(&question[..length]) {
                    Some(answer) => {
                        socket.send_to(&answer, from).expect("sent");
                    }
                    None => {
                        own.unanswered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        Some(dns)
    }

    /// Answers one question of class IN (RFC 1035 section 4).
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let name = &question[12..];
        let name = &name[..=name.iter().position(|byte| *byte == 0)?];
        if name.ends_with(SILENT) {
            return None;
        }
        let asked = 12 + name.len() + 4;
        let is_a = question[asked - 3] == 1;
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
        answer.extend(&question[12..asked]);
        if is_a {
            let last = self.last.load(Ordering::Relaxed);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, last]);
        }
        Some(answer)
    }
}

/// Starts a gateway that asks this server, and no other, for names.
fn gateway(directory: &std::path::Path) -> (Process, SocketAddr, SocketAddr) {
    let resolv = directory.join("resolv.conf");
    let server = SERVER.split(':').next().expect("an address");
    let text = format!("nameserver {server}\noptions {OPTIONS}\n");
    fs::write(&resolv, text).expect("written");
    let script = r#"mount --bind "$0" /etc/resolv.conf && exec "$@""#;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(&resolv)
        .args([env!("CARGO_BIN_EXE_game-gateway"), "serve"])
        .env("GATEWAY__LISTEN__ADDRESS", "127.0.0.1:0")
        .env("GATEWAY__ADMIN__ADDRESS", "127.0.0.1:0")
        .env("GATEWAY__BACKEND__RESOLVE_INTERVAL", "1s")
        .env("GATEWAY__ROUTES__FILE", directory.join("routes.json"));
    let process = Process::spawn(&mut command);
    let line = process.wait_for_line("game-gateway ready: players on ");
    let (players, admin) = line.split_once(", admin on ").expect("both");
    let address = |text: &str| text.trim().parse().expect("an address");
    let (players, admin) = (address(players), address(admin));
    (process, players, admin)
}

/// Answers every session with the last number of its own address.
fn number_at(backend: Backend) {
    let number = backend.address.ip().to_string();
    tokio::spawn(async move {
        loop {
            let mut link = backend.link().await;
            let number = number.clone();
            tokio::spawn(async move {
                while let Some(frame) = link.next().await {
                    if frame.kind == game_gateway::codec::link::Kind::Data as u8 {
                        let kind = game_gateway::codec::link::Kind::Data;
                        link.send(kind, frame.session_id, number.as_bytes()).await;
                    }
                }
            });
        }
    });
}

async fn visit(players: SocketAddr, service: &str) -> String {
    let mut player = Player::connect_to(players).await;
    player.data(service, b"where?").await;
    let frame = player.next().await.expect("a frame");
    String::from_utf8_lossy(&frame.payload).into_owned()
}

async fn until_at(players: SocketAddr, service: &str, last: u8) {
    let wanted = IpAddr::from(Ipv4Addr::new(127, 0, 0, last)).to_string();
    soon(async {
        while visit(players, service).await != wanted {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_zone_delays_nobody_else() {
    let Some(dns) = Dns::start() else {
        println!("skipped: port 53 is for root only");
        return;
    };
    let here = Backend::start_on("127.0.0.2:0").await;
    let port = here.address.port();
    let there = Backend::start_on(&format!("127.0.0.3:{port}")).await;
    number_at(here);
    number_at(there);
    let directory = tempfile::tempdir().expect("a directory");
    let rule = |service: String, name: String| {
        format!(r#""{service}":{{"strategy":"round_robin","endpoints":["{name}:{port}"]}}"#)
    };
    // Names are asked for in their order, and these come first.
    let silent = (0..SILENT_NAMES).map(|n| rule(format!("a{n}"), format!("a{n}.silent.test")));
    let good = (0..10).map(|n| rule(format!("g{n}"), format!("g{n}.good.test")));
    let rules: Vec<String> = silent.chain(good).collect();
    let routes = |more: &str| format!(r#"{{"rules":{{{}{more}}}}}"#, rules.join(","));
    let file = directory.path().join("routes.json");
    fs::write(&file, routes("")).expect("written");
    let begin = Instant::now();
    let (mut process, players, admin) = gateway(directory.path());
    println!("ready after {:?}", begin.elapsed());
    let health = Health::watch(admin);
    for last in [2, 3, 2, 3] {
        dns.last.store(last, Ordering::Relaxed);
        let begin = Instant::now();
        for service in 0..10 {
            until_at(players, &format!("g{service}"), last).await;
        }
        println!(
            "ten names have another address: in force after {:?}",
            begin.elapsed()
        );
    }
    // So does a change of the rules that brings a good and a silent name.
    let more = [
        rule("new".to_owned(), "new.good.test".to_owned()),
        rule("mute".to_owned(), "new.silent.test".to_owned()),
    ];
    fs::write(&file, routes(&format!(",{}", more.join(",")))).expect("written");
    until_at(players, "new", 3).await;
    // All of them hang still, and the process ends all the same.
    assert!(dns.unanswered.load(Ordering::Relaxed) >= SILENT_NAMES);
    let (answers, longest) = health.end().await;
    println!("{answers} answers of /health, all 200, the slowest after {longest:?}");
    process.signal("TERM");
    process.wait_for_exit();
}

/// Alerts go by this figure.
#[tokio::test]
async fn a_name_that_does_not_resolve_counts_as_down() {
    let routes =
        r#"{"rules":{"game":{"strategy":"round_robin","endpoints":["nowhere.invalid:2"]}}}"#;
    let gateway = Gateway::start(routes).await;
    let down = "game_gateway_endpoints_down";
    gateway.until(down, |endpoints| endpoints == 1).await;
    gateway.set_routes(r#"{"rules":{}}"#);
    gateway.until(down, |endpoints| endpoints == 0).await;
}
