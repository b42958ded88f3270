//! How the gateway is: its state, and whether new sessions should come.

use std::sync::Arc;

use actix::MessageResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actors::config_watcher::RoutesLoaded;
use crate::actors::peers::PeerCounts;
use crate::net::tls::TlsSnapshot;
use crate::store::pod::PodCounts;

/// How the gateway is.
#[derive(Debug, Clone, MessageResponse)]
pub struct StatusSnapshot {
    /// Where it is in its life.
    pub state: State,
    /// The newest news of the routes; `None` before there are any.
    pub routes: Option<RoutesLoaded>,
    /// Connections now.
    pub connections: usize,
    /// The most at a time.
    pub peak: usize,
    /// How many are served at a time.
    pub limit: usize,
    /// Sessions that wait for their player.
    pub suspended: usize,
    /// Sessions that other gateways have taken over.
    pub handed_over: u64,
    /// How TLS is.
    pub tls: TlsSnapshot,
    /// What was said to and by other gateways.
    pub peers: Arc<PeerCounts>,
    /// What Kubernetes was told of this pod.
    pub pod: Arc<PodCounts>,
}

impl StatusSnapshot {
    /// Why no new session should come here; empty when it should.
    pub fn reasons_not_ready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        match self.state {
            State::Serving => {}
            State::Draining | State::Refusing | State::Drained | State::Closing => {
                reasons.push("draining");
            }
        }
        match &self.routes {
            None => reasons.push("starting"),
            Some(routes) if routes.version == 0 => reasons.push("no routes yet"),
            Some(_) => {}
        }
        if self.connections >= self.limit {
            reasons.push("full");
        }
        reasons
    }
}

/// Where the gateway is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Sessions come and go.
    Serving,
    /// Not ready any more, but newcomers are still served: load balancers take time to notice.
    Draining,
    /// No session starts; the others go on.
    Refusing,
    /// No session starts, and nobody is left but newcomers that are told so. The process stays.
    Drained,
    /// The clients that were left are being cut off, and the links flushed.
    Closing,
}

impl State {
    /// The name, as the admin API and metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            State::Serving => "serving",
            State::Draining => "draining",
            State::Refusing => "refusing",
            State::Drained => "drained",
            State::Closing => "closing",
        }
    }
}
