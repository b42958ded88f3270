//! The answer to a session, by the rules, the endpoints' health and what operators say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use super::{Resolve, Resolved, Router, Unresolved};
use crate::codec::code::Code;
use crate::routing::{Avoid, NoRoute, Query};
use crate::session::id::spread_retry_ms;
use crate::session::trace_id::TraceId;

/// When players whom every endpoint is too full for may come again, in milliseconds: spread over this range.
const FULL_RETRY_MS: (u32, u32) = (1000, 3000);

fn refused(code: Code, text: &'static str) -> Unresolved {
    Unresolved {
        code,
        text,
        retry_after_ms: 0,
    }
}

fn busy(text: &'static str) -> Unresolved {
    Unresolved {
        retry_after_ms: spread_retry_ms(FULL_RETRY_MS.0, FULL_RETRY_MS.1),
        ..refused(Code::UNAVAILABLE, text)
    }
}

fn unresolved(no: NoRoute) -> Unresolved {
    match no {
        NoRoute::NoRule => refused(Code::NO_ROUTE, "no such service"),
        NoRoute::NoRealm(_) => refused(Code::NO_ROUTE, "no such realm"),
        NoRoute::NotAssigned => refused(Code::NO_ROUTE, "no backend is assigned"),
        NoRoute::Unresolved => refused(Code::BAD_GATEWAY, "the backend's name has no address"),
        NoRoute::AllTried => refused(Code::BAD_GATEWAY, "no backend can be reached"),
        NoRoute::AllFull => busy("the service is over capacity"),
        NoRoute::AllWithdrawn => busy("the service's backends are in drain or maintenance"),
    }
}

impl Router {
    /// Answers where a session goes now, by all that is known of endpoints.
    pub(super) fn resolve(&mut self, msg: &Resolve) -> Result<Resolved, Unresolved> {
        let table = self.table().ok_or(Unresolved {
            code: Code::UNAVAILABLE,
            text: "no routes yet",
            retry_after_ms: 1000,
        })?;
        let query = Query {
            service: &msg.service,
            realm_id: msg.realm_id,
            user_id: msg.user_id,
            session_id: msg.session_id,
        };
        if let Some(service) = table.service(&msg.service)
            && service.require_bind
            && !msg.is_bound
        {
            return Err(Unresolved::NOT_BOUND);
        }
        let mut dead = self.dead.get(&msg.service).cloned().unwrap_or_default();
        let (mut full, mut returning) = (BTreeSet::new(), BTreeMap::new());
        let withdrawn = self.shared.limits.operator.withdrawn();
        if let Some(service) = table.service(&msg.service) {
            if !self.affords(service, msg) {
                self.scope.metrics.refused_retries.one();
                let text = "too many sessions try other backends";
                return Err(refused(Code::BAD_GATEWAY, text));
            }
            // They count as out of reach where breakers ask how many are left.
            let its = |endpoint: &SocketAddr| table.names_for(&service.name, *endpoint);
            dead.extend(withdrawn.addresses().filter(its));
            let percent = self.scope.config.backend.max_ejected_percent;
            let (book, worker) = (&self.shared.limits.health, self.scope.worker);
            returning = book.add_avoided(service, worker, percent, Instant::now(), &mut dead);
            if let Some(most) = service.max_sessions {
                full = self.shared.limits.occupancies.full(&service.name, most);
            }
        }
        let avoid = Avoid {
            tried: &msg.tried,
            full: &full,
            withdrawn: &withdrawn,
            dead: &dead,
            returning: &returning,
        };
        let route = table.resolve(&query, &avoid).map_err(unresolved)?;
        tracing::debug!(service = %msg.service, session_id = msg.session_id,
            trace_id = TraceId::of(msg.session_id).map(tracing::field::display),
            endpoint = %route.endpoint, why = %route.why, "routed");
        Ok(Resolved {
            endpoint: route.endpoint,
            max_sessions: route.service.max_sessions,
            why: route.why,
            pool: self.pool(&route.service, route.endpoint),
        })
    }
}
