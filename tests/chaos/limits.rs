//! Limits under load and while they change.

use std::sync::Arc;

use game_gateway::codec::client::Kind;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::stage::{Stage, connect_from, size, source};
use crate::support::authority::Authority;
use crate::support::frames::frame;
use crate::support::wire::soon;

/// Growth of memory that is no leak, in KiB.
const MEMORY_KIB: u64 = 16 * 1024;

/// The configuration of clients that trust this authority.
fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(authority.ca()).expect("a certificate");
    roots.add(ca).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_tls_clients_without_back_off_is_let_in_bit_by_bit() {
    let (clients, a_second) = (size(300, 5000), size(50, 10));
    let authority = Authority::new();
    let issued = authority.issue("players", "DNS:play.example.com");
    let stage = Stage::start(&format!(
        "listen.tls.certificate = {:?}\nlisten.tls.key = {:?}\n\
         listen.tls.max_handshakes_per_second = {a_second}",
        issued.certificate, issued.key
    ))
    .await;
    let (before_kib, players) = (stage.memory_kib(), stage.players);
    let connector = TlsConnector::from(trusting(&authority));
    let ping = frame(Kind::Ping as u8, "", b"in");
    let mut storm = JoinSet::new();
    for n in 0..clients {
        let (connector, ping) = (connector.clone(), ping.clone());
        storm.spawn(async move {
            let mut attempts = 0_u64;
            loop {
                attempts += 1;
                let Ok(socket) = connect_from(source(n), players).await else {
                    continue;
                };
                let name = ServerName::try_from("play.example.com").expect("a name");
                let Ok(mut socket) = connector.connect(name, socket).await else {
                    continue;
                };
                // A handshake that has taken too long is over for the client alone.
                let mut pong = vec![0; ping.len()];
                if socket.write_all(&ping).await.is_err()
                    || soon(socket.read_exact(&mut pong)).await.is_err()
                {
                    continue;
                }
                return (attempts, socket);
            }
        });
    }
    // Everybody gets in, and stays.
    let (mut attempts, mut inside) = (0, Vec::new());
    while let Some(client) = storm.join_next().await {
        let (tried, socket) = client.expect("let in");
        attempts += tried;
        inside.push(socket);
    }
    let refused = "game_gateway_closed_connections_total{reason=\"tls_busy\"}";
    let refused = stage.metric(refused).await;
    println!(
        "{clients} TLS clients let in, {a_second} handshakes a second, after {attempts} attempts, {refused} refused"
    );
    assert!(refused > 0, "the limit was never reached");
    drop(inside);
    stage
        .unharmed("a storm of TLS clients", MEMORY_KIB, before_kib)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_change_while_everybody_plays() {
    let stage = Stage::start("").await;
    let before_kib = stage.memory_kib();
    let ping = frame(Kind::Ping as u8, "", b"in");
    let is_served = async |n| {
        let mut socket = connect_from(source(n), stage.players)
            .await
            .expect("connected");
        // It may be closed before.
        let _ = socket.write_all(&ping).await;
        matches!(soon(socket.read(&mut [0; 64])).await, Ok(1..))
    };
    assert!(is_served(1).await);
    // The file alone is enough, and so is a signal.
    stage.reconfigure(&format!("limits.deny = [\"{}\"]", source(1)));
    soon(async {
        while is_served(1).await {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    assert!(is_served(2).await);
    // A mistake changes nothing.
    stage.reconfigure("limits.deny = [\"nowhere\"]");
    stage.process.signal("HUP");
    stage.says("the configuration has mistakes").await;
    assert!(!is_served(1).await && is_served(2).await);
    stage.reconfigure("listen.max_connections = 7\nsession.max_services = 3");
    stage.says("changed configuration needs a restart").await;
    stage
        .until("game_gateway_connections_limit", |n| n == 7)
        .await;
    assert!(is_served(1).await);
    stage.reconfigure("");
    stage
        .until("game_gateway_connections_limit", |n| n > 7)
        .await;
    stage
        .unharmed("limits that change", MEMORY_KIB, before_kib)
        .await;
}
