//! The entry: leads in a connection whose first bytes are not a frame (protocol 1.6). The order of
//! nesting is PROXY, then TLS, then HTTP, which may become a WebSocket, or raw frames. It runs once a
//! connection or HTTP request, never for a frame.

mod proxy;
mod tls;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::Poll;

use bytes::BytesMut;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use crate::codec::sniff::{Sniffed, sniff};
use crate::memory::{self, Held, Part};
use crate::net::entry_host::EntryParams;
use crate::net::http;
use crate::net::socket::Socket;

pub use proxy::is_due as owes_proxy;

/// Bytes that one read takes before the transport is known.
const READ_BYTES: usize = 1024;

/// The outcome of a successful entry.
#[derive(Debug)]
pub enum Entered {
    /// Raw frames on this socket, of which these bytes were read already.
    Frames(Socket, BytesMut),
    /// A WebSocket behind its handshake.
    WebSocket(Socket),
    /// All HTTP requests are answered; the connection is over.
    Served,
}

/// The reason that a connection is closed. Nothing is sent, except for the alert of a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The first bytes are of no known transport.
    Unrecognised,
    /// A PROXY header from outside `listen.proxy_protocol_from`, or a second one.
    ProxyUnexpected,
    /// No PROXY header from a network that must send one.
    ProxyMissing,
    /// A PROXY header that cannot be parsed.
    ProxyMalformed,
    /// The TLS handshake failed.
    TlsFailed,
    /// Too many TLS handshakes are under way.
    TlsBusy,
    /// No TLS where it is required.
    TlsMissing,
    /// The address is denied, or one too many is refused.
    Denied,
    /// The connection ended.
    Disconnected,
    /// The connection failed.
    Failed,
}

/// Leads a connection in; `read` was read from it already.
///
/// # Errors
/// The connection must be closed with nothing sent.
pub async fn enter(
    mut socket: Socket,
    mut read: BytesMut,
    mut params: EntryParams,
) -> Result<Entered, Refused> {
    let begun = Instant::now();
    let mut player = params.remote;
    let mut held = Held::new(Part::Sockets, 0);
    if proxy::is_due(&params.config, params.remote) {
        let named = proxy::take_header(&mut socket, &mut read, &params, &mut held).await?;
        player = named.unwrap_or(player);
    }
    loop {
        return match sniff(&read) {
            Sniffed::More => {
                read_more(&mut socket, &mut read, &params, &mut held).await?;
                continue;
            }
            Sniffed::Tls => {
                // Apart, for an HTTP connection keeps room for the largest stage of its entry.
                socket = Box::pin(tls::accept(socket, read, player.ip(), &params)).await?;
                read = BytesMut::new();
                held.set(socket.buffers());
                continue;
            }
            Sniffed::Frames | Sniffed::Http if tls::is_missing(&socket, &params) => {
                Err(Refused::TlsMissing)
            }
            Sniffed::Frames => Ok(Entered::Frames(socket, read)),
            Sniffed::Http => {
                // It counts itself.
                drop(held);
                params.timeout = params.timeout.saturating_sub(begun.elapsed());
                let upgraded = http::serve(socket, read, params).await;
                Ok(upgraded.map_or(Entered::Served, Entered::WebSocket))
            }
            Sniffed::Proxy => Err(Refused::ProxyUnexpected),
            Sniffed::Unknown => Err(Refused::Unrecognised),
        };
    }
}

/// Reads once more what the connection begins with. `held` is what the socket keeps meanwhile, also of what brings nothing.
async fn read_more(
    socket: &mut Socket,
    read: &mut BytesMut,
    params: &EntryParams,
    held: &mut Held,
) -> Result<(), Refused> {
    read.reserve(READ_BYTES);
    let reading = poll_fn(|cx| {
        let polled = poll_read_buf(Pin::new(&mut *socket), cx, read);
        let (had, has) = (held.bytes(), socket.buffers());
        let fits = has <= had || memory::admits(has - had);
        held.set(has);
        match fits {
            true => polled.map(Some),
            false => Poll::Ready(None),
        }
    });
    match reading.await.ok_or(Refused::TlsBusy)? {
        Ok(0) => Err(Refused::Disconnected),
        Ok(n) => {
            params.host.read(n);
            Ok(())
        }
        // A probe behind a balancer's PROXY header may end with a reset, which is no failure.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(Refused::Disconnected),
        Err(_) => Err(Refused::Failed),
    }
}
