//! Connects to the server, or through sentinels to the master. Every step has a timeout, and no
//! connection repairs itself, so that its user notices the loss and reads everything again.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, TlsCertificates,
};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::redis_url::show_server;
use crate::config::{self, RedisUrl, Secret};

/// A host and a port.
pub(super) type Address = (String, u16);

/// Addresses and credentials of Redis.
#[derive(Debug, Clone)]
pub struct Server {
    pub(super) url: RedisUrl,
    pub(super) sentinel_password: Option<Secret>,
    ca: Option<PathBuf>,
    timeout: Duration,
}

/// A connection for commands, with its server.
pub struct Connected {
    /// For commands; its clones share it.
    pub commands: MultiplexedConnection,
    client: Client,
    pub(super) address: Address,
}

impl Connected {
    /// Adds the server's address to an error of this connection.
    pub(super) fn says(&self, why: &str) -> String {
        format!("redis: {}: {why}", show_server(&self.address))
    }
}

impl Server {
    /// Takes the configuration; `redis.username` and `redis.password` override those of the URL.
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
        let subscriber = self.in_time(to.client.get_async_pubsub()).await;
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
        let client = self.client(address, settings)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let commands = client.get_multiplexed_async_connection_with_config(&config);
        Ok(Connected {
            commands: self.in_time(commands).await?,
            client,
            address: address.clone(),
        })
    }

    /// Makes the crate's client. The CA is read again each time, so that it can be replaced.
    fn client(
        &self,
        (host, port): &Address,
        settings: RedisConnectionInfo,
    ) -> Result<Client, String> {
        let address = match self.url.tls {
            false => ConnectionAddr::Tcp(host.clone(), *port),
            true => ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
        };
        let info = address.into_connection_info().map_err(explain)?;
        let info = info.set_redis_settings(settings);
        let Some(ca) = &self.ca else {
            return Client::open(info).map_err(explain);
        };
        let wrong = |why: String| format!("redis.ca {}: {why}", ca.display());
        let pem = std::fs::read(ca).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        if CertificateDer::pem_slice_iter(&pem).next().is_none() {
            return Err(wrong("no certificate found, expected PEM".to_owned()));
        }
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(pem),
        };
        Client::build_with_tls(info, certificates).map_err(|error| wrong(explain(error)))
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

/// Formats an error of Redis in one line.
pub(super) fn explain(error: RedisError) -> String {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "authentication failed: wrong user or password".to_owned();
    }
    let said = |code: &str, detail: Option<&str>| match detail {
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
