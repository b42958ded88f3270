//! TLS: what the library holds is not told, so it is estimated.

use std::io::Write as _;
use std::sync::Arc;

use game_gateway::codec::link::{self, Kind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::parts::echo;
use crate::stage::{MIB, PRICE_PERCENT, SMALL, Served};
use crate::support::authority::Authority;
use crate::support::frames::data;
use crate::support::wire::{Player, soon};

/// Clients that have begun a record.
const CLIENTS: u64 = 600;
/// Bytes of it, of 16 KiB.
const BEGUN: usize = 16_000;
/// Growth that is nobody's, in bytes.
const SLACK: u64 = 4 * MIB;

struct Stage {
    served: Served,
    client: Arc<ClientConfig>,
    /// The lines of the configuration.
    tls: String,
    _authority: Authority,
}

impl Stage {
    async fn start(settings: &str) -> Stage {
        let authority = Authority::new();
        let issued = authority.issue("players", "DNS:play.example.com");
        let tls = format!(
            "listen.tls.certificate = {:?}\nlisten.tls.key = {:?}\n",
            issued.certificate, issued.key
        );
        let served = Served::start(&format!("{tls}{settings}")).await;
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(authority.ca()).expect("a certificate");
        roots.add(ca).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions");
        Stage {
            served,
            client: Arc::new(builder.with_root_certificates(roots).with_no_client_auth()),
            tls,
            _authority: authority,
        }
    }

    /// Connects; a PING is answered. Returns both halves.
    async fn connect(&self, receives: u32) -> (TcpStream, ClientConnection) {
        let ping = crate::support::frames::frame(3, "", b"in");
        self.connect_saying(receives, &ping, ping.len()).await
    }

    /// Connects, says this, and reads an answer of at least so many bytes.
    async fn connect_saying(
        &self,
        receives: u32,
        said: &[u8],
        answer: usize,
    ) -> (TcpStream, ClientConnection) {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        if receives > 0 {
            socket.set_recv_buffer_size(receives).expect("set");
        }
        let socket = soon(socket.connect(self.served.players)).await;
        let name = ServerName::try_from("play.example.com").expect("a name");
        let connector = TlsConnector::from(Arc::clone(&self.client));
        let socket = socket.expect("connected");
        let socket = soon(connector.connect(name, socket)).await;
        let mut socket = socket.expect("a handshake");
        socket.write_all(said).await.expect("sent");
        let mut answered = vec![0; answer];
        soon(socket.read_exact(&mut answered))
            .await
            .expect("an answer");
        socket.into_inner()
    }
}

/// The next record of `plain`.
fn record(tls: &mut ClientConnection, plain: &[u8]) -> Vec<u8> {
    tls.writer().write_all(plain).expect("taken");
    let mut record = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut record).expect("written");
    }
    record
}

#[tokio::test]
async fn a_record_that_has_begun_counts_by_what_has_come() {
    let stage = Stage::start("limits.memory = \"256MiB\"").await;
    let served = &stage.served;
    // The first ones warm up what stays.
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(stage.connect(0).await);
    }
    let (held_before, before) = (served.held().await, served.resident());
    for _ in 0..CLIENTS {
        let (mut socket, mut tls) = stage.connect(0).await;
        let begun = record(&mut tls, &[7; BEGUN + 300]);
        socket.write_all(&begun[..BEGUN]).await.expect("sent");
        clients.push((socket, tls));
    }
    // They are read in turn, and so before this one's PONG.
    drop(stage.connect(0).await);
    let grown = served.resident() - before;
    let held = served.held().await - held_before;
    println!("{CLIENTS} clients of TLS with a record begun: {held} held, grown by {grown}");
    assert!(held >= CLIENTS * BEGUN as u64, "{held} held");
    let bound = held * PRICE_PERCENT / 100 + SLACK;
    assert!(grown <= bound, "{grown} of {bound}");
}

