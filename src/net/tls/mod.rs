//! TLS, for players and to backends: rustls on ring, versions 1.2 and 1.3.
//!
//! * [`files`]: certificates, keys and authorities from PEM files.
//! * [`server`]: TLS towards players.
//! * [`client`]: TLS towards backends.
//! * [`handshake`]: what both do first.
//! * [`records`]: what is read and written, encrypted and decrypted.
//! * [`stream`]: the socket behind a handshake.
//! * [`turns`]: handshakes take turns.
//!
//! The configuration in force is replaced as a whole; connections keep the one that they began with.

mod client;
mod files;
mod handshake;
mod places;
mod records;
mod server;
mod stream;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
pub use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, SupportedProtocolVersion};

use crate::config::Config;
use crate::session::rate::{Nanos, SharedBucket};

pub use client::connect;
pub use files::FileMistake;
pub use handshake::HandshakeFailed;
pub use places::Handshake;
pub use server::accept;
pub use stream::{IDLE_KIB, TlsSocket};

use files::{Files, warning};

/// Newest first.
static VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The TLS configuration of this process. The default is none.
#[derive(Debug, Default)]
pub struct Tls {
    config: Arc<Config>,
    server: ArcSwapOption<ServerConfig>,
    client: ArcSwapOption<ClientConfig>,
    admin: ArcSwapOption<ServerConfig>,
    /// Contents of the files at the last look, in force or not.
    seen: ArcSwap<Files>,
    handshakes: Arc<AtomicUsize>,
    max_handshakes: AtomicUsize,
    handshakes_per_second: AtomicU64,
    begun: SharedBucket,
    reloads: AtomicU64,
    reload_failures: AtomicU64,
    expires_at: AtomicU64,
}

/// The state of TLS, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TlsSnapshot {
    /// Handshakes with players that are under way.
    pub handshakes: u64,
    /// Times that changed files were put in force.
    pub reloads: u64,
    /// Times that changed files had mistakes.
    pub reload_failures: u64,
    /// Earliest expiry of the certificates for players and for the admin API, in seconds since 1970; 0: there is none.
    pub expires_at: u64,
}

/// The outcome of the files.
struct Loaded {
    server: Option<Arc<ServerConfig>>,
    client: Option<Arc<ClientConfig>>,
    admin: Option<Arc<ServerConfig>>,
    expires_at: u64,
    warnings: Vec<String>,
}

/// The outcome of a look at the files.
#[derive(Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// They are unchanged.
    Unchanged,
    /// Their contents are in force for new connections.
    InForce {
        /// Warnings about what is in force now.
        warnings: Vec<String>,
    },
    /// They have mistakes; the configuration in force stays.
    Refused(Vec<FileMistake>),
}

impl Tls {
    /// Reads all files that the configuration names; returns warnings too. Blocks.
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
            admin: ArcSwapOption::new(loaded.admin),
            seen: ArcSwap::from_pointee(files),
            handshakes: Arc::default(),
            max_handshakes: AtomicUsize::new(config.listen.tls.max_handshakes),
            handshakes_per_second: AtomicU64::new(per_second(config)),
            begun: SharedBucket::default(),
            reloads: AtomicU64::default(),
            reload_failures: AtomicU64::default(),
            expires_at: AtomicU64::new(loaded.expires_at),
        };
        Ok((tls, loaded.warnings))
    }

    /// Reads the files again and puts them in force unless they have mistakes. The same mistakes are
    /// reported once. Blocks. Must be called by one thread at a time.
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
                self.admin.store(loaded.admin);
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

    /// Returns the paths of all files, each once.
    pub fn paths(&self) -> Vec<std::path::PathBuf> {
        self.seen.load().paths()
    }

    /// Returns the configuration towards players; none without a certificate.
    pub fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.load_full()
    }

    /// Returns the configuration towards backends; none if links are plain.
    pub fn client(&self) -> Option<Arc<ClientConfig>> {
        self.client.load_full()
    }

    /// Returns the configuration of the admin API; none where that is plain.
    pub fn admin(&self) -> Option<Arc<ServerConfig>> {
        self.admin.load_full()
    }

    /// Takes over the limits of handshakes.
    pub fn reload_limits(&self, config: &Config) {
        let most = config.listen.tls.max_handshakes;
        self.max_handshakes.store(most, Ordering::Relaxed);
        let rate = per_second(config);
        self.handshakes_per_second.store(rate, Ordering::Relaxed);
    }

    /// Admits a handshake with a player at `now`, a time of any clock; none if `listen.tls.max_handshakes` are
    /// under way, of which none gives way to this `source`, or `listen.tls.max_handshakes_per_second` have begun.
    pub fn begin_handshake(&self, now: Nanos, source: u128) -> Option<Handshake> {
        let rate = self.handshakes_per_second.load(Ordering::Relaxed);
        let most = self.max_handshakes.load(Ordering::Relaxed);
        let may_begin = || self.begun.take(now, rate);
        Handshake::begin(&self.handshakes, most, source, may_begin)
    }

    /// Returns the state for metrics.
    pub fn snapshot(&self) -> TlsSnapshot {
        TlsSnapshot {
            handshakes: self.handshakes.load(Ordering::Relaxed) as u64,
            reloads: self.reloads.load(Ordering::Relaxed),
            reload_failures: self.reload_failures.load(Ordering::Relaxed),
            expires_at: self.expires_at.load(Ordering::Relaxed),
        }
    }
}

fn per_second(config: &Config) -> u64 {
    config.listen.tls.max_handshakes_per_second as u64
}

impl Loaded {
    fn from(files: &Files, config: &Config) -> Result<Loaded, Vec<FileMistake>> {
        let mut mistakes = Vec::new();
        let mut warnings = Vec::new();
        let mut expires_at = 0;
        let mut show = |shown: server::Shown| {
            for (path, end) in shown.ends {
                warnings.extend(warning(end).map(|w| format!("{}: {w}", path.display())));
                let end = end.map_or(0, |end| end.as_secs());
                if end != 0 && (expires_at == 0 || end < expires_at) {
                    expires_at = end;
                }
            }
            Arc::new(shown.config)
        };
        let server = if config.listen.tls.certificate.is_empty() {
            None
        } else {
            server::build(files, &config.listen.tls, &mut mistakes).map(&mut show)
        };
        let admin = server::build_admin(files, &config.admin.tls, &mut mistakes).map(&mut show);
        let client = if config.backend.tls.enabled {
            client::build(files, &config.backend.tls, &mut mistakes).map(Arc::new)
        } else {
            None
        };
        if mistakes.is_empty() {
            Ok(Loaded {
                server,
                client,
                admin,
                expires_at,
                warnings,
            })
        } else {
            Err(mistakes)
        }
    }
}
