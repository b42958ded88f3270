//! A connection to a gateway as a stream of bytes, whatever carries them.

use std::io;
use std::net::SocketAddr;

use actix_codec::Framed;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{ToSocketAddrs, lookup_host};

use super::websocket::WebSocket;
use super::{Options, Transport};
use crate::codec::framed::ClientCodec;
use crate::net::dial::Stream;

/// A connection that carries frames: TCP itself, or a layer over it.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection as frames.
pub(super) type Line = Framed<Box<dyn Io>, ClientCodec>;

/// Connects as `options` say, to the first of the addresses that answers. Has no deadline.
///
/// # Errors
/// Nobody listens, or the server is not the one that `options.tls` wants, or no WebSocket server.
pub(super) async fn connect(
    address: impl ToSocketAddrs,
    options: &Options,
) -> io::Result<Box<dyn Io>> {
    let (stream, address) = dial(address, options).await?;
    Ok(match options.transport {
        Transport::Tcp => Box::new(stream),
        Transport::Websocket => {
            let host = address.to_string();
            Box::new(WebSocket::connect(stream, &host, options.max_payload).await?)
        }
    })
}

/// Connects to the first address that answers; returns it too.
pub(super) async fn dial(
    address: impl ToSocketAddrs,
    options: &Options,
) -> io::Result<(Stream, SocketAddr)> {
    let mut last = io::Error::new(
        io::ErrorKind::NotFound,
        "no address found for this host name",
    );
    for address in lookup_host(address).await? {
        match Stream::connect(address, options.tls.as_ref()).await {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => last = error,
        }
    }
    Err(last)
}
