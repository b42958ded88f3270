//! TLS towards backends: our certificate, the authorities that theirs must come from, the handshake.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::client::{ResolvesClientCert, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, Error, RootCertStore};
use tokio::net::TcpStream;

use super::files::{FileMistake, Files};
use super::handshake::shake;
use super::records::Records;
use super::{TlsSocket, VERSIONS, provider};
use crate::config::BackendTls;

/// Name of the system's authorities in messages, for configurations without a file.
const SYSTEM: &str = "system certificates";

/// Makes the configuration of the files; none if one has mistakes.
pub(super) fn build(
    files: &Files,
    config: &BackendTls,
    mistakes: &mut Vec<FileMistake>,
) -> Option<ClientConfig> {
    let roots = match &config.ca {
        Some(path) => files.authorities(path).map_err(|why| (path.as_path(), why)),
        None => system_authorities().map_err(|why| (Path::new(SYSTEM), why)),
    };
    let roots = roots
        .map_err(|(path, why)| mistakes.push(FileMistake::new("backend.tls.ca", path, why)))
        .ok();
    let own = match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => {
            let certified = files.certified(
                ("backend.tls.certificate", certificate),
                ("backend.tls.key", key),
                mistakes,
            );
            Some(certified?)
        }
        _ => None,
    };
    let wrong = |error: Error| {
        let (path, why) = (config.ca.as_deref(), error.to_string());
        let path = path.unwrap_or(Path::new(SYSTEM));
        mistakes.push(FileMistake::new("backend.tls.ca", path, why));
    };
    configure(roots?, own).map_err(wrong).ok()
}

fn configure(roots: RootCertStore, own: Option<CertifiedKey>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)?
        .with_root_certificates(roots);
    Ok(match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let shown: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(own));
            builder.with_client_cert_resolver(shown)
        }
    })
}

fn system_authorities() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    match (added, found.errors.first()) {
        (0, Some(error)) => Err(format!("cannot be read: {error}")),
        (0, None) => Err("no certificate found".to_owned()),
        _ => Ok(roots),
    }
}

/// Performs the handshake with a backend, which must prove to be `host`, a name or an IP address.
///
/// # Errors
/// The backend does not speak TLS, its certificate is not valid for `host`, or it demands a certificate
/// that we do not have.
pub async fn connect(
    config: Arc<ClientConfig>,
    host: &str,
    socket: TcpStream,
) -> io::Result<TlsSocket> {
    // Certificates have names without the dot that says that a name is complete.
    let host = host.strip_suffix('.').unwrap_or(host);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let connection = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
    let records = Records::Client(connection);
    let shaken = shake(records, socket, BytesMut::new(), None, |_| true).await;
    shaken.map_err(|failed| failed.error)
}
