//! TLS, for players and to backends: rustls on ring, versions 1.2 and 1.3.
//!
//! * [`files`]: certificates, keys and authorities from PEM files.
//! * [`server`]: what players are shown, and the handshake with them.
//! * [`client`]: what backends are shown and held to, and the handshake with them.
//! * [`stream`]: the socket behind a handshake.
//!
//! What is in force is replaced whole; connections that are there keep what they began with.

mod client;
mod files;
mod server;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use crate::config::Config;

pub use client::connect;
pub use files::FileMistake;
pub use server::{HandshakeFailed, accept};
pub use stream::TlsSocket;

use files::{Files, warning};

/// Newest first.
static VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What TLS goes by in this process. The default is none at all.
#[derive(Debug, Default)]
pub struct Tls {
    config: Arc<Config>,
    server: ArcSwapOption<ServerConfig>,
    client: ArcSwapOption<ClientConfig>,
    /// What the files held that were looked at last, in force or not.
    seen: ArcSwap<Files>,
    handshakes: Arc<AtomicUsize>,
    reloads: AtomicU64,
    reload_failures: AtomicU64,
    expires_at: AtomicU64,
}

/// How TLS is, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TlsSnapshot {
    /// Handshakes with players that are under way.
    pub handshakes: u64,
    /// Times that changed files were put in force.
    pub reloads: u64,
    /// Times that changed files had mistakes.
    pub reload_failures: u64,
    /// When the first of the players' certificates ends, in seconds since 1970; 0: there is none.
    pub expires_at: u64,
}

/// What the files make.
struct Loaded {
    server: Option<Arc<ServerConfig>>,
    client: Option<Arc<ClientConfig>>,
    expires_at: u64,
    warnings: Vec<String>,
}

/// What became of a look at the files.
#[derive(Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// They are as they were.
    Unchanged,
    /// What they hold is in force for new connections.
    InForce {
        /// What is in force but perhaps not as it was meant.
        warnings: Vec<String>,
    },
    /// What was in force stays.
    Refused(Vec<FileMistake>),
}

/// A handshake that is under way; dropping it makes room for another.
#[derive(Debug)]
pub struct Handshake(Arc<AtomicUsize>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tls {
    /// Reads all the files that the configuration names, and what there is to warn of. Blocks.
    ///
    /// # Errors
    /// All mistakes in the files.
    pub fn load(config: &Arc<Config>) -> Result<(Tls, Vec<String>), Vec<FileMistake>> {
        let files = Files::read(config);
        let loaded = Loaded::from(&files, config)?;
        let tls = Tls {
            config: Arc::clone(config),
            server: ArcSwapOption::new(loaded.server),
            client: ArcSwapOption::new(loaded.client),
            seen: ArcSwap::from_pointee(files),
            handshakes: Arc::default(),
            reloads: AtomicU64::default(),
            reload_failures: AtomicU64::default(),
            expires_at: AtomicU64::new(loaded.expires_at),
        };
        Ok((tls, loaded.warnings))
    }

    /// Reads the files again; what they hold is in force from then on unless it has mistakes.
    /// The same mistakes are told once. Blocks. One thread at a time.
    pub fn reload(&self) -> Reloaded {
        let files = Files::read(&self.config);
        if files == **self.seen.load() {
            return Reloaded::Unchanged;
        }
        let loaded = Loaded::from(&files, &self.config);
        self.seen.store(Arc::new(files));
        match loaded {
            Ok(loaded) => {
                self.server.store(loaded.server);
                self.client.store(loaded.client);
                self.expires_at.store(loaded.expires_at, Ordering::Relaxed);
                self.reloads.fetch_add(1, Ordering::Relaxed);
                Reloaded::InForce {
                    warnings: loaded.warnings,
                }
            }
            Err(mistakes) => {
                self.reload_failures.fetch_add(1, Ordering::Relaxed);
                Reloaded::Refused(mistakes)
            }
        }
    }

    /// The files that are read, each once.
    pub fn paths(&self) -> Vec<std::path::PathBuf> {
        self.seen.load().paths()
    }

    /// What players are shown; none where no certificate is configured.
    pub fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.load_full()
    }

    /// What backends are shown and held to; none where links are plain.
    pub fn client(&self) -> Option<Arc<ClientConfig>> {
        self.client.load_full()
    }

    /// Counts a handshake with a player in; none where `listen.tls.max_handshakes` are under way.
    pub fn begin_handshake(&self) -> Option<Handshake> {
        let handshake = Handshake(Arc::clone(&self.handshakes));
        let before = handshake.0.fetch_add(1, Ordering::Relaxed);
        (before < self.config.listen.tls.max_handshakes).then_some(handshake)
    }

    /// How it is.
    pub fn snapshot(&self) -> TlsSnapshot {
        TlsSnapshot {
            handshakes: self.handshakes.load(Ordering::Relaxed) as u64,
            reloads: self.reloads.load(Ordering::Relaxed),
            reload_failures: self.reload_failures.load(Ordering::Relaxed),
            expires_at: self.expires_at.load(Ordering::Relaxed),
        }
    }
}

impl Loaded {
    fn from(files: &Files, config: &Config) -> Result<Loaded, Vec<FileMistake>> {
        let mut mistakes = Vec::new();
        let mut warnings = Vec::new();
        let mut expires_at = 0;
        let server = if config.listen.tls.certificate.is_empty() {
            None
        } else {
            let built = server::build(files, &config.listen.tls, &mut mistakes);
            built.map(|shown| {
                for (path, end) in shown.ends {
                    warnings.extend(warning(end).map(|w| format!("{}: {w}", path.display())));
                    let end = end.map_or(0, |end| end.as_secs());
                    if end != 0 && (expires_at == 0 || end < expires_at) {
                        expires_at = end;
                    }
                }
                Arc::new(shown.config)
            })
        };
        let client = if config.backend.tls.enabled {
            client::build(files, &config.backend.tls, &mut mistakes).map(Arc::new)
        } else {
            None
        };
        if mistakes.is_empty() {
            Ok(Loaded {
                server,
                client,
                expires_at,
                warnings,
            })
        } else {
            Err(mistakes)
        }
    }
}
