//! Many connections to the admin API, and clients that do not read: probes are answered, in bounded memory.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Barrier};

use game_gateway::config::{Config, Secret};
use game_gateway::supervision::Fault;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::http::{get, send};
use crate::support::http::Response;
use crate::support::process::Process;
use crate::support::wire::{Backend, Gateway, soon};

/// More than the admin API has at a time.
const CROWD: usize = 300;
const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
const CLOSED: &str = "game_gateway_closed_admin_connections_total";

async fn gateway(change: impl FnOnce(&mut Config)) -> Gateway {
    let backend = Backend::start().await;
    Gateway::start_with(&backend.routes(), change).await
}

/// Opens more connections than there may be, each with these bytes.
async fn crowd(at: SocketAddr, bytes: &[u8]) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..CROWD {
        let mut socket = soon(TcpStream::connect(at)).await.expect("the admin port");
        soon(socket.write_all(bytes)).await.expect("sent");
        all.push(socket);
    }
    all
}

async fn is_answered(socket: &mut TcpStream) {
    soon(socket.write_all(HEALTH)).await.expect("sent");
    assert_eq!(Response::read(socket).await.status, 200);
}

#[tokio::test]
async fn idle_connections_give_way_oldest_first() {
    let gateway = gateway(|_| ()).await;
    for begun in [
        &b""[..],
        b"GET /hea",
        b"POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let mut all = crowd(gateway.admin, begun).await;
        assert_eq!(get(gateway.admin, "/health").await.status, 200);
        assert!(gateway.metric(CLOSED).await >= 1);
        // Those that came first are gone without a word, the last ones are there.
        let mut word = Vec::new();
        let read = soon(all[0].read_to_end(&mut word)).await;
        assert!(read.is_err() || word.is_empty(), "{word:?}");
        if begun.is_empty() {
            is_answered(all.last_mut().expect("one")).await;
        }
    }
    let drain = get(gateway.admin, "/api/v1/drain").await.json();
    assert_eq!(drain["state"], "serving");
}

/// Somebody who is alone at an address is not driven out by a crowd at another.
#[tokio::test]
async fn a_crowd_from_one_address_makes_room_itself() {
    let gateway = gateway(|config| {
        config.admin.token = Some(Secret::new("sesame".to_owned()));
    })
    .await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.2:0".parse().expect("an address"))
        .expect("bound");
    let mut alone = soon(socket.connect(gateway.admin))
        .await
        .expect("the admin port");
    is_answered(&mut alone).await;
    let _crowd = crowd(gateway.admin, b"").await;
    assert_eq!(get(gateway.admin, "/health").await.status, 200);
    is_answered(&mut alone).await;
}

/// Nor by one for whose requests the gateway works for long, and which goes on coming.
#[tokio::test]
async fn a_crowd_that_asks_much_makes_room_itself() {
    let gateway = gateway(|_| ()).await;
    // What asks the workers for an answer waits a second from now on.
    let barrier = Arc::new(Barrier::new(2));
    gateway
        .inspector()
        .inject("router-0", Fault::Stall(Arc::clone(&barrier)));
    let _crowd = crowd(gateway.admin, &HEALTH.repeat(20)).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.2:0".parse().expect("an address"))
        .expect("bound");
    let mut probe = soon(socket.connect(gateway.admin))
        .await
        .expect("the admin port");
    let _more = crowd(gateway.admin, b"").await;
    soon(probe.write_all(HEALTH)).await.expect("sent");
    let status = Response::read(&mut probe).await.status;
    assert!([200, 503].contains(&status), "{status}");
    tokio::task::spawn_blocking(move || barrier.wait())
        .await
        .expect("it goes on");
}

/// A gateway in a process of its own, whose memory can be looked at.
struct Served {
    process: Process,
    admin: SocketAddr,
    _directory: TempDir,
}

impl Served {
    fn start() -> Served {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("gateway.toml");
        let settings = "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
                        gateway.workers = 1\n";
        std::fs::write(&file, settings).expect("written");
        let mut program = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
        program.arg("serve").arg("--config").arg(&file);
        let process = Process::spawn(&mut program);
        let ready = process.wait_for_line("game-gateway ready: players on ");
        let (_, admin) = ready.split_once(", admin on ").expect("both addresses");
        Served {
            admin: admin.parse().expect("an address"),
            process,
            _directory: directory,
        }
    }

    /// Connects with small buffers, so that the kernel holds little.
    async fn narrow(&self) -> TcpStream {
        const BYTES: u32 = 16 * 1024;
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(BYTES).expect("set");
        socket.set_send_buffer_size(BYTES).expect("set");
        soon(socket.connect(self.admin)).await.expect("connected")
    }
}

#[tokio::test]
async fn pipelined_requests_without_a_reader_wait() {
    const FLOOD: usize = 3 * 1024 * 1024;
    const QUIET_ANSWERS: u32 = 100;
    const SLACK: u64 = 8 * 1024 * 1024;
    let gateway = Served::start();
    assert_eq!(get(gateway.admin, "/health").await.status, 200);
    for line in ["OPTIONS /health", "HEAD /metrics", "GET /api/v1/info"] {
        let one = format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
        let requests = one.repeat(FLOOD / one.len());
        let before = gateway.process.peak_memory();
        let socket = gateway.narrow().await;
        let (mut sent, mut quiet) = (0, 0);
        while quiet < QUIET_ANSWERS && sent < requests.len() {
            quiet += 1;
            // Zero where the socket is full for now.
            let taken = socket.try_write(&requests[sent..]).unwrap_or(0);
            sent += taken;
            if taken > 0 {
                quiet = 0;
            }
            assert_eq!(get(gateway.admin, "/health").await.status, 200);
        }
        let grown = gateway.process.peak_memory() - before;
        println!("{line}: {sent} bytes of requests, {grown} bytes of memory");
        assert!(sent < requests.len(), "{line} is not held back");
        assert!(grown <= SLACK, "{line}: {grown} bytes");
    }
}

/// The largest answers that there are, to readers that do not read.
#[tokio::test]
async fn answers_that_nobody_reads_are_bounded_together() {
    const BOUND: u64 = 24 * 1024 * 1024;
    let gateway = Served::start();
    let line = "GET /api/docs/swagger-ui-bundle.js";
    let length = get(gateway.admin, "/api/docs/swagger-ui-bundle.js")
        .await
        .body
        .len();
    let before = gateway.process.peak_memory();
    let mut all = Vec::new();
    for _ in 0..CROWD {
        let mut socket = gateway.narrow().await;
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        soon(socket.write_all(request.as_bytes()))
            .await
            .expect("sent");
        let mut byte = [0];
        soon(socket.read_exact(&mut byte)).await.expect("an answer");
        all.push(socket);
    }
    let grown = gateway.process.peak_memory() - before;
    println!("{CROWD} answers of {length} bytes: {grown} bytes of memory");
    assert!(grown <= BOUND, "{grown} bytes");
    assert_eq!(get(gateway.admin, "/health").await.status, 200);
    assert_eq!(
        send(gateway.admin, "POST /api/v1/drain", "[]").await.status,
        400
    );
}
