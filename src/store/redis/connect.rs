//! Connects to the server, or through sentinels to the master. Every step has a timeout, and no
//! connection repairs itself: whoever uses one sees that it is gone.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, TlsCertificates,
};

use crate::config::redis_url::show_server;
use crate::config::{self, RedisUrl, Secret};

/// A host and a port.
type Address = (String, u16);

/// Where Redis is and how to be let in.
#[derive(Debug, Clone)]
pub struct Server {
    url: RedisUrl,
    sentinel_password: Option<Secret>,
    ca: Option<PathBuf>,
    timeout: Duration,
}

/// A connection for commands, and what else to know of it.
#[derive(Clone)]
pub struct Connected {
    /// For commands; clones share it.
    pub commands: MultiplexedConnection,
    client: Client,
    address: Address,
}

impl Server {
    /// As configured; `redis.username` and `redis.password` go before what the URL has.
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

    /// How long each command, and each attempt to connect, may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The number of the database.
    pub fn database(&self) -> u32 {
        self.url.database
    }

    /// Whether sentinels say where the master is.
    pub fn has_sentinels(&self) -> bool {
        self.url.service.is_some()
    }

    /// The URL for everybody to see.
    pub fn shown(&self) -> String {
        self.url.to_string()
    }

    /// A connection for commands: to the server, or to what the sentinels and it itself say is the
    /// master.
    ///
    /// # Errors
    /// Why there is none, in one line without any password.
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

    /// A connection for subscriptions, to the same server.
    ///
    /// # Errors
    /// Why there is none, in one line.
    pub async fn subscriber(&self, to: &Connected) -> Result<PubSub, String> {
        let subscriber = self.in_time(to.client.get_async_pubsub()).await;
        subscriber.map_err(|error| format!("{}: {error}", show_server(&to.address)))
    }

    /// Waits at most `redis.timeout`, and puts what Redis says in plain words.
    ///
    /// # Errors
    /// What Redis said, or that it said nothing.
    pub async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, String> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.map_err(explain),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }

    async fn connect_to(&self, address: &Address) -> Result<Connected, String> {
        let settings = RedisConnectionInfo::default()
            // Users that may only read must not need to be granted this too.
            .set_skip_set_lib_name()
            .set_db(i64::from(self.url.database));
        let settings = with_credentials(settings, &self.url.username, &self.url.password);
        self.open(address, settings).await
    }

    async fn open(
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

    /// What the crate needs to connect. The CA is read anew each time, so that it can be replaced.
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
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(pem),
        };
        Client::build_with_tls(info, certificates).map_err(|error| wrong(explain(error)))
    }

    /// Asks all sentinels at once and goes where the first of them is right: after a failover, one
    /// that was cut off may still name the old master.
    async fn connect_to_master(&self, service: &str) -> Result<Connected, String> {
        let asked = self.url.servers.iter().map(|sentinel| async move {
            let answer = self.ask_sentinel(sentinel, service).await;
            (sentinel, answer)
        });
        let mut answers: FuturesUnordered<_> = asked.collect();
        let mut tried = Vec::new();
        let mut errors = Vec::new();
        while let Some((sentinel, answer)) = answers.next().await {
            let address = match answer {
                Ok(address) if tried.contains(&address) => continue,
                Ok(address) => address,
                Err(error) => {
                    errors.push(format!("sentinel {}: {error}", show_server(sentinel)));
                    continue;
                }
            };
            let connected = match self.connect_to(&address).await {
                Ok(connected) => self.is_master(&connected).await.map(|()| connected),
                Err(error) => Err(error),
            };
            match connected {
                Ok(connected) => return Ok(connected),
                Err(error) => errors.push(format!("{}: {error}", show_server(&address))),
            }
            tried.push(address);
        }
        errors.sort();
        Err(format!("no master {service}: {}", errors.join("; ")))
    }

    async fn ask_sentinel(&self, sentinel: &Address, service: &str) -> Result<Address, String> {
        let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        let settings = with_credentials(settings, &None, &self.sentinel_password);
        let mut sentinel = self.open(sentinel, settings).await?.commands;
        let mut question = redis::cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(service);
        let answer = self.in_time(question.query_async(&mut sentinel)).await?;
        let address: Option<Address> = answer;
        address.ok_or_else(|| format!("knows no service {service}"))
    }

    /// Whether commands are answered; with sentinels, whether by a master.
    ///
    /// # Errors
    /// Why this connection is to be given up.
    pub async fn is_alive(&self, connected: &Connected) -> Result<(), String> {
        let alive = match self.has_sentinels() {
            true => self.is_master(connected).await,
            false => {
                let mut commands = connected.commands.clone();
                let ping = redis::cmd("PING").exec_async(&mut commands).await;
                permitted(ping, ()).map_err(explain)
            }
        };
        alive.map_err(|error| format!("{}: {error}", show_server(&connected.address)))
    }

    async fn is_master(&self, connected: &Connected) -> Result<(), String> {
        let mut commands = connected.commands.clone();
        let role = redis::cmd("ROLE").query_async(&mut commands).await;
        let role = permitted(role, redis::Value::Nil).map_err(explain)?;
        match role {
            redis::Value::Array(parts) => match parts.first() {
                Some(redis::Value::BulkString(name)) if name == b"master" => Ok(()),
                _ => Err("is no longer the master".to_owned()),
            },
            // A user who may not ask gets its notice from the sentinels, which cut it off.
            _ => Ok(()),
        }
    }
}

/// A server that refuses a command to this user is alive all the same.
fn permitted<T>(answer: Result<T, RedisError>, otherwise: T) -> Result<T, RedisError> {
    match answer {
        Err(error) if error.code() == Some("NOPERM") => Ok(otherwise),
        answer => answer,
    }
}

fn with_credentials(
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

/// rustls wants to be told once a process which implementation of its algorithms to take.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Refused where somebody has chosen already; then theirs is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// What Redis said, in one line.
pub(super) fn explain(error: RedisError) -> String {
    let text = match error.clone().into_server_errors() {
        Some(errors) => match errors.first() {
            Some((_, first)) => first.to_string(),
            None => error.to_string(),
        },
        None => error.to_string(),
    };
    text.replace(['\r', '\n'], " ")
}
