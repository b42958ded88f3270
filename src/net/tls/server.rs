//! TLS towards players: certificates by name, and the handshake.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    Acceptor, ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{Error, PeerIncompatible, ServerConfig, ServerConnection, crypto};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::StartHandshake;

use super::files::{FileMistake, Files, end_of};
use super::stream::Followed;
use super::turns::in_turns;
use super::{TlsSocket, VERSIONS, provider};
use crate::config::ListenTls;
use crate::config::admin::AdminTls;

/// Protocols for ALPN: HTTP, and frames by their name as a WebSocket's subprotocol. The answer binds
/// nobody, for the content is sniffed.
const PROTOCOLS: [&[u8]; 2] = [b"http/1.1", b"ggp.v1"];
/// Bytes that one read takes before the client's first message is complete.
const READ_BYTES: usize = 1024;
/// Limit of early data that is skipped, in bytes. The library counts some of it twice.
const SKIPPED_EARLY_DATA: u32 = 64 * 1024;
/// Time for which input is discarded after an alert, so that no reset overtakes it.
const LINGER: Duration = Duration::from_secs(1);

/// Certificates in the order of the configuration; the first is the default.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl Certificates {
    fn chosen(&self, hello: &ClientHello<'_>) -> Option<&Arc<CertifiedKey>> {
        let name = hello.server_name();
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let named = |c: &&Arc<CertifiedKey>| name.as_ref().is_some_and(|n| is_for(c, n));
        let schemes = hello.signature_schemes();
        let usable = |c: &&Arc<CertifiedKey>| c.key.choose_scheme(schemes).is_some();
        let all = || self.0.iter();
        all()
            .filter(named)
            .find(usable)
            .or_else(|| all().find(usable))
            // Without one the library would say access_denied; with one that the client cannot use it says
            // handshake_failure, as RFC 5246 (7.4.1.3) and RFC 8446 (4.1.1) have it.
            .or_else(|| self.0.first())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.chosen(&hello).cloned()
    }
}

fn is_for(certified: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = certified.end_entity_cert();
    let certificate = certificate.and_then(ParsedCertificate::try_from);
    certificate
        .is_ok_and(|certificate| rustls::client::verify_server_name(&certificate, name).is_ok())
}

/// The outcome of the files.
pub(super) struct Shown {
    pub(super) config: ServerConfig,
    /// Expiry of each certificate, if it is known.
    pub(super) ends: Vec<(PathBuf, Option<UnixTime>)>,
}

/// Makes the configuration of the files; none if one has mistakes.
pub(super) fn build(
    files: &Files,
    config: &ListenTls,
    mistakes: &mut Vec<FileMistake>,
) -> Option<Shown> {
    let (mut certificates, mut ends) = (Vec::new(), Vec::new());
    for (certificate, key) in config.certificate.iter().zip(config.key.iter()) {
        let certified = files.certified(
            ("listen.tls.certificate", certificate),
            ("listen.tls.key", key),
            mistakes,
        );
        if let Some(certified) = certified {
            let end = certified.end_entity_cert().ok().and_then(end_of);
            ends.push((certificate.to_owned(), end));
            certificates.push(Arc::new(certified));
        }
    }
    let verifier = verifier(
        files,
        "listen.tls.client_ca",
        &config.client_ca,
        false,
        mistakes,
    )?;
    let (first, _) = ends.first()?;
    let wrong = |error: Error| {
        let why = format!("cannot be used: {error}");
        mistakes.push(FileMistake::new("listen.tls.certificate", first, why));
    };
    let config = configure(certificates, verifier, &PROTOCOLS)
        .map_err(wrong)
        .ok()?;
    Some(Shown { config, ends })
}

/// Makes the configuration of the admin API's files. A client may have no certificate: probes have none, and what needs
/// one says so.
pub(super) fn build_admin(
    files: &Files,
    config: &AdminTls,
    mistakes: &mut Vec<FileMistake>,
) -> Option<Shown> {
    let (certificate, key) = (config.certificate.as_ref()?, config.key.as_ref()?);
    let certified = files.certified(
        ("admin.tls.certificate", certificate),
        ("admin.tls.key", key),
        mistakes,
    );
    let verifier = verifier(
        files,
        "admin.tls.client_ca",
        &config.client_ca,
        true,
        mistakes,
    )?;
    let certified = certified?;
    let end = certified.end_entity_cert().ok().and_then(end_of);
    let wrong = |error: Error| {
        let why = format!("cannot be used: {error}");
        mistakes.push(FileMistake::new("admin.tls.certificate", certificate, why));
    };
    let shown = vec![Arc::new(certified)];
    let config = configure(shown, verifier, &PROTOCOLS[..1])
        .map_err(wrong)
        .ok()?;
    Some(Shown {
        config,
        ends: vec![(certificate.clone(), end)],
    })
}

