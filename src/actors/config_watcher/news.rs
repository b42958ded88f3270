//! What the watcher tells the gateway.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use actix::prelude::*;

use crate::routing::{EndpointName, RouteTable};
use crate::store::RefusedKind;

/// How the routing data is: after each attempt to load it, and when its source comes or goes.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "()")]
pub struct RoutesLoaded {
    /// The version in force; 0: none yet.
    pub version: u64,
    /// How many services it has.
    pub services: usize,
    /// Why the newest data is not in force, if it is not.
    pub error: Option<Arc<str>>,
    /// Whose fault that is; there with `error`.
    pub error_kind: Option<RefusedKind>,
    /// Since when; there with `error`.
    pub error_at: Option<SystemTime>,
    /// How often data was refused because it could not be read.
    pub unreadable: u64,
    /// How often data was refused because of mistakes in it.
    pub mistaken: u64,
    /// Where the data comes from, without passwords: `file config/routes.json`, or
    /// `redis redis://host:6379/0 prefix game-gateway:`.
    pub source: Arc<str>,
    /// The table in force.
    pub table: Option<Arc<RouteTable>>,
    /// What its names have been resolved to.
    pub addresses: Arc<BTreeMap<EndpointName, Vec<SocketAddr>>>,
    /// Since when it is.
    pub loaded_at: Option<SystemTime>,
    /// Whether changes are heard of at once: the directory is watched, Redis subscribed.
    pub watching: bool,
    /// Whether the source is Redis and the subscription is there.
    pub redis_connected: bool,
    /// How often the source was read, with or without success.
    pub loads: u64,
    /// How often the subscription to Redis was lost and there again.
    pub reconnects: u64,
    /// Notifications that have come from the source.
    pub notifications: u64,
}
