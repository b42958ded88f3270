//! Routing data in Redis (protocol section 4). No actors.
//!
//! * [`connect`]: to the server, or through sentinels to the master.
//! * [`pieces`]: both keys, read in pieces, where they have changed.
//! * [`mod@read`]: both keys, read in one transaction.
//! * [`mod@follow`]: a subscription that is kept alive, and its events.
//! * [`write`](mod@write): both keys replaced and notified in one transaction.

use crate::routing::Parsed;
use crate::store::Refused;

pub mod connect;
pub mod follow;
pub mod pieces;
pub mod read;
mod sentinel;
pub mod write;

pub use connect::Server;
pub use follow::{News, follow};
pub use read::{Documents, Gathered, read};

/// Connects, reads both documents and checks them, once.
///
/// # Errors
/// Redis does not answer or refuses, there are no rules, or they have mistakes, all of which are returned.
pub async fn load(server: &Server, keys: &Keys) -> Result<Parsed, Refused> {
    let connected = server.connect().await;
    let connected = connected.map_err(|why| Refused::unreadable(format!("redis: {why}")))?;
    read(server, &connected, keys).await?.parse(keys)
}

/// The names of keys and channels under one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// A string: the rules, JSON.
    pub rules: String,
    /// A hash: realm id to `host:port`.
    pub realms: String,
}

impl Keys {
    /// Makes the names under `prefix`, for example `game-gateway:`.
    pub fn new(prefix: &str) -> Keys {
        Keys {
            rules: format!("{prefix}routing:rules"),
            realms: format!("{prefix}realm:mapping"),
        }
    }

    /// Returns the channels on which writers announce changes.
    pub fn notify_channels(&self) -> [String; 2] {
        [&self.rules, &self.realms].map(|key| format!("{key}:notify"))
    }

    /// Returns the channels of the server's keyspace notifications.
    pub fn keyspace_channels(&self, database: u32) -> [String; 2] {
        [&self.rules, &self.realms].map(|key| format!("__keyspace@{database}__:{key}"))
    }
}
