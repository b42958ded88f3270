//! Kinds of actors.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The kinds of actors.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The root.
    Gateway,
    /// Reads and watches the routing data.
    ConfigWatcher,
    /// Reads users' assignments in Redis, where the routing data is there.
    AssignmentReader,
    /// Reads and watches the files of TLS, where it is configured.
    CertificateWatcher,
    /// Speaks to the other gateways of the deployment, where that is configured.
    Peers,
    /// One thread with its share of the listener.
    Worker,
    /// A shard of the sessions.
    SessionRegistry,
    /// Answers where a session goes.
    Router,
    /// One worker's links to one endpoint of one service.
    BackendPool,
    /// One multiplexed connection to a backend.
    Link,
    /// One connection of a player.
    Client,
}

impl Kind {
    /// All kinds, parents first.
    pub const ALL: [Kind; 11] = [
        Kind::Gateway,
        Kind::ConfigWatcher,
        Kind::AssignmentReader,
        Kind::CertificateWatcher,
        Kind::Peers,
        Kind::Worker,
        Kind::SessionRegistry,
        Kind::Router,
        Kind::BackendPool,
        Kind::Link,
        Kind::Client,
    ];

    /// Returns why actors of this kind are not restarted by hand; `None`: they are, for nothing is lost by it.
    pub fn restart_refused(self) -> Option<&'static str> {
        match self {
            Kind::ConfigWatcher
            | Kind::AssignmentReader
            | Kind::CertificateWatcher
            | Kind::Router
            | Kind::BackendPool => None,
            Kind::Gateway => Some("it is the root: the process would end; drain it instead"),
            Kind::Peers => Some("resumes that just ask another gateway would find a gap"),
            Kind::Worker => Some("connections that just come to it would be lost"),
            Kind::SessionRegistry => Some(
                "frames that it just passes on, from links that sessions have left, would be lost",
            ),
            Kind::Link => Some("its sessions would lose their service; restart its pool instead"),
            Kind::Client => Some("its session would end; that is what a kick does"),
        }
    }

    /// Returns the name used in ids, metrics and the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Gateway => "gateway",
            Kind::ConfigWatcher => "config_watcher",
            Kind::AssignmentReader => "assignment_reader",
            Kind::CertificateWatcher => "certificate_watcher",
            Kind::Peers => "peers",
            Kind::Worker => "worker",
            Kind::SessionRegistry => "session_registry",
            Kind::Router => "router",
            Kind::BackendPool => "backend_pool",
            Kind::Link => "link",
            Kind::Client => "client",
        }
    }
}