/// Makes what checks the certificates of clients, by the authorities in this file.
fn verifier(
    files: &Files,
    key: &'static str,
    client_ca: &Option<PathBuf>,
    is_optional: bool,
    mistakes: &mut Vec<FileMistake>,
) -> Option<Arc<dyn ClientCertVerifier>> {
    let Some(path) = client_ca else {
        return Some(WebPkiClientVerifier::no_client_auth());
    };
    let verifier = files.authorities(path).and_then(|roots| {
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
        if is_optional {
            verifier = verifier.allow_unauthenticated();
        }
        verifier.build().map_err(|error| error.to_string())
    });
    let wrong = |why| mistakes.push(FileMistake::new(key, path, why));
    verifier.map_err(wrong).ok()
}

fn configure(
    certificates: Vec<Arc<CertifiedKey>>,
    verifier: Arc<dyn ClientCertVerifier>,
    protocols: &[&[u8]],
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Certificates(certificates)));
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    // Tickets are sealed with keys that live as long as this configuration: a client whose CA is no
    // longer trusted must not get in by TLS resumption.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = crypto::ring::Ticketer::new()?;
    // With a ticketer early data is neither offered nor taken; this only says how much of it is skipped.
    config.max_early_data_size = SKIPPED_EARLY_DATA;
    Ok(config)
}

/// A failed handshake, whose alert is sent.
#[derive(Debug)]
pub struct HandshakeFailed {
    /// The reason.
    pub error: io::Error,
    socket: Option<TcpStream>,
}

impl HandshakeFailed {
    /// Ends the connection so that no reset overtakes the alert, within a second.
    pub async fn part(self) {
        if let Some(mut socket) = self.socket
            && socket.shutdown().await.is_ok()
        {
            let mut sink = tokio::io::sink();
            // The end of this is the end of the connection, whether the peer has ended or not.
            let _ = timeout(LINGER, tokio::io::copy(&mut socket, &mut sink)).await;
        }
    }
}

impl From<io::Error> for HandshakeFailed {
    fn from(error: io::Error) -> HandshakeFailed {
        HandshakeFailed {
            error,
            socket: None,
        }
    }
}

/// The fatal alert protocol_version.
const ALERT_PROTOCOL_VERSION: [u8; 7] = [0x15, 3, 1, 0, 2, 2, 70];
/// TLS 1.2 on the wire, the oldest version here.
const OLDEST_VERSION: u16 = 0x0303;

/// Returns the version in a ClientHello of which `read` is the beginning; later ones than TLS 1.2 look like it.
fn version_of(read: &[u8]) -> Option<u16> {
    // Behind the headers of record and message, in 5 and 4 bytes.
    let version = read.get(9..)?.first_chunk()?;
    Some(u16::from_be_bytes(*version))
}

/// Returns true if a client was refused for what only later versions have, although its version is the reason.
fn is_outdated(error: &Error, client_version: Option<u16>) -> bool {
    let required = PeerIncompatible::SignatureAlgorithmsExtensionRequired;
    *error == Error::PeerIncompatible(required)
        && client_version.is_some_and(|v| v < OLDEST_VERSION)
}

/// Gives a connection what has come behind the client's first message: early data, which it skips, for it has
/// offered none (RFC 8446, 4.2.10).
fn feed(connection: &mut ServerConnection, mut unread: &[u8]) {
    // What is wrong with it is told by the handshake, which processes on.
    while connection.process_new_packets().is_ok() && !unread.is_empty() {
        match connection.read_tls(&mut unread) {
            Ok(read) if read > 0 => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Performs the handshake with a client; `read` is the beginning of its first message. `grows` hears how many bytes of
/// that have come, and says whether there is room for as many. `source`: whose it is among those who take turns.
///
/// # Errors
/// The player does not speak TLS or no supported version of it, lacks a required certificate, or has
/// ended the connection. The alert is sent unless the connection has ended.
pub async fn accept(
    config: Arc<ServerConfig>,
    socket: TcpStream,
    mut read: BytesMut,
    source: u128,
    mut grows: impl FnMut(usize) -> bool,
) -> Result<TlsSocket, HandshakeFailed> {
    let mut socket = Followed::new(socket, &read);
    let mut acceptor = Acceptor::default();
    let mut client_version = None;
    let mut came = 0;
    let accepted = loop {
        if read.is_empty() {
            read.reserve(READ_BYTES);
            if socket.read_buf(&mut read).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        client_version = client_version.or_else(|| version_of(&read));
        let mut unread = &read[..];
        let taken = acceptor.read_tls(&mut unread)?;
        came += taken;
        if !grows(came) {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory).into());
        }
        read.advance(taken);
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => break accepted,
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                alert.write_all(&mut bytes)?;
                if is_outdated(&error, client_version) {
                    bytes = ALERT_PROTOCOL_VERSION.to_vec();
                }
                socket.write_all(&bytes).await?;
                return Err(HandshakeFailed {
                    error: io::Error::new(io::ErrorKind::InvalidData, error),
                    socket: Some(socket.socket),
                });
            }
        }
    };
    let handshake = StartHandshake::from_parts(accepted, socket);
    let handshake = async move {
        // This signs where the client has sent what it takes.
        let handshake = handshake.into_stream_with(config, |connection| feed(connection, &read));
        handshake.into_fallible().await
    };
    match in_turns(source, handshake).await {
        Ok(stream) => Ok(TlsSocket::new(stream.into())),
        Err((error, socket)) => Err(HandshakeFailed {
            error,
            socket: Some(socket.socket),
        }),
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
