//! TLS to backends, with Python's `ssl`, which is OpenSSL, on the other side.

use std::path::Path;
use std::process::Command;

use game_gateway::config::Config;

use crate::peers::tool;
use crate::scene::data;
use crate::support::authority::{Authority, Issued};
use crate::support::process::Process;
use crate::support::wire::{Backend, Gateway, Player, soon};
use crate::tls_scene::send;

/// A backend that answers every DATA with its payload, over TLS only. Its arguments are its
/// certificate, its key and, where clients must show a certificate, their authority.
const BACKEND: &str = r#"
import socket, ssl, struct, sys, threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
if len(sys.argv) > 3:
    context.load_verify_locations(sys.argv[3])
    context.verify_mode = ssl.CERT_REQUIRED

def exactly(link, n):
    read = b""
    while len(read) < n:
        more = link.recv(n - len(read))
        if not more:
            raise EOFError
        read += more
    return read

def serve(plain):
    try:
        with context.wrap_socket(plain, server_side=True) as link:
            while True:
                length, kind, session = struct.unpack(">IB3xQ", exactly(link, 16))
                payload = exactly(link, length)
                if kind in (0, 4):
                    kind = {0: 0, 4: 5}[kind]
                    link.sendall(struct.pack(">IB3xQ", length, kind, session) + payload)
    except (OSError, EOFError):
        pass

listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

struct TlsBackend {
    port: u16,
    _process: Process,
}

impl TlsBackend {
    fn start(issued: &Issued, client_ca: Option<&Path>) -> TlsBackend {
        let mut command = Command::new(tool("python"));
        command.args(["-c", BACKEND]);
        command.args([&issued.certificate, &issued.key]);
        command.args(client_ca);
        let process = Process::spawn(&mut command);
        let port = process.wait_for_line("port ");
        TlsBackend {
            port: port.parse().expect("a port"),
            _process: process,
        }
    }

    fn routes(&self, host: &str) -> String {
        let port = self.port;
        format!(
            r#"{{"rules":{{"game":{{"strategy":"round_robin","endpoints":["{host}:{port}"]}}}}}}"#
        )
    }
}

fn trusting(authority: &Authority) -> impl FnOnce(&mut Config) + use<> {
    let ca = authority.ca();
    |config| {
        config.backend.tls.enabled = true;
        config.backend.tls.ca = Some(ca);
    }
}

async fn plays(gateway: &Gateway) {
    let mut player = Player::connect(gateway).await;
    player.data("game", b"hello").await;
    assert_eq!(&player.answer().await.payload[..], b"hello");
}

/// Asserts that the player is refused, and operators can read the reason.
async fn fails(gateway: &Gateway, reason: &str) {
    let mut player = Player::connect(gateway).await;
    player.data("game", b"hello").await;
    assert_eq!(player.error().await.0, 502);
    soon(async {
        loop {
            let (_, backends) = gateway.get("/api/v1/backends").await;
            if backends.contains(reason) {
                return;
            }
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

#[tokio::test]
async fn by_name_and_by_address() {
    let authority = Authority::new();
    for (host, names) in [
        ("localhost", "DNS:localhost"),
        ("127.0.0.1", "IP:127.0.0.1"),
    ] {
        let backend = TlsBackend::start(&authority.issue(host, names), None);
        let gateway = Gateway::start_with(&backend.routes(host), trusting(&authority)).await;
        plays(&gateway).await;
        let (_, backends) = gateway.get("/api/v1/backends").await;
        assert!(backends.contains("\"last_error\":null"), "{backends}");
    }
}

#[tokio::test]
async fn large_frames_both_ways() {
    let authority = Authority::new();
    let backend = TlsBackend::start(&authority.issue("one", "IP:127.0.0.1"), None);
    let gateway = Gateway::start_with(&backend.routes("127.0.0.1"), |config: &mut Config| {
        trusting(&authority)(config);
        config.listen.max_payload = 4 << 20;
        config.session.outbound_queue = 16 << 20;
    })
    .await;
    let payload: Vec<u8> = (0..4_u32 << 20).map(|n| (n % 251) as u8).collect();
    let mut player = Player::connect(&gateway).await;
    for _ in 0..3 {
        player.data("game", &payload).await;
    }
    for _ in 0..3 {
        assert!(player.answer().await.payload == payload, "another payload");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let backend = TlsBackend::start(&stranger.issue("one", "IP:127.0.0.1"), None);
    let routes = backend.routes("127.0.0.1");
    let gateway = Gateway::start_with(&routes, trusting(&authority)).await;
    fails(&gateway, "UnknownIssuer").await;
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    let authority = Authority::new();
    let backend = TlsBackend::start(&authority.issue("one", "DNS:other.example"), None);
    for host in ["localhost", "127.0.0.1"] {
        let gateway = Gateway::start_with(&backend.routes(host), trusting(&authority)).await;
        fails(&gateway, "not valid for name").await;
        fails(&gateway, host).await;
    }
}

#[tokio::test]
async fn a_certificate_of_the_gateways_own() {
    let (authority, gateways) = (Authority::new(), Authority::new());
    let issued = authority.issue("one", "IP:127.0.0.1");
    let backend = TlsBackend::start(&issued, Some(&gateways.ca()));
    let routes = backend.routes("127.0.0.1");
    let own = gateways.issue("gateway", "DNS:gateway");
    let gateway = Gateway::start_with(&routes, |config: &mut Config| {
        trusting(&authority)(config);
        config.backend.tls.certificate = Some(own.certificate.clone());
        config.backend.tls.key = Some(own.key.clone());
    })
    .await;
    plays(&gateway).await;

    let gateway = Gateway::start_with(&routes, trusting(&authority)).await;
    fails(&gateway, "CertificateRequired").await;
}

#[tokio::test]
async fn a_backend_that_does_not_speak_tls() {
    let authority = Authority::new();
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), trusting(&authority)).await;
    let serving = tokio::spawn(async move {
        loop {
            let mut socket = backend.accept().await;
            send(&mut socket, &data("game", b"no TLS")).await;
        }
    });
    fails(&gateway, "InvalidContentType").await;
    serving.abort();
}

#[tokio::test]
async fn a_backend_that_only_listens() {
    let authority = Authority::new();
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config: &mut Config| {
        trusting(&authority)(config);
        config.backend.connect_timeout = std::time::Duration::from_millis(200);
    })
    .await;
    let player = tokio::spawn(async move {
        fails(&gateway, "connect_timeout").await;
    });
    let _silent = backend.accept().await;
    soon(player).await.expect("no panic");
}
