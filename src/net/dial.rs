//! The connecting side of a player's connection: TCP, TLS over it, and the WebSocket handshake. The
//! client library and the load generator connect with it; the gateway's own port is [`super::entry`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Bytes that a WebSocket reads at a time.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// The identity that a server must prove: the authorities of its certificate, and its name.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Trusts the certificates in `ca`, a PEM file, for a server with the name (or address) `host`.
    /// Every connection makes a full handshake.
    ///
    /// # Errors
    /// The file cannot be read, holds no certificate or an invalid one; `host` is not a valid name.
    pub fn new(ca: &Path, host: &str) -> io::Result<Tls> {
        let wrong = |why: String| {
            let text = format!("{}: {why}", ca.display());
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        let mut roots = RootCertStore::empty();
        let certificates =
            CertificateDer::pem_file_iter(ca).map_err(|error| wrong(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong("no certificate found, expected PEM".into()));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Tls {
            connector: TlsConnector::from(Arc::new(config)),
            name,
        })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish()
    }
}

/// A connection as a stream of bytes.
#[derive(Debug)]
pub enum Stream {
    /// Plain.
    Tcp(TcpStream),
    /// Inside TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection's reading half.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// A connection's writing half.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

impl Stream {
    /// Connects and completes the TLS handshake if `tls` is given. Has no deadline.
    ///
    /// # Errors
    /// The connection is refused, or the server does not prove its identity.
    pub async fn connect(address: SocketAddr, tls: Option<&Tls>) -> io::Result<Stream> {
        Stream::connect_from(None, address, tls).await
    }

    /// Connects as [`connect`](Self::connect) does, from an address of this machine, if one is given.
    ///
    /// # Errors
    /// The same; or `source` is no address of this machine.
    pub async fn connect_from(
        source: Option<IpAddr>,
        address: SocketAddr,
        tls: Option<&Tls>,
    ) -> io::Result<Stream> {
        let stream = match source {
            None => TcpStream::connect(address).await?,
            Some(source) => {
                let socket = match source {
                    IpAddr::V4(_) => TcpSocket::new_v4()?,
                    IpAddr::V6(_) => TcpSocket::new_v6()?,
                };
                socket.bind(SocketAddr::new(source, 0))?;
                socket.connect(address).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(match tls {
            None => Stream::Tcp(stream),
            Some(Tls { connector, name }) => {
                let stream = connector.connect(name.clone(), stream).await?;
                Stream::Tls(Box::new(stream))
            }
        })
    }

    /// Makes it a WebSocket to `host` whose messages hold at most `max_message` bytes. Has no
    /// deadline.
    ///
    /// # Errors
    /// The server refuses the handshake or does not speak WebSocket.
    pub async fn upgrade(
        self,
        host: &str,
        max_message: usize,
    ) -> io::Result<WebSocketStream<Stream>> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        let uri = format!("ws://{host}/");
        tokio_tungstenite::client_async_with_config(uri, self, Some(config))
            .await
            .map(|(socket, _)| socket)
            .map_err(io::Error::other)
    }

    /// Splits the connection into halves for two owners.
    pub fn into_split(self) -> (Reader, Writer) {
        match self {
            Stream::Tcp(stream) => {
                let (reader, writer) = stream.into_split();
                (Box::new(reader), Box::new(writer))
            }
            Stream::Tls(stream) => {
                let (reader, writer) = tokio::io::split(*stream);
                (Box::new(reader), Box::new(writer))
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