#[tokio::test]
async fn a_record_that_has_begun_counts_wherever_the_connection_waits() {
    let stage = Stage::start("listen.sniff_timeout = \"10m\"").await;
    let request = b"GET /health HTTP/1.1\r\nHost: play.example.com\r\n\r\n";
    let (mut clients, mut least) = (Vec::new(), stage.served.held().await);
    // For its first byte, for the rest of a request, and for the next request.
    let waiting = [(&b""[..], 0), (&request[..20], 0), (&request[..], 100)];
    for (said, answer) in waiting {
        for _ in 0..20 {
            let (mut socket, mut tls) = stage.connect_saying(0, said, answer).await;
            let begun = record(&mut tls, &[7; BEGUN + 300]);
            socket.write_all(&begun[..BEGUN]).await.expect("sent");
            clients.push(socket);
        }
        least += 20 * BEGUN as u64;
        soon(async {
            while stage.served.held().await < least {
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }
}

/// A request of HTTP has begun with it, whatever else has not come.
#[tokio::test]
async fn a_part_of_a_record_between_requests_is_no_idle_connection() {
    let stage = Stage::start("listen.sniff_timeout = \"200ms\"").await;
    let request = b"GET /health HTTP/1.1\r\nHost: play.example.com\r\n\r\n";
    let (mut socket, mut tls) = stage.connect_saying(0, request, 100).await;
    let begun = record(&mut tls, &[7; 300]);
    socket.write_all(&begun[..200]).await.expect("sent");
    // An idle connection is kept for longer than this waits.
    soon(socket.read_to_end(&mut Vec::new()))
        .await
        .expect("an end");
}

/// They would keep newcomers out for as long as they stay.
#[tokio::test]
async fn parts_of_records_end_where_memory_is_short() {
    let settings = "limits.memory = \"8MiB\"\nlisten.sniff_timeout = \"1s\"";
    let stage = Stage::start(settings).await;
    let mut clients = Vec::new();
    // Where new sessions are refused: nobody who is idle ends for that.
    while stage.served.held().await < 8 * MIB * 88 / 100 {
        let (mut socket, mut tls) = stage.connect(0).await;
        let begun = record(&mut tls, &[7; BEGUN + 300]);
        socket.write_all(&begun[..BEGUN]).await.expect("sent");
        clients.push(socket);
    }
    let first = &mut clients[0];
    soon(first.read_to_end(&mut Vec::new()))
        .await
        .expect("an end");
}

#[tokio::test]
async fn clients_that_do_not_read_keep_the_budget() {
    let stage = Stage::start(SMALL).await;
    let served = &stage.served;
    let (mut link, mut healthy) = served.sessions(1).await;
    let mut players = Vec::new();
    for _ in 0..32 {
        let (mut socket, mut tls) = stage.connect(4096).await;
        let hello = record(&mut tls, &data("game", b"hello"));
        socket.write_all(&hello).await.expect("sent");
        let session_id = link.opened().await.session_id;
        link.data().await;
        players.push((socket, tls, session_id));
    }
    let before = served.resident();
    let mut round = Vec::new();
    for (_, _, session_id) in &players {
        link::encode(&mut round, Kind::Data, *session_id, &[7; 30_000]);
    }
    let ended = "game_gateway_memory_ended_queues_total";
    while served.metric(ended).await == 0 {
        link.raw(&round).await;
    }
    served.assert_bounded("slow clients of TLS", before).await;
    let (player, session_id) = &mut healthy[0];
    link.send(Kind::Data, *session_id, b"on").await;
    assert_eq!(&player.answer().await.payload[..], b"on");
}

/// Nothing can be taken back of what idle connections have: a bound below that must not silence who plays.
#[tokio::test]
async fn idle_connections_that_take_all_of_a_lowered_budget_stop_nobody() {
    // Nobody plays the backend before the player comes.
    let rest = "session.idle_timeout = \"1h\"\nbackend.probe_interval = \"0s\"";
    let settings = |limit| format!("limits.memory = \"{limit}\"\n{rest}");
    let stage = Stage::start(&settings("64MiB")).await;
    let served = &stage.served;
    let mut idle = Vec::new();
    while served.held().await <= 8 * MIB {
        for _ in 0..50 {
            idle.push(stage.connect(0).await);
        }
    }
    let mut good = Player::connect_to(served.players).await;
    good.data("game", b"first").await;
    tokio::spawn(echo(served.backend.link().await));
    good.answer().await;
    served.set(&format!("{}{}", stage.tls, settings("8MiB")));
    served.until_pressure(|pressure| pressure == "queues").await;
    for _ in 0..10 {
        good.data("game", b"on").await;
        good.answer().await;
    }
}
