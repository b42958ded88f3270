//! Certificates, keys and authorities from PEM files. Errors name the path and the reason.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};

use super::provider;
use crate::config::Config;

/// The largest file that is read, in bytes; the bundle of a system's authorities is far smaller.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Remaining lifetime of a certificate below which there is a warning.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 24 * 3600);
/// Some editors put it in front of a text; PEM's first line would not be one behind it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Beyond every date that a certificate can have: the year 10000, in seconds since 1970.
const BEYOND: u64 = 253_402_300_800;

/// The reason that a file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMistake {
    key: &'static str,
    path: PathBuf,
    reason: String,
}

impl FileMistake {
    pub(super) fn new(key: &'static str, path: &Path, reason: impl Into<String>) -> FileMistake {
        FileMistake {
            key,
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for FileMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "{}: {path}: {}", self.key, self.reason)
    }
}

/// The contents of a configuration's files when they were read, or why they could not be.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Files(BTreeMap<PathBuf, Result<Vec<u8>, String>>);

/// Prints no contents, some of which are secret.
impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Files {
    pub(super) fn read(config: &Config) -> Files {
        let (players, backend, admin) =
            (&config.listen.tls, &config.backend.tls, &config.admin.tls);
        let several = players.certificate.iter().chain(players.key.iter());
        let single = [
            &players.client_ca,
            &backend.ca,
            &backend.certificate,
            &backend.key,
            &admin.certificate,
            &admin.key,
            &admin.client_ca,
        ];
        let single = single.into_iter().flatten().map(PathBuf::as_path);
        let read = |path: &Path| (path.to_owned(), read(path));
        Files(several.chain(single).map(read).collect())
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.0.keys().cloned().collect()
    }

    fn bytes(&self, path: &Path) -> Result<&[u8], String> {
        match self.0.get(path) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(error)) => Err(error.clone()),
            None => Err("not read".to_owned()),
        }
    }

    pub(super) fn certificates(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
        let all = CertificateDer::pem_slice_iter(self.bytes(path)?);
        let all: Result<Vec<_>, pem::Error> = all.collect();
        let all = all.map_err(|error| format!("invalid PEM: {error}"))?;
        match all.is_empty() {
            true => Err("no certificate found, expected PEM".to_owned()),
            false => Ok(all),
        }
    }

    fn key(&self, path: &Path) -> Result<PrivateKeyDer<'static>, String> {
        let bytes = self.bytes(path)?;
        let encrypted = b"ENCRYPTED PRIVATE KEY";
        match PrivateKeyDer::from_pem_slice(bytes) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) => {
                let encrypted = bytes.windows(encrypted.len()).any(|w| w == encrypted);
                let reason = match encrypted {
                    true => "unsupported encrypted private key, expected one without a passphrase",
                    false => "no private key found, expected PEM",
                };
                Err(reason.to_owned())
            }
            Err(error) => Err(format!("invalid PEM: {error}")),
        }
    }

    /// Reads the authorities of a file.
    pub(super) fn authorities(&self, path: &Path) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(path)? {
            let added = roots.add(certificate);
            added.map_err(|error| format!("invalid certificate: {error}"))?;
        }
        Ok(roots)
    }

    /// Reads a chain and its key, which must belong together. Each file comes with the configuration
    /// key that names it, for error messages.
    pub(super) fn certified(
        &self,
        (certificate_key, certificate): (&'static str, &Path),
        (key_key, key): (&'static str, &Path),
        mistakes: &mut Vec<FileMistake>,
    ) -> Option<CertifiedKey> {
        let mut kept = |key, path, reason| mistakes.push(FileMistake::new(key, path, reason));
        let chain = self.certificates(certificate);
        let chain = chain.map_err(|why| kept(certificate_key, certificate, why));
        let private = self.key(key).map_err(|why| kept(key_key, key, why));
        let (Ok(chain), Ok(private)) = (chain, private) else {
            return None;
        };
        match CertifiedKey::from_der(chain, private, &provider()) {
            Ok(certified) => Some(certified),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                let other = certificate.display();
                kept(
                    key_key,
                    key,
                    format!("private key does not match the certificate {other}"),
                );
                None
            }
            Err(Error::InvalidCertificate(error)) => {
                let reason = format!("invalid certificate: {error}");
                kept(certificate_key, certificate, reason);
                None
            }
            Err(error) => {
                kept(key_key, key, format!("cannot be used: {error}"));
                None
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(_) if bytes.len() as u64 > MAX_FILE_BYTES => Err("too large, limit 4MiB".to_owned()),
        Ok(_) => {
            if bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            Ok(bytes)
        }
    }
}

/// Returns when a certificate expires. The library tells that only in a refusal, so it is asked about
/// a time at which every certificate has expired.
pub(super) fn end_of(certificate: &CertificateDer<'_>) -> Option<UnixTime> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).ok()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider());
    let verifier = verifier.build().ok()?;
    let anybody = ServerName::try_from("anybody").ok()?;
    let then = UnixTime::since_unix_epoch(Duration::from_secs(BEYOND));
    let refused = verifier.verify_server_cert(certificate, &[], &anybody, &[], then);
    match refused {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(not_after)
        }
        _ => None,
    }
}

/// Returns the warning for a certificate that expires at this time, or none.
pub(super) fn warning(end: Option<UnixTime>) -> Option<String> {
    const DAY: u64 = 24 * 3600;
    let Some(end) = end else {
        return Some("unknown expiry date of the certificate".to_owned());
    };
    let (end, now) = (end.as_secs(), UnixTime::now().as_secs());
    match end.checked_sub(now) {
        Some(left) if left >= EXPIRY_WARNING.as_secs() => None,
        Some(left) => Some(format!("certificate expires in {} days", left / DAY)),
        None => {
            let days = (now - end) / DAY;
            Some(format!("certificate expired {days} days ago"))
        }
    }
}
