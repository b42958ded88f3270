//! TLS towards players: certificates by name, and the handshake.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
    UnbufferedServerConnection, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig, crypto};
use tokio::net::TcpStream;

use super::files::{FileMistake, Files, end_of};
use super::handshake::{HandshakeFailed, shake};
use super::records::Records;
use super::{TlsSocket, VERSIONS, provider};
use crate::config::ListenTls;
use crate::config::admin::AdminTls;

/// Protocols for ALPN: HTTP, and frames by their name as a WebSocket's subprotocol. The answer binds
/// nobody, for the content is sniffed.
const PROTOCOLS: [&[u8]; 2] = [b"http/1.1", b"ggp.v1"];
/// Limit of early data that is skipped, in bytes. The library counts some of it twice.
const SKIPPED_EARLY_DATA: u32 = 64 * 1024;

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

/// Performs the handshake with a client; `read` is the beginning of its first message. `grows` hears how many bytes
/// have come and are not used yet, and says whether there is room for as many. `source`: whose it is among those who
/// take turns.
///
/// # Errors
/// The player does not speak TLS or no supported version of it, lacks a required certificate, or has
/// ended the connection. The alert is sent unless the connection has ended.
pub async fn accept(
    config: Arc<ServerConfig>,
    socket: TcpStream,
    read: BytesMut,
    source: u128,
    mut grows: impl FnMut(usize) -> bool,
) -> Result<TlsSocket, HandshakeFailed> {
    if !grows(read.len()) {
        return Err(io::Error::from(io::ErrorKind::OutOfMemory).into());
    }
    let connection = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
    let records = Records::Server(connection);
    shake(records, socket, read, Some(source), grows).await
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
