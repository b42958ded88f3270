//! Connects to the server, or through sentinels to the master. Every step has a timeout, and no
//! connection repairs itself, so that its user notices the loss and reads everything again.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError};
use rustls::ClientConfig;
use tokio::task::JoinHandle;

use super::bounded::{Bounds, TOO_LARGE};
use super::dial::{dial, tls};
use super::versions::MAX_PACKED_BYTES;
use crate::config::redis_url::show_server;
use crate::config::{self, RedisUrl, Secret};
use crate::store::{Refused, RefusedKind};

/// Of routing data: the data of a version is the largest value, and both keys in one transaction the largest reply.
/// An address has at most 260 bytes.
const ROUTING: Bounds = Bounds {
    value: MAX_PACKED_BYTES,
    field: 4096,
    reply: MAX_PACKED_BYTES,
    emptied: false,
};
/// Of one assignment at a time. What is counted of a question under way includes its answer.
const ASSIGNMENTS: Bounds = Bounds {
    value: 512,
    field: 512,
    reply: 64 * 1024,
    emptied: false,
};
/// Of notifications, a line of whose text is kept. One without a text concerns everything.
const NOTIFICATIONS: Bounds = Bounds {
    value: 4096,
    field: 4096,
    reply: 16 * 1024,
    emptied: true,
};

/// A host and a port.
pub(super) type Address = (String, u16);

/// Addresses and credentials of Redis.
#[derive(Debug, Clone)]
pub struct Server {
    pub(super) url: RedisUrl,
    pub(super) sentinel_password: Option<Secret>,
    ca: Option<PathBuf>,
    timeout: Duration,
    bounds: Bounds,
}

/// A connection for commands, with its server.
pub struct Connected {
    /// For commands; its clones share it.
    pub commands: MultiplexedConnection,
    settings: RedisConnectionInfo,
    pub(super) address: Address,
    _driver: Driver,
}

/// The task that moves a connection's bytes; it ends with the connection, whatever is still awaited.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connected {
    /// Adds the server's address to an error of this connection.
    pub(super) fn says(&self, why: &str) -> String {
        format!("redis: {}: {why}", show_server(&self.address))
    }
}

impl Server {
    /// Takes the configuration, for routing data; `redis.username` and `redis.password` override those of the URL.
    pub fn new(config: &config::Redis) -> Server {
        install_crypto();
        let mut url = config.url.clone();
        url.username = config.username.clone().or(url.username);
        url.password = config.password.clone().or(url.password);
        Server {
            url,
            sentinel_password: config.sentinel_password.clone(),
            ca: config.ca.clone(),
            timeout: config.timeout,
            bounds: ROUTING,
        }
    }

    /// Takes the configuration, for assignments.
    pub fn for_assignments(config: &config::Redis) -> Server {
        Server {
            bounds: ASSIGNMENTS,
            ..Server::new(config)
        }
    }

    /// Returns the timeout of each command and of each attempt to connect.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the number of the database.
    pub fn database(&self) -> u32 {
        self.url.database
    }

    /// Returns true if sentinels name the master.
    pub fn has_sentinels(&self) -> bool {
        self.url.service.is_some()
    }

    /// Returns the URL with its password masked.
    pub fn shown(&self) -> String {
        self.url.to_string()
    }

    /// Connects for commands: to the server, or to the master by the word of the sentinels and its own.
    ///
    /// # Errors
    /// The connection failed; the text is one line without any password.
    pub async fn connect(&self) -> Result<Connected, String> {
        match &self.url.service {
            None => {
                let address = self.url.servers[0].clone();
                let connected = self.connect_to(&address).await;
                connected.map_err(|error| format!("{}: {error}", show_server(&address)))
            }
            Some(service) => self.connect_to_master(service).await,
        }
    }

    /// Connects to the same server for subscriptions.
    ///
    /// # Errors
    /// The connection failed; the text is one line.
    pub async fn subscriber(&self, to: &Connected) -> Result<PubSub, String> {
        let tls = self.tls()?;
        let subscriber = async {
            let stream = dial(&to.address, tls, NOTIFICATIONS).await?;
            PubSub::new(&to.settings, stream).await
        };
        let subscriber = self.in_time(subscriber).await;
        subscriber.map_err(|error| format!("{}: {error}", show_server(&to.address)))
    }

