//! The metric families of endpoints.

use super::family::{
    Family,
    Source::{Counter, Status},
    family,
};

pub(super) const FAMILIES: [Family; 6] = [
    family(
        "endpoints_down",
        "Endpoints that cannot be reached though no operator has taken them out, and names that do not resolve, each by service",
        Status(|s| s.endpoints.down),
    ),
    family(
        "endpoints_suspect",
        "Endpoints in service whose PONG is overdue and that send nothing else, each by service",
        Status(|s| s.endpoints.suspect),
    ),
    family(
        "endpoints_breaker_open",
        "Endpoints in service whose breaker is open, because they fail again and again or end new sessions with errors, each by service",
        Status(|s| s.endpoints.open),
    ),
    family(
        "binding_retries",
        "Times that a session tried another endpoint, because one could not be reached",
        Counter(|m| m.retries.get()),
    ),
    family(
        "refused_binding_retries",
        "Times that a session might not, because the service's budget of retries was spent",
        Counter(|m| m.refused_retries.get()),
    ),
    family(
        "maintenance_ended_sessions",
        "Sessions of backends that were ended, because an operator put the backend in maintenance",
        Counter(|m| m.maintenance_ended.get()),
    ),
];
