//! Streams to Redis, plain or over TLS, whose replies keep within bounds. The crate would connect by itself, but take
//! replies of any size.

use std::io;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::select_ok;
use redis::{RedisError, RedisResult};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::bounded::{Bounded, Bounds};
use super::connect::Address;

/// A stream, plain or over TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the first of the host's addresses that answers; with `tls` the server must prove to be `host`.
///
/// # Errors
/// None answers, or the handshake failed.
pub(super) async fn dial(
    (host, port): &Address,
    tls: Option<Arc<ClientConfig>>,
    bounds: Bounds,
) -> RedisResult<Bounded<Box<dyn Stream>>> {
    let addresses: Vec<_> = lookup_host((host.as_str(), *port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::Error::other("no address found for the host").into());
    }
    let attempts = addresses.into_iter().map(|address| {
        let tls = tls.clone();
        Box::pin(async move {
            let socket = TcpStream::connect(address).await?;
            let stream: Box<dyn Stream> = match tls {
                None => Box::new(socket),
                Some(config) => {
                    let name = ServerName::try_from(host.as_str())?.to_owned();
                    Box::new(TlsConnector::from(config).connect(name, socket).await?)
                }
            };
            Ok::<_, RedisError>(stream)
        })
    });
    let (stream, _) = select_ok(attempts).await?;
    Ok(Bounded::new(stream, bounds))
}

/// Makes the configuration of TLS: this file's CAs are trusted, without one the system's.
///
/// # Errors
/// The file cannot be read, or has no certificate, or an unusable one.
pub(super) fn tls(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let roots = match ca {
        None => system_authorities()?,
        Some(ca) => authorities(ca).map_err(|why| format!("redis.ca {}: {why}", ca.display()))?,
    };
    let config = ClientConfig::builder().with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}

fn authorities(ca: &Path) -> Result<RootCertStore, String> {
    let pem = std::fs::read(ca).map_err(|error| format!("cannot be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err("no certificate found, expected PEM".to_owned()),
        false => Ok(roots),
    }
}

fn system_authorities() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    match found.errors.first() {
        Some(error) if added == 0 => Err(format!("system certificates: {error}")),
        _ => Ok(roots),
    }
}
