//! Support of the TLS tests: a player over TLS.

use std::path::Path;
use std::sync::Arc;

use game_gateway::config::{Config, Paths};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::authority::{Authority, Issued};
use crate::support::frames;
use crate::support::wire::soon;

/// Returns the files in a configuration's list.
pub(crate) fn paths<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Paths {
    let all: Vec<_> = paths.into_iter().map(|p| p.display().to_string()).collect();
    let Ok(paths) = all.join(",").parse();
    paths
}

/// Configures these certificates for players.
pub(crate) fn shows(issued: &[&Issued]) -> impl FnOnce(&mut Config) + use<> {
    let certificates = paths(issued.iter().map(|i| i.certificate.as_path()));
    let keys = paths(issued.iter().map(|i| i.key.as_path()));
    |config| {
        config.listen.tls.certificate = certificates;
        config.listen.tls.key = keys;
    }
}

/// TLS settings of a player.
pub(crate) struct Way {
    roots: RootCertStore,
    versions: &'static [&'static SupportedProtocolVersion],
    own: Option<Issued>,
    pub(crate) protocols: Vec<Vec<u8>>,
    pub(crate) name: &'static str,
}

impl Way {
    /// Trusts this authority and wants 127.0.0.1.
    pub(crate) fn trusting(authority: &Authority) -> Way {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(authority.ca()).expect("a certificate");
        roots.add(certificate).expect("an authority");
        Way {
            roots,
            versions: rustls::ALL_VERSIONS,
            own: None,
            protocols: Vec::new(),
            name: "127.0.0.1",
        }
    }

    pub(crate) fn only(mut self, version: &'static [&'static SupportedProtocolVersion]) -> Way {
        self.versions = version;
        self
    }

    pub(crate) fn to(mut self, name: &'static str) -> Way {
        self.name = name;
        self
    }

    pub(crate) fn showing(mut self, own: &Issued) -> Way {
        self.own = Some(own.clone());
        self
    }

    pub(crate) fn offering(mut self, protocols: &[&str]) -> Way {
        self.protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = CertificateDer::from_pem_file(&own.certificate).expect("a certificate");
                let key = PrivateKeyDer::from_pem_file(&own.key).expect("a key");
                let built = builder.with_client_auth_cert(vec![chain], key);
                built.expect("a certificate of one's own")
            }
        };
        config.alpn_protocols = self.protocols.clone();
        config
    }

    /// Shakes hands.
    pub(crate) async fn over<S>(&self, socket: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(self.name).expect("a name");
        let connector = TlsConnector::from(Arc::new(self.config()));
        soon(connector.connect(name, socket)).await
    }

    pub(crate) async fn connect(&self, address: std::net::SocketAddr) -> TlsStream<TcpStream> {
        let socket = soon(TcpStream::connect(address)).await.expect("the port");
        self.over(socket).await.expect("a handshake")
    }
}

/// Sends bytes, and has them leave.
pub(crate) async fn send(socket: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    soon(socket.write_all(bytes)).await.expect("sent");
    soon(socket.flush()).await.expect("sent");
}

/// Reads the next frame, and nothing beyond it; returns its payload.
pub(crate) async fn answer(socket: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    frames::next(socket).await.payload.into()
}
