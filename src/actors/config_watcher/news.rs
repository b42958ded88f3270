//! News from the watcher to the gateway.

use std::sync::Arc;
use std::time::SystemTime;

use actix::prelude::*;

use super::changes::Changes;
use crate::routing::RouteTable;
use crate::store::RefusedKind;
use crate::store::redis::{Index, Version};

/// State of the routing data, sent after each attempt to load it and when its source comes or goes.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "()")]
pub struct RoutesLoaded {
    /// The version in force; 0: none yet.
    pub version: u64,
    /// Number of its services.
    pub services: usize,
    /// Why the newest data is not in force, if it is not.
    pub error: Option<Arc<str>>,
    /// Kind of `error`; there with it.
    pub error_kind: Option<RefusedKind>,
    /// Since when; there with `error`.
    pub error_at: Option<SystemTime>,
    /// What the writer of the data that is refused says of itself.
    pub error_by: Option<Arc<str>>,
    /// Number of times that data was refused because it could not be read.
    pub unreadable: u64,
    /// Number of times that data was refused because of mistakes in it.
    pub mistaken: u64,
    /// Where the data comes from, without passwords: `file config/routes.json`, or
    /// `redis redis://host:6379/0 prefix game-gateway:`.
    pub source: Arc<str>,
    /// The table in force.
    pub table: Option<Arc<RouteTable>>,
    /// The version in the history of Redis that it is; none: it was written in another way, or is a file.
    pub recorded: Option<Arc<Version>>,
    /// That history, as it was when the data was read.
    pub history: Arc<Index>,
    /// What has come in force lately.
    pub changes: Arc<Changes>,
    /// Since when it is.
    pub loaded_at: Option<SystemTime>,
    /// Changes are noticed at once: the directory is watched, Redis subscribed.
    pub watching: bool,
    /// The source is Redis and the subscription is there.
    pub redis_connected: bool,
    /// Number of reads of the source, with or without success.
    pub loads: u64,
    /// Number of times that the subscription to Redis was lost and restored.
    pub reconnects: u64,
    /// Notifications that have come from the source.
    pub notifications: u64,
}
