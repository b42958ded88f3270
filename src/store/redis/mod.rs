//! Routing data in Redis (protocol section 4). No actors.
//!
//! * [`assign`]: assignments of users, read one by one.
//! * `bounded`, `dial`: streams whose replies keep within bounds.
//! * [`change`]: what is there is replaced, and the history with it.
//! * [`connect`]: to the server, or through sentinels to the master.
//! * [`document`]: the routes file that is the same as both keys.
//! * [`pieces`]: both keys, read in pieces, where they have changed.
//! * [`mod@read`]: both keys, read in one transaction.
//! * [`mod@follow`]: a subscription that is kept alive, and its events.
//! * [`versions`]: the history, and the data of each version.
//! * [`write`](mod@write): everything written and notified in one transaction.

use crate::routing::Parsed;
use crate::store::Refused;

pub mod assign;
mod bounded;
pub mod change;
pub mod connect;
mod dial;
pub mod document;
pub mod follow;
pub mod pieces;
pub mod read;
mod sentinel;
pub mod versions;
pub mod write;

pub use change::{Current, Note};
pub use connect::Server;
pub use document::Document;
pub use follow::{Channels, News, Notification, follow};
pub use read::{Documents, Gathered, read};
pub use versions::{Index, Origin, Version};

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
    /// A string: the index of the history.
    pub history: String,
    /// What the key of a service's assignments begins with: a hash, user id to `host:port`.
    pub assignments: String,
}

impl Keys {
    /// Makes the names under `prefix`, for example `game-gateway:`.
    pub fn new(prefix: &str) -> Keys {
        Keys {
            rules: format!("{prefix}routing:rules"),
            realms: format!("{prefix}realm:mapping"),
            history: format!("{prefix}routing:history"),
            assignments: format!("{prefix}assign:"),
        }
    }

    /// Returns the key with the data of a version.
    pub fn version(&self, number: u64) -> String {
        format!("{}:{number}", self.history)
    }

    /// Returns the key with the assignments of a service.
    pub fn assignments_of(&self, service: &str) -> String {
        format!("{}{service}", self.assignments)
    }

    /// Returns the channels on which writers announce changes of the routing data.
    pub fn notify_channels(&self) -> [String; 2] {
        [&self.rules, &self.realms].map(|key| format!("{key}:notify"))
    }

    /// Returns all channels that tell of them.
    pub fn routing_channels(&self, database: u32) -> Channels {
        Channels::of([&self.rules, &self.realms], database)
    }
}
