//! Status of the gateway and its readiness for new sessions.

use std::sync::Arc;

use actix::MessageResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actors::backend_pool::EndpointCounts;
use crate::actors::config_watcher::RoutesLoaded;
use crate::actors::peers::PeerCounts;
use crate::memory::Pressure;
use crate::net::tls::TlsSnapshot;
use crate::store::pod::PodCounts;
use crate::telemetry::SpanCounts;

/// Status of the gateway.
#[derive(Debug, Clone, MessageResponse)]
pub struct StatusSnapshot {
    /// Stage of its life.
    pub state: State,
    /// Newest state of the routing data; `None` before the first attempt to load it.
    pub routes: Option<RoutesLoaded>,
    /// Present connections.
    pub connections: usize,
    /// Connections that are kept only to be told that they are not served.
    pub refusals: usize,
    /// Largest number of connections served at once.
    pub peak: usize,
    /// Limit of connections served at once.
    pub limit: usize,
    /// Suspended sessions.
    pub suspended: usize,
    /// Sessions that other gateways have taken over.
    pub handed_over: u64,
    /// State of the TLS files.
    pub tls: TlsSnapshot,
    /// Counters of the peer channel.
    pub peers: Arc<PeerCounts>,
    /// What is done about the memory that is held.
    pub memory: Pressure,
    /// Endpoints that new sessions avoid.
    pub endpoints: EndpointCounts,
    /// Counters of updates of the pod deletion cost.
    pub pod: Arc<PodCounts>,
    /// Counts of spans for a collector.
    pub spans: SpanCounts,
}

impl StatusSnapshot {
    /// Returns the reasons why no new session should come here; empty if ready.
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
        if self.memory >= Pressure::Sessions {
            reasons.push("memory");
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
    /// Returns the name used in the admin API and metrics.
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
