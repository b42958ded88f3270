//! The gateway's reports about its own pod to an API server: TLS, a token, a patch.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use support::authority::{Authority, Issued};
use support::process::Process;
use support::wire::{Backend, Player};

/// Longer than the gateway's interval; only a failing test ever waits so long.
const SILENCE: Duration = Duration::from_secs(60);

/// An API server that takes one request a connection.
struct Server {
    port: u16,
    connections: Receiver<TcpStream>,
    config: Arc<ServerConfig>,
}

/// A request as it was received.
#[derive(Debug)]
struct Asked {
    line: String,
    authorization: String,
    content_type: String,
    body: serde_json::Value,
}

impl Server {
    fn start(issued: &Issued) -> Server {
        let chain = CertificateDer::pem_file_iter(&issued.certificate).expect("a file");
        let key = PrivateKeyDer::from_pem_file(&issued.key).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain.collect::<Result<_, _>>().expect("certificates"), key)
            .expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, connections) = channel();
        std::thread::spawn(move || {
            // Until nobody asks any more.
            while listener
                .accept()
                .is_ok_and(|(socket, _)| sender.send(socket).is_ok())
            {}
        });
        Server {
            port,
            connections,
            config: Arc::new(config),
        }
    }

    /// Reads the next request, which is answered with this status.
    fn asked(&self, status: &str) -> Asked {
        let socket = self.connections.recv_timeout(SILENCE);
        let socket = socket.expect("a connection");
        socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
        let tls = ServerConnection::new(Arc::clone(&self.config)).expect("TLS");
        let mut stream: BufReader<StreamOwned<ServerConnection, TcpStream>> =
            BufReader::new(StreamOwned::new(tls, socket));
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).expect("a line");
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            let of = |line: &String| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_owned())
            };
            head.iter().find_map(of).unwrap_or_default()
        };
        let mut body = vec![0; header("content-length").parse().expect("a length")];
        stream.read_exact(&mut body).expect("a body");
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
        let socket = stream.get_mut();
        socket.write_all(answer.as_bytes()).expect("answered");
        socket.conn.send_close_notify();
        let _ = socket.flush();
        Asked {
            line: head[0].clone(),
            authorization: header("authorization"),
            content_type: header("content-type"),
            body: serde_json::from_slice(&body).expect("JSON"),
        }
    }
}

impl Asked {
    fn cost(&self) -> &str {
        let annotations = &self.body["metadata"]["annotations"];
        let cost = &annotations["controller.kubernetes.io/pod-deletion-cost"];
        cost.as_str().expect("a text, as annotations are")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_annotation_follows_the_sessions() {
    let authority = Authority::new();
    let server = Server::start(&authority.issue("api", "IP:127.0.0.1"));
    let backend = Backend::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    std::fs::copy(authority.ca(), path("ca.crt")).expect("copied");
    std::fs::write(path("token"), "one\n").expect("written");
    std::fs::write(path("routes.json"), backend.routes()).expect("written");
    let text = format!(
        "gateway.workers = 1\nbackend.probe_interval = \"0\"\nlisten.address = \"127.0.0.1:0\"\n\
         admin.address = \"127.0.0.1:0\"\n\
         routes.file = {:?}\n\
         kubernetes = {{ pod_deletion_cost = true, service_account = {:?} }}\n",
        path("routes.json"),
        directory.path()
    );
    std::fs::write(path("gateway.toml"), text).expect("written");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    serve
        .args(["serve", "--config"])
        .arg(path("gateway.toml"))
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", server.port.to_string())
        .env("POD_NAMESPACE", "games")
        .env("POD_NAME", "gg-0");
    let gateway = Process::spawn(&mut serve);
    let ready = gateway.wait_for_line("game-gateway ready: players on ");
    let (players, admin) = ready.split_once(", admin on ").expect("both addresses");
    let players: SocketAddr = players.parse().expect("an address");
    let admin: SocketAddr = admin.parse().expect("an address");

    // The first is refused, and told again.
    let refused = server.asked("403 Forbidden");
    assert_eq!(
        refused.line,
        "PATCH /api/v1/namespaces/games/pods/gg-0 HTTP/1.1"
    );
    assert_eq!(refused.content_type, "application/merge-patch+json");
    assert_eq!(
        (&*refused.authorization, refused.cost()),
        ("Bearer one", "0")
    );
    // Tokens rotate.
    std::fs::write(path("token"), "two\n").expect("written");
    let again = server.asked("200 OK");
    assert_eq!((&*again.authorization, again.cost()), ("Bearer two", "0"));

    let mut there = Vec::new();
    for _ in 0..12 {
        let mut player = Player::connect_to(players).await;
        player.data("game", b"hello").await;
        there.push(player);
    }
    let mut link = backend.link().await;
    for _ in 0..24 {
        link.next().await.expect("OPEN or DATA");
    }
    assert_eq!(server.asked("200 OK").cost(), "12");
    drop(there);
    assert_eq!(server.asked("200 OK").cost(), "0");
    let (_, metrics) = support::wire::get(admin, "/metrics").await;
    let failures = "game_gateway_pod_deletion_cost_failures_total 1\n";
    assert!(metrics.contains(failures), "{metrics}");
    assert!(
        gateway.output().contains("Kubernetes cannot be told"),
        "{}",
        gateway.output()
    );
}

#[test]
fn outside_a_pod_it_is_a_mistake() {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    serve
        .arg("serve")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env("GATEWAY__KUBERNETES__POD_DELETION_COST", "true")
        .env("GATEWAY__LISTEN__ADDRESS", "127.0.0.1:0")
        .env("GATEWAY__ADMIN__ADDRESS", "127.0.0.1:0");
    let mut gateway = Process::spawn(&mut serve);
    assert_eq!(gateway.wait_for_exit().code(), Some(1));
    let said = "environment variable KUBERNETES_SERVICE_HOST not set";
    assert!(gateway.output().contains(said), "{}", gateway.output());
}
