//! A certificate that the demo makes for itself and throws away.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::net::dial::Tls;

/// Its subject: the address that players connect to.
const NAME: &str = "127.0.0.1";

/// A certificate that has signed itself, and its key, in a folder.
#[derive(Debug)]
pub(super) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Makes one in this folder, which only this user may look into.
    pub(super) fn create(folder: &Path) -> io::Result<Certificate> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]);
        let made = made.map_err(io::Error::other)?;
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.join(name));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        Ok(Certificate { certificate, key })
    }

    /// Configures the gateway to use it.
    pub(super) fn configure(&self, config: &mut Config) {
        config.listen.tls.certificate = self.certificate.clone().into();
        config.listen.tls.key = self.key.clone().into();
    }

    /// Returns the TLS configuration of players that trust it.
    pub(super) fn trust(&self) -> io::Result<Tls> {
        Tls::new(&self.certificate, NAME)
    }
}
