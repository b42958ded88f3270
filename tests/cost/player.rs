//! Players over each transport, whose frames an echo answers.

use game_gateway::codec::client::HEADER_LEN;
use game_gateway::codec::link::{self, Kind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::counted::Counted;
use crate::support::frames::data;
use crate::support::wire::{Backend, Link, soon};

const SERVICE: &str = "game";
/// Payload of a frame, in bytes.
const PAYLOAD: usize = 64;

/// Transport of a player.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transport {
    pub(crate) name: &'static str,
    /// Its place in the table of bounds.
    pub(crate) column: usize,
    /// A frame in a WebSocket message; else raw.
    messages: bool,
    tls: bool,
}

pub(crate) const TCP: Transport = Transport {
    name: "tcp",
    column: 0,
    messages: false,
    tls: false,
};
pub(crate) const WEBSOCKET: Transport = Transport {
    name: "websocket",
    column: 1,
    messages: true,
    tls: false,
};
pub(crate) const TLS: Transport = Transport {
    name: "tls",
    column: 2,
    messages: false,
    tls: true,
};
pub(crate) const WEBSOCKET_TLS: Transport = Transport {
    name: "websocket in tls",
    column: 3,
    messages: true,
    tls: true,
};

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

pub(crate) struct Player {
    stream: Box<dyn Stream>,
    frame: Vec<u8>,
    answer_bytes: usize,
}

impl Player {
    /// Joins as the first one, which brings the link.
    pub(crate) async fn first(
        transport: Transport,
        gateway: &Counted,
        backend: &Backend,
    ) -> (Player, Link) {
        let mut player = Player::connect(transport, gateway).await;
        player.send(1).await;
        let mut link = backend.link().await;
        player.begin(&mut link).await;
        (player, link)
    }

    /// Connects, and begins a session with one round trip.
    pub(crate) async fn join(transport: Transport, gateway: &Counted, link: &mut Link) -> Player {
        let mut player = Player::connect(transport, gateway).await;
        player.send(1).await;
        player.begin(link).await;
        player
    }

    async fn begin(&mut self, link: &mut Link) {
        link.opened().await;
        self.answered(1, link).await;
    }

    async fn connect(transport: Transport, gateway: &Counted) -> Player {
        let socket = soon(TcpStream::connect(gateway.players))
            .await
            .expect("connected");
        socket.set_nodelay(true).expect("set");
        let mut stream: Box<dyn Stream> = match transport.tls {
            false => Box::new(socket),
            true => {
                let name = ServerName::try_from("127.0.0.1").expect("a name");
                let connector = TlsConnector::from(trusting(gateway));
                Box::new(
                    soon(connector.connect(name, socket))
                        .await
                        .expect("a handshake"),
                )
            }
        };
        let mut frame = data(SERVICE, &[7; PAYLOAD]);
        let mut answer_bytes = HEADER_LEN + SERVICE.len() + PAYLOAD;
        if transport.messages {
            upgrade(&mut stream).await;
            // One masked with zeros goes, one without a mask comes; of less than 126 bytes both.
            frame.splice(0..0, [0x82, 0x80 | frame.len() as u8, 0, 0, 0, 0]);
            answer_bytes += 2;
        }
        Player {
            stream,
            frame,
            answer_bytes,
        }
    }

    /// Sends so many frames at once, all of which the backend has before it answers, at once too.
    pub(crate) async fn round_trip(&mut self, frames: usize, link: &mut Link) {
        self.send(frames).await;
        self.answered(frames, link).await;
    }

    async fn send(&mut self, frames: usize) {
        let bytes = self.frame.repeat(frames);
        soon(self.stream.write_all(&bytes)).await.expect("sent");
        soon(self.stream.flush()).await.expect("sent");
    }

    async fn answered(&mut self, frames: usize, link: &mut Link) {
        let mut answers = Vec::new();
        for _ in 0..frames {
            let frame = link.data().await;
            link::encode(&mut answers, Kind::Data, frame.session_id, &frame.payload);
        }
        link.raw(&answers).await;
        let mut bytes = vec![0; self.answer_bytes * frames];
        soon(self.stream.read_exact(&mut bytes))
            .await
            .expect("answers");
        assert!(bytes.ends_with(&[7; PAYLOAD]), "{bytes:?}");
    }
}

fn trusting(gateway: &Counted) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(gateway.authority.ca()).expect("a certificate");
    roots.add(certificate).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

async fn upgrade(stream: &mut Box<dyn Stream>) {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.flush().await.expect("sent");
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        response.push(soon(stream.read_u8()).await.expect("a response"));
    }
    assert!(response.starts_with(b"HTTP/1.1 101 "), "{response:?}");
}
