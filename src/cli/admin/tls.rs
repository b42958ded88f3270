//! TLS with the admin API, as the command line has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::api::Failure;
use super::gateways::variable;

/// Options of https.
#[derive(Debug, Args)]
pub(in crate::cli) struct TlsArgs {
    /// PEM file of the CAs to trust with https; by default GATEWAY_ADMIN_CA, or the system's.
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    ca: Option<PathBuf>,
    /// PEM file of the certificate to show, with its chain; by default GATEWAY_ADMIN_CERT.
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    cert: Option<PathBuf>,
    /// PEM file of that certificate's key; by default GATEWAY_ADMIN_KEY.
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    key: Option<PathBuf>,
}

impl TlsArgs {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read, or is not what it must be, or one of certificate and key is missing.
    pub(in crate::cli) fn config(&self) -> Result<TlsConfig, Failure> {
        let roots = match given("--ca", &self.ca, "GATEWAY_ADMIN_CA") {
            Some((from, ca)) => certificates(from, &ca)?,
            None => system_roots(),
        };
        let cert = given("--cert", &self.cert, "GATEWAY_ADMIN_CERT");
        let own = match (cert, given("--key", &self.key, "GATEWAY_ADMIN_KEY")) {
            (None, None) => None,
            (Some((from, cert)), Some((from_key, key))) => {
                let chain = certificates(from, &cert)?;
                let pem = read(from_key, &key)?;
                let private = PrivateKey::from_pem(&pem).map_err(|e| wrong(from_key, &key, e))?;
                Some(ClientCert::new_with_certs(&chain, private))
            }
            _ => {
                let why = "--cert and --key must be given together";
                return Err(Failure::answer(why));
            }
        };
        Ok(TlsConfig::builder()
            .root_certs(RootCerts::from(roots))
            .client_cert(own)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build())
    }
}

/// Returns the file of an option or of the environment, and which of them names it.
fn given(
    option: &'static str,
    file: &Option<PathBuf>,
    name: &'static str,
) -> Option<(&'static str, PathBuf)> {
    let of_option = file.clone().map(|file| (option, file));
    of_option.or_else(|| Some((name, variable(name)?.into())))
}

fn wrong(option: &str, path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::answer(format!("{option} {}: {why}", path.display()))
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| wrong(option, path, error))
}

fn certificates(option: &str, path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let pem = read(option, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem)
        .map(|der| der.map(|der| Certificate::from_der(&der).to_owned()))
        .collect();
    let all = all.map_err(|error| wrong(option, path, error))?;
    match all.is_empty() {
        true => Err(wrong(option, path, "no certificate found, expected PEM")),
        false => Ok(all),
    }
}

/// Returns those that can be read: one that cannot be is missed where it is needed.
fn system_roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    let certificates = found.certs.iter();
    certificates
        .map(|der| Certificate::from_der(der).to_owned())
        .collect()
}
