//! What the pools of all workers know of endpoints, in one place: one that a worker has found dead is known to all
//! before they meet it. Control path: written when a pool's health changes, read once a session and service.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Breaker;
use super::health_entry::{Entry, News, View};
use crate::routing::ServiceRoute;
use crate::routing::health::{BreakerState, Openings, RetryBudget};

/// The book.
#[derive(Debug, Default)]
pub struct HealthBook(Mutex<HashMap<Arc<str>, Service>>);

#[derive(Debug, Default)]
struct Service {
    retries: RetryBudget,
    endpoints: HashMap<SocketAddr, Entry>,
    /// Those that somebody does not find well, or whose breaker is not closed; usually none.
    troubled: BTreeSet<SocketAddr>,
}

/// Numbers of endpoints that new sessions avoid and that no operator has taken out, each by service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointCounts {
    /// No worker reaches them.
    pub down: u64,
    /// A PONG is overdue.
    pub suspect: u64,
    /// Their breakers are open: they fail again and again.
    pub open: u64,
}

/// Returns how many of a service's endpoints may be avoided so that breakers may add to them.
pub fn ejectable(endpoints: usize, max_ejected_percent: u8) -> usize {
    endpoints * usize::from(max_ejected_percent) / 100
}

impl Service {
    /// Keeps the list of those in trouble.
    fn sort(&mut self, endpoint: SocketAddr, now: Instant) {
        let entry = self.endpoints.get(&endpoint);
        if entry.is_none_or(|entry| entry.is_well(now)) {
            self.troubled.remove(&endpoint);
        } else {
            self.troubled.insert(endpoint);
        }
    }
}

impl HealthBook {
    fn services(&self) -> MutexGuard<'_, HashMap<Arc<str>, Service>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how a worker finds an endpoint from now on. Returns what is new about it.
    pub fn report(
        &self,
        service: &Arc<str>,
        endpoint: SocketAddr,
        view: View<'_>,
        now: Instant,
    ) -> News {
        let mut services = self.services();
        let service = services.entry(Arc::clone(service)).or_default();
        let entry = service.endpoints.entry(endpoint).or_default();
        let news = entry.see(view, now);
        service.sort(endpoint, now);
        news
    }

    /// Looks at an endpoint now and then: whether it fails too many of the sessions that it was sent `so_far`, and
    /// whether it has been well for long enough to say so.
    pub fn look(
        &self,
        service: &str,
        endpoint: SocketAddr,
        so_far: Openings,
        now: Instant,
    ) -> News {
        let mut services = self.services();
        let Some(its) = services.get_mut(service) else {
            return News::default();
        };
        let Some(entry) = its.endpoints.get_mut(&endpoint) else {
            return News::default();
        };
        let window = entry.count(so_far, now).filter(|w| w.is_failing());
        let is_outlier = window.is_some_and(|window| {
            let others = its
                .endpoints
                .iter()
                .filter(|(other, _)| **other != endpoint);
            window.is_outlier(others.map(|(_, other)| other.openings()).sum())
        });
        let mut news = News::default();
        if let Some(entry) = its.endpoints.get_mut(&endpoint) {
            news.opened = is_outlier.then(|| entry.eject(now)).flatten();
            news.says_health = entry.is_well_again(now);
        }
        its.sort(endpoint, now);
        news
    }

    /// A session has come to a service; that makes room for retries.
    pub fn session_came(&self, service: &Arc<str>, now: Instant) {
        let mut services = self.services();
        let service = services.entry(Arc::clone(service)).or_default();
        service.retries.came(now);
    }

    /// Returns whether a session whose endpoint has failed may try another one.
    pub fn may_retry(&self, service: &Arc<str>, now: Instant) -> bool {
        let mut services = self.services();
        let service = services.entry(Arc::clone(service)).or_default();
        service.retries.may_retry(now)
    }

    /// Returns how many endpoints of all services are in a state, of those that operators want to have in service: who
    /// has taken one out need not be told that it is down.
    pub fn counts(&self, now: Instant, wanted: impl Fn(SocketAddr) -> bool) -> EndpointCounts {
        let services = self.services();
        let mut counts = EndpointCounts::default();
        let troubled = services.values().flat_map(|its| {
            let entries = its.troubled.iter().filter(|endpoint| wanted(**endpoint));
            entries.filter_map(|endpoint| its.endpoints.get(endpoint))
        });
        for entry in troubled {
            counts.down += u64::from(entry.is_down());
            counts.suspect += u64::from(entry.is_suspect());
            counts.open += u64::from(entry.breaker(now) == BreakerState::Open);
        }
        counts
    }

    /// Forgets a worker's view of an endpoint, and the endpoint with the last one.
    pub fn forget(&self, service: &Arc<str>, endpoint: SocketAddr, worker: usize) {
        let mut services = self.services();
        let Some(its) = services.get_mut(service) else {
            return;
        };
        let entry = its.endpoints.get_mut(&endpoint);
        if entry.is_some_and(|entry| entry.forget(worker)) {
            its.endpoints.remove(&endpoint);
            its.troubled.remove(&endpoint);
        }
        if its.endpoints.is_empty() {
            services.remove(service);
        }
    }

    /// Adds the endpoints of a service that a worker's new sessions should avoid to `avoided`, and returns the
    /// shares of those that get less than the whole. Of those that can be reached, breakers keep sessions away from
    /// so many only that with those that cannot be reached they are at most `max_ejected_percent` of the service.
    pub fn add_avoided(
        &self,
        service: &ServiceRoute,
        worker: usize,
        max_ejected_percent: u8,
        now: Instant,
        avoided: &mut BTreeSet<SocketAddr>,
    ) -> BTreeMap<SocketAddr, u8> {
        let services = self.services();
        let mut returning = BTreeMap::new();
        let Some(its) = services
            .get(&service.name)
            .filter(|s| !s.troubled.is_empty())
        else {
            return returning;
        };
        let mut ejected = Vec::new();
        for endpoint in &its.troubled {
            let Some(entry) = its.endpoints.get(endpoint) else {
                continue;
            };
            if entry.is_avoided_by(worker) {
                avoided.insert(*endpoint);
                continue;
            }
            if entry.breaker(now) == BreakerState::Open {
                ejected.push(*endpoint);
            }
            returning.insert(*endpoint, entry.share(now));
        }
        let most = ejectable(service.endpoints().len(), max_ejected_percent);
        let room = most.saturating_sub(avoided.len());
        avoided.extend(ejected.into_iter().take(room));
        returning
    }

    /// Returns the state of an endpoint's breaker.
    pub fn breaker(&self, service: &str, endpoint: SocketAddr, now: Instant) -> Breaker {
        let services = self.services();
        let entry = services
            .get(service)
            .and_then(|s| s.endpoints.get(&endpoint));
        match entry.map(|entry| entry.breaker(now)) {
            None | Some(BreakerState::Closed) => Breaker::Closed,
            Some(BreakerState::HalfOpen) => Breaker::HalfOpen,
            Some(BreakerState::Open) => Breaker::Open,
        }
    }
}

#[cfg(test)]
#[path = "health_book_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "ejection_tests.rs"]
mod ejection_tests;
