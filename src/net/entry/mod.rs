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

use crate::codec::Decoded;
use crate::codec::code::Code;
use crate::codec::proxy::{self, Proxied};
use crate::codec::sniff::{Sniffed, sniff};
use crate::config::Config;
use crate::net::socket::Socket;

pub use replay::Replay;

/// Bytes that one read while sniffing takes.
const READ_BYTES: usize = 1024;

/// What an entry needs of the gateway that it leads into.
pub trait Reception {
    /// Bytes were read.
    fn read(&self, bytes: usize);
    /// A balancer has said whose connection it is.
    fn proxied(&self, peer: SocketAddr);
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

/// Why a connection does not enter. Nothing is sent.
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
    terms: Terms,
) -> Result<Entered, Refused> {
    if owes_proxy(&terms.config, terms.peer) {
        take_proxy(&mut socket, &mut read, &terms).await?;
    }
    loop {
        return match sniff(&read) {
            Sniffed::More => {
                read_more(&mut socket, &mut read, &terms).await?;
                continue;
            }
            Sniffed::Frames => Ok(Entered::Frames(socket, read)),
            Sniffed::Http => Ok(http::serve(socket, read, terms).await),
            Sniffed::Proxy => Err(Refused::ProxyUnexpected),
            Sniffed::Tls | Sniffed::Unknown => Err(Refused::Unrecognised),
        };
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
