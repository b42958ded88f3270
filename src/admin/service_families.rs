//! The metric families with labels of services and endpoints, and what stays of the labels where there are too
//! many.

use std::sync::Arc;

use super::family::{
    Family,
    Source::{
        EndpointGauge, EndpointStates, LinkTotal, ServiceCounter, ServiceSessions, ServiceTiming,
    },
    family,
};
use crate::inspection::BackendSnapshot;
use crate::labels::Label;
use crate::metrics::{OTHER_SERVICES, ServiceSums};

/// Endpoints with figures of their own, the first ones by service and address. The others are summed up.
pub(super) const MAX_ENDPOINTS: usize = 200;

pub(super) const FAMILIES: [Family; 20] = [
    family(
        "link_in_frames",
        "Frames from backends",
        LinkTotal(|s| s.frames_in),
    ),
    family(
        "link_out_frames",
        "Frames to backends",
        LinkTotal(|s| s.frames_out),
    ),
    family(
        "link_in_bytes",
        "Bytes read from backends",
        LinkTotal(|s| s.bytes_in),
    ),
    family(
        "link_out_bytes",
        "Bytes written to backends",
        LinkTotal(|s| s.bytes_out),
    ),
    family(
        "service_in_frames",
        "Frames from backends, by service",
        ServiceCounter(|s| s.frames_in),
    ),
    family(
        "service_out_frames",
        "Frames to backends, by service",
        ServiceCounter(|s| s.frames_out),
    ),
    family(
        "service_in_bytes",
        "Bytes read from backends, by service",
        ServiceCounter(|s| s.bytes_in),
    ),
    family(
        "service_out_bytes",
        "Bytes written to backends, by service",
        ServiceCounter(|s| s.bytes_out),
    ),
    family(
        "service_connect_failures",
        "Attempts to connect to a backend that ended before its first PONG, by service",
        ServiceCounter(|s| s.connect_failures),
    ),
    family(
        "service_first_answer_seconds",
        "Time from a session's OPEN to the first DATA of the backend, by service",
        ServiceTiming(|s| &s.first_answer),
    ),
    family(
        "service_answer_seconds",
        "Time from a sampled frame of a player to the next DATA of the backend for that player, by service",
        ServiceTiming(|s| &s.answer),
    ),
    family(
        "service_sessions",
        "Sessions that are bound to endpoints now, by service",
        ServiceSessions,
    ),
    family(
        "endpoint_sessions",
        "Sessions that are bound to an endpoint now",
        EndpointGauge(|e| Some(e.sessions as f64)),
    ),
    family(
        "endpoint_rtt_seconds",
        "Round trip of the newest PING on an endpoint's slowest link, or the age of the oldest unanswered one",
        EndpointGauge(|e| e.rtt_us.map(seconds)),
    ),
    family(
        "endpoint_ping_age_seconds",
        "Age of an endpoint's oldest unanswered PING; 0: all are answered",
        EndpointGauge(|e| Some(e.ping_age_us.map_or(0.0, seconds))),
    ),
    family(
        "endpoint_awaited_seconds",
        "For how long DATA for a player has been awaited behind a sampled frame of theirs; 0: it is not",
        EndpointGauge(|e| Some(e.awaited_us.map_or(0.0, seconds))),
    ),
    family(
        "endpoint_slow",
        "1 while an endpoint answers players later than its service does usually",
        EndpointGauge(|e| Some(e.slow as f64)),
    ),
    family(
        "endpoint_health",
        "1 for the health that an endpoint has",
        EndpointStates(|e| &e.health),
    ),
    family(
        "endpoint_breaker",
        "1 for the state that an endpoint's breaker is in",
        EndpointStates(|e| &e.breaker),
    ),
    family(
        "endpoint_operator_state",
        "1 for the state that operators have put an endpoint in",
        EndpointStates(|e| &e.operator),
    ),
];

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Endpoints in each state that there are any in.
type States = Vec<(&'static str, u64)>;

/// One endpoint of a service, or all those that have no figures of their own.
#[derive(Debug, Clone)]
pub(super) struct EndpointFigures {
    pub(super) service: String,
    pub(super) endpoint: String,
    pub(super) sessions: u64,
    /// The largest.
    pub(super) rtt_us: Option<u64>,
    /// The largest.
    pub(super) ping_age_us: Option<u64>,
    /// The largest.
    pub(super) awaited_us: Option<u64>,
    /// Endpoints that are slow.
    pub(super) slow: u64,
    pub(super) health: States,
    pub(super) breaker: States,
    pub(super) operator: States,
}

impl EndpointFigures {
    fn of(row: &BackendSnapshot) -> EndpointFigures {
        EndpointFigures {
            service: row.service.clone(),
            endpoint: row.endpoint.clone(),
            sessions: row.sessions,
            rtt_us: row.rtt_us,
            ping_age_us: row.ping_age_us,
            awaited_us: row.awaited_us,
            slow: u64::from(row.slow.is_some()),
            health: vec![(row.health.label(), 1)],
            breaker: vec![(row.breaker.label(), 1)],
            operator: vec![(row.operator_state.label(), 1)],
        }
    }

    fn add(&mut self, other: EndpointFigures) {
        self.sessions += other.sessions;
        self.rtt_us = self.rtt_us.max(other.rtt_us);
        self.ping_age_us = self.ping_age_us.max(other.ping_age_us);
        self.awaited_us = self.awaited_us.max(other.awaited_us);
        self.slow += other.slow;
        add_states(&mut self.health, other.health);
        add_states(&mut self.breaker, other.breaker);
        add_states(&mut self.operator, other.operator);
    }
}

fn add_states(sums: &mut States, others: States) {
    for (state, n) in others {
        match sums.iter_mut().find(|(known, _)| *known == state) {
            Some((_, sum)) => *sum += n,
            None => sums.push((state, n)),
        }
    }
}

/// Figures by service and endpoint.
#[derive(Debug, Default)]
pub(super) struct ServiceFigures {
    pub(super) services: Vec<(Arc<str>, ServiceSums)>,
    /// Sessions of each of these.
    pub(super) sessions: Vec<u64>,
    pub(super) endpoints: Vec<EndpointFigures>,
}

impl ServiceFigures {
    /// `rows` are sorted by service and address, `services` end with [`OTHER_SERVICES`].
    pub(super) fn new(
        services: Vec<(Arc<str>, ServiceSums)>,
        rows: &[BackendSnapshot],
    ) -> ServiceFigures {
        let mut sessions = vec![0; services.len()];
        for row in rows {
            let own = services.iter().position(|(name, _)| **name == *row.service);
            if let Some(sum) = sessions.get_mut(own.unwrap_or(services.len().saturating_sub(1))) {
                *sum += row.sessions;
            }
        }
        let mut figures = rows.iter().map(EndpointFigures::of);
        let mut endpoints: Vec<_> = figures.by_ref().take(MAX_ENDPOINTS).collect();
        if let Some(mut others) = figures.next() {
            figures.for_each(|figures| others.add(figures));
            others.service = OTHER_SERVICES.to_owned();
            others.endpoint = OTHER_SERVICES.to_owned();
            endpoints.push(others);
        }
        ServiceFigures {
            services,
            sessions,
            endpoints,
        }
    }
}