    /// Waits for an answer, at most `redis.timeout`.
    ///
    /// # Errors
    /// Redis refused, or did not answer in time.
    pub async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, String> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Err(error)) if !error.is_timeout() => Err(explain(error)),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(format!("timed out after {:?}", self.timeout)),
        }
    }

    pub(super) async fn connect_to(&self, address: &Address) -> Result<Connected, String> {
        let settings = RedisConnectionInfo::default()
            // Users that may only read must not need to be granted this too.
            .set_skip_set_lib_name()
            .set_db(i64::from(self.url.database));
        let settings = with_credentials(settings, &self.url.username, &self.url.password);
        self.open(address, settings).await
    }

    pub(super) async fn open(
        &self,
        address: &Address,
        settings: RedisConnectionInfo,
    ) -> Result<Connected, String> {
        let tls = self.tls()?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(self.timeout));
        let opened = async {
            let stream = dial(address, tls, self.bounds).await?;
            MultiplexedConnection::new_with_config(&settings, stream, config).await
        };
        let (commands, driver) = self.in_time(opened).await?;
        Ok(Connected {
            commands,
            settings,
            address: address.clone(),
            _driver: Driver(tokio::spawn(driver)),
        })
    }

    /// Makes the configuration of TLS; none without. The CA is read again each time, so that it can be replaced.
    fn tls(&self) -> Result<Option<Arc<ClientConfig>>, String> {
        let wanted = self.url.tls.then(|| tls(self.ca.as_deref()));
        wanted.transpose()
    }

    /// Checks that commands are answered, with sentinels by a master.
    ///
    /// # Errors
    /// The connection must be given up.
    pub async fn is_alive(&self, connected: &Connected) -> Result<(), String> {
        let alive = match self.has_sentinels() {
            true => self.is_master(connected).await,
            false => {
                let mut commands = connected.commands.clone();
                let ping = redis::cmd("PING");
                let ping = ping.exec_async(&mut commands);
                self.in_time(async { permitted(ping.await, ()) }).await
            }
        };
        alive.map_err(|error| format!("{}: {error}", show_server(&connected.address)))
    }

    pub(super) async fn is_master(&self, connected: &Connected) -> Result<(), String> {
        let mut commands = connected.commands.clone();
        let role = redis::cmd("ROLE");
        let role = role.query_async(&mut commands);
        let role = async { permitted(role.await, redis::Value::Nil) };
        let role = self.in_time(role).await?;
        match role {
            redis::Value::Array(parts) => match parts.first() {
                Some(redis::Value::BulkString(name)) if name == b"master" => Ok(()),
                _ => Err("no longer the master".to_owned()),
            },
            // A user who may not ask gets its notice from the sentinels, which cut it off.
            _ => Ok(()),
        }
    }
}

/// Replaces a refusal by `otherwise`: a server that refuses a command to this user is alive.
fn permitted<T>(answer: Result<T, RedisError>, otherwise: T) -> Result<T, RedisError> {
    match answer {
        Err(error) if error.code() == Some("NOPERM") => Ok(otherwise),
        answer => answer,
    }
}

pub(super) fn with_credentials(
    settings: RedisConnectionInfo,
    username: &Option<String>,
    password: &Option<Secret>,
) -> RedisConnectionInfo {
    let settings = match username {
        Some(username) => settings.set_username(username),
        None => settings,
    };
    match (username, password) {
        (_, Some(password)) => settings.set_password(password.expose()),
        // Without a password the crate would not name the user either.
        (Some(_), None) => settings.set_password(""),
        (None, None) => settings,
    }
}

/// Installs the process-wide implementation of algorithms that rustls requires.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Refused where somebody has chosen already; then theirs is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Makes the refusal of a key whose value, or one of its values, was not read.
pub(super) fn too_large(key: &str, error: RedisError) -> Refused {
    Refused {
        kind: RefusedKind::Mistaken,
        lines: vec![format!("redis key {key}: {}", explain(error))],
    }
}

/// Formats an error of Redis in one line.
pub(super) fn explain(error: RedisError) -> String {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "authentication failed: wrong user or password".to_owned();
    }
    let said = |code: &str, detail: Option<&str>| match detail {
        Some(detail) if code == TOO_LARGE => format!("too large: {detail}"),
        Some(detail) => format!("{code} {detail}"),
        None => code.to_owned(),
    };
    let first = error.clone().into_server_errors();
    let text = match first.as_deref().and_then(<[_]>::first) {
        Some((_, error)) => said(error.code(), error.details()),
        None => match error.code() {
            Some(code) => said(code, error.detail()),
            None => error.to_string(),
        },
    };
    let cure = match text.split(' ').next() {
        // Redis Cluster: a transaction has keys of one slot only.
        Some("CROSSSLOT") => {
            "; set redis.prefix to one with a hash tag, for example {game-gateway}:, so that both keys are in one \
             slot"
        }
        Some("MOVED") => "; set redis.url to that master of the cluster",
        _ => "",
    };
    text.replace(['\r', '\n'], " ") + cure
}
