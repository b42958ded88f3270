//! How a connection begins that does not begin with a frame (protocol 1.6): PROXY, then TLS, then
//! HTTP, which may become a WebSocket, or raw frames. Everything here is off the way of a frame: it
//! runs once a connection, or once an HTTP request.

mod boundary;
mod http;
mod one_shot;
mod replay;
mod request;
mod response;
mod upgrade;
pub mod websocket;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::codec::Decoded;
use crate::codec::code::Code;
use crate::codec::proxy::{self, Proxied};
use crate::codec::sniff::{Sniffed, sniff};
use crate::config::Config;
use crate::net::socket::Socket;
use crate::net::tls::{self, Tls};

pub use replay::Replay;

/// Bytes that one read while sniffing takes.
const READ_BYTES: usize = 1024;

/// What an entry needs of the gateway that it leads into.
pub trait Reception {
    /// Bytes were read.
    fn read(&self, bytes: usize);
    /// A balancer has said whose connection it is.
    fn proxied(&self, peer: SocketAddr);
    /// What follows is inside TLS.
    fn encrypted(&self);
    /// The first bytes are HTTP: from now on the entry keeps its own deadlines.
    fn serving_http(&self);
    /// Whether no session may start, and why.
    fn refusal(&self) -> Option<Refusal>;
    /// Starts a session whose frames come from `socket`.
    fn begin_session(&self, socket: DuplexStream);
    /// An HTTP request was answered with this status.
    fn answered(&self, status: u16);
}

/// Why no session may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code of protocol 1.4.
    pub code: Code,
    /// When it may be tried again, in milliseconds; 0: no advice.
    pub retry_after_ms: u32,
    /// For people.
    pub text: String,
}

/// What a connection that enters is held to.
#[derive(Clone)]
pub struct Terms {
    /// The effective configuration.
    pub config: Arc<Config>,
    /// The address that the connection comes from.
    pub peer: SocketAddr,
    /// What is left of `listen.sniff_timeout`. Whoever polls the entry keeps it, but over HTTP.
    pub patience: Duration,
    /// What TLS goes by.
    pub tls: Arc<Tls>,
    /// The gateway behind.
    pub reception: Rc<dyn Reception>,
    /// Told when the connection is to end as soon as what is under way is answered.
    pub leaving: Rc<Notify>,
}

/// How an entry ends well.
#[derive(Debug)]
pub enum Entered {
    /// With raw frames on this socket, of which this was read.
    Frames(Socket, BytesMut),
    /// With a WebSocket.
    WebSocket(Socket),
    /// All requests are answered; the connection is over.
    Served,
}

/// Why a connection does not enter. Nothing is sent, but for the alert of a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The first bytes are of no transport that is spoken here.
    Unrecognised,
    /// A PROXY header where none belongs: from a stranger, or a second one.
    ProxyUnexpected,
    /// No PROXY header from a network that must send one.
    ProxyMissing,
    /// A PROXY header with mistakes.
    ProxyMalformed,
    /// The TLS handshake failed.
    TlsFailed,
    /// Too many TLS handshakes are under way.
    TlsBusy,
    /// No TLS where it is required.
    TlsMissing,
    /// The connection just ended.
    Disconnected,
    /// The connection failed.
    Failed,
}

/// Whether connections from this address begin with a PROXY header.
pub fn owes_proxy(config: &Config, peer: SocketAddr) -> bool {
    let networks = &config.listen.proxy_protocol_from;
    !networks.is_empty() && networks.contains(peer.ip())
}

/// Leads a connection in, of which `read` was read already.
///
/// # Errors
/// It is to be closed with nothing sent.
pub async fn enter(
    mut socket: Socket,
    mut read: BytesMut,
    mut terms: Terms,
) -> Result<Entered, Refused> {
    let begun = Instant::now();
    if owes_proxy(&terms.config, terms.peer) {
        take_proxy(&mut socket, &mut read, &terms).await?;
    }
    loop {
        return match sniff(&read) {
            Sniffed::More => {
                read_more(&mut socket, &mut read, &terms).await?;
                continue;
            }
            Sniffed::Tls => {
                socket = take_tls(socket, read, &terms).await?;
                read = BytesMut::new();
                continue;
            }
            Sniffed::Frames | Sniffed::Http if owes_tls(&socket, &terms) => {
                Err(Refused::TlsMissing)
            }
            Sniffed::Frames => Ok(Entered::Frames(socket, read)),
            Sniffed::Http => {
                terms.patience = terms.patience.saturating_sub(begun.elapsed());
                Ok(http::serve(socket, read, terms).await)
            }
            Sniffed::Proxy => Err(Refused::ProxyUnexpected),
            Sniffed::Unknown => Err(Refused::Unrecognised),
        };
    }
}

fn owes_tls(socket: &Socket, terms: &Terms) -> bool {
    terms.config.listen.tls.required && matches!(socket, Socket::Tcp(_))
}

/// Shakes hands; what follows is what the client says inside.
async fn take_tls(socket: Socket, read: BytesMut, terms: &Terms) -> Result<Socket, Refused> {
    let (Socket::Tcp(socket), Some(config)) = (socket, terms.tls.server()) else {
        // Nobody is here who could speak it, or it would be TLS inside TLS.
        return Err(Refused::Unrecognised);
    };
    let handshake = terms.tls.begin_handshake().ok_or(Refused::TlsBusy)?;
    let shaken = tls::accept(config, socket, read).await;
    drop(handshake);
    match shaken {
        Ok(socket) => {
            terms.reception.encrypted();
            Ok(Socket::Tls(Box::new(socket)))
        }
        Err(failed) => {
            tracing::debug!(peer = %terms.peer, error = %failed.error, "TLS handshake failed");
            failed.part().await;
            Err(Refused::TlsFailed)
        }
    }
}

/// Takes the PROXY header, which must be there.
async fn take_proxy(
    socket: &mut Socket,
    read: &mut BytesMut,
    terms: &Terms,
) -> Result<(), Refused> {
    loop {
        match sniff(read) {
            Sniffed::More => read_more(socket, read, terms).await?,
            Sniffed::Proxy => break,
            Sniffed::Frames | Sniffed::Tls | Sniffed::Http | Sniffed::Unknown => {
                return Err(Refused::ProxyMissing);
            }
        }
    }
    loop {
        match proxy::decode(read).map_err(|_| Refused::ProxyMalformed)? {
            Decoded::Frame(proxied, used) => {
                read.advance(used);
                if let Proxied::For(peer) = proxied {
                    terms.reception.proxied(peer);
                }
                return Ok(());
            }
            Decoded::Need(_) => read_more(socket, read, terms).await?,
        }
    }
}

async fn read_more(socket: &mut Socket, read: &mut BytesMut, terms: &Terms) -> Result<(), Refused> {
    read.reserve(READ_BYTES);
    match socket.read_buf(read).await {
        Ok(0) => Err(Refused::Disconnected),
        Ok(n) => {
            terms.reception.read(n);
            Ok(())
        }
        Err(_) => Err(Refused::Failed),
    }
}
