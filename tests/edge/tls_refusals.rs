//! What a TLS handshake says to clients that cannot go on as they began: alerts by their numbers, and early
//! data that is skipped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, Stream};

use crate::scene::{answer, closed, data, echo};
use crate::support::authority::{Authority, Issued};
use crate::tls_scene::{Way, shows};

/// TLS 1.2 as a client writes it.
const TLS12: u16 = 0x0303;
const ECDHE_ECDSA_AES128_GCM: u16 = 0xC02B;
const RSA_AES128_CBC: u16 = 0x002F;
/// signature_algorithms with ecdsa_secp256r1_sha256, and supported_groups with secp256r1.
const EXTENSIONS: &[u8] = &[0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23];

/// Writes a ClientHello of that version.
fn hello(version: u16, suite: u16, extensions: &[u8]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.extend([0, 0, 2]);
    body.extend(suite.to_be_bytes());
    body.extend([1, 0]);
    if !extensions.is_empty() {
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
    }
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    let mut record = vec![0x16, 3, 1];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

#[tokio::test]
async fn an_alert_says_what_is_missing() {
    let authority = Authority::new();
    let own = authority.issue("gateway", "IP:127.0.0.1");
    let gateway = echo(shows(&[&own])).await;
    const HANDSHAKE_FAILURE: u8 = 40;
    const PROTOCOL_VERSION: u8 = 70;
    for (n, (wire, alert)) in [
        // Versions before 1.2 have no signature_algorithms to send.
        (hello(0x0302, RSA_AES128_CBC, &[]), PROTOCOL_VERSION),
        (hello(0x0301, RSA_AES128_CBC, &[]), PROTOCOL_VERSION),
        (hello(0x0302, RSA_AES128_CBC, EXTENSIONS), PROTOCOL_VERSION),
        (hello(TLS12, RSA_AES128_CBC, EXTENSIONS), HANDSHAKE_FAILURE),
        (hello(TLS12, ECDHE_ECDSA_AES128_GCM, &[]), HANDSHAKE_FAILURE),
    ]
    .into_iter()
    .enumerate()
    {
        let got = answer(&gateway, &wire).await;
        assert_eq!(got.len(), 7, "{wire:?}: {got:?}");
        assert_eq!(
            (got[0], &got[3..]),
            (0x15, &[0, 2, 2, alert][..]),
            "{wire:?}"
        );
        let count = n as u64 + 1;
        gateway.until(&closed("tls_failed"), |is| is == count).await;
    }
}

/// Answers one TLS connection as a server that takes early data, so that its client has a ticket for some.
fn give_a_ticket(own: &Issued) -> (SocketAddr, std::thread::JoinHandle<()>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::from_pem_file(&own.certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&own.key).expect("a key");
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a certificate of one's own");
    config.max_early_data_size = u32::MAX;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        let mut connection = ServerConnection::new(Arc::new(config)).expect("a connection");
        let mut stream = Stream::new(&mut connection, &mut socket);
        stream.write_all(b"!").expect("sent");
        stream.flush().expect("sent");
        // Until the client ends.
        let _ = stream.read(&mut [0]);
    });
    (address, server)
}

fn connection(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a connection")
}

/// Plays over TLS whose early data is refused; returns the answer to a frame behind it.
fn play_with_early_data(config: &Arc<ClientConfig>, gateway: SocketAddr, early: usize) -> Vec<u8> {
    let mut socket = TcpStream::connect(gateway).expect("the gateway");
    let mut connection = connection(config);
    let mut writer = connection.early_data().expect("a ticket for early data");
    let wrote = writer.write(&vec![b'x'; early]).expect("buffered");
    assert_eq!(wrote, early);
    // Hello and early data in one write, so that the gateway finds them together.
    let mut first = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut first).expect("written");
    }
    assert!(first.len() > early);
    socket.write_all(&first).expect("sent");
    let mut stream = Stream::new(&mut connection, &mut socket);
    stream
        .write_all(&data("game", b"hello"))
        .expect("a handshake");
    let mut frame = vec![0; 32 + "game".len() + b"hello".len()];
    let read = stream.read_exact(&mut frame);
    read.unwrap_or_else(|error| panic!("{early} bytes of early data: {error}"));
    assert!(!connection.is_early_data_accepted());
    frame
}

#[tokio::test]
async fn early_data_is_skipped() {
    let authority = Authority::new();
    let own = authority.issue("gateway", "IP:127.0.0.1");
    let gateway = echo(shows(&[&own])).await;
    for early in [1, 4_400, 5_000, 10_000, 16_384] {
        let mut config = Way::trusting(&authority).config();
        config.enable_early_data = true;
        let config = Arc::new(config);
        let (elsewhere, server) = give_a_ticket(&own);
        let players = gateway.players;
        let played = tokio::task::spawn_blocking(move || {
            let mut socket = TcpStream::connect(elsewhere).expect("the other server");
            let mut first = connection(&config);
            Stream::new(&mut first, &mut socket)
                .read_exact(&mut [0])
                .expect("a handshake");
            drop(socket);
            server.join().expect("no panic");
            play_with_early_data(&config, players, early)
        });
        let frame = played.await.expect("no panic");
        assert!(frame.ends_with(b"hello"), "{early}: {frame:?}");
    }
}
