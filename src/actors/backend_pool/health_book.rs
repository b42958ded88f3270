//! What the pools of all workers know of endpoints, in one place: one that a worker has found dead is known to all
//! before they meet it. Control path: written when a pool's health changes, read once a session and service.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{BackendHealth, Breaker};
use crate::routing::ServiceRoute;
use crate::routing::health::{
    self, BreakerState, LEAST_SHARE, RetryBudget, SlowStart, Telling, WHOLE_SHARE,
};

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

#[derive(Debug, Default)]
struct Entry {
    breaker: health::Breaker,
    /// The newest time for which it was open that was logged.
    told_wait: Option<Duration>,
    telling: Telling,
    slow_start: SlowStart,
    /// By worker; one that knows nothing is not there.
    views: Vec<(usize, BackendHealth)>,
}

/// How a worker finds an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub worker: usize,
    pub health: BackendHealth,
    /// Why, where it is down.
    pub error: &'a str,
}

/// Lines of the log that a view brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct News {
    /// The health is to be told.
    pub says_health: bool,
    /// The breaker has opened, for this time; none: it has not, or this is known.
    pub opened: Option<Duration>,
}

/// Numbers of endpoints that new sessions avoid, each by service.
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

fn is_bad(health: BackendHealth) -> bool {
    match health {
        BackendHealth::Unknown | BackendHealth::Up => false,
        BackendHealth::Suspect | BackendHealth::Down | BackendHealth::Leaving => true,
    }
}

impl Entry {
    fn view(&self, worker: usize) -> Option<BackendHealth> {
        let own = self.views.iter().find(|(of, _)| *of == worker);
        own.map(|(_, health)| *health)
    }

    /// Tells whether a worker should send new sessions elsewhere: by its own view, else by that of all others.
    fn is_avoided_by(&self, worker: usize) -> bool {
        match self.view(worker) {
            Some(own) => is_bad(own),
            None => !self.views.is_empty() && self.views.iter().all(|(_, of)| is_bad(*of)),
        }
    }
}

impl Entry {
    fn see(&mut self, view: View<'_>, now: Instant) -> News {
        let View {
            worker,
            health,
            error,
        } = view;
        let before = self.view(worker).unwrap_or(BackendHealth::Unknown);
        let was_out = !self.views.is_empty() && self.views.iter().all(|(_, of)| is_bad(*of));
        if was_out && health == BackendHealth::Up {
            self.slow_start.returned(now);
        }
        self.views.retain(|(of, _)| *of != worker);
        if health != BackendHealth::Unknown {
            self.views.push((worker, health));
        }
        let fails = match health {
            // That a suspect is lost is no second failure, and what is down stays down.
            BackendHealth::Suspect | BackendHealth::Down => !is_bad(before),
            BackendHealth::Up | BackendHealth::Leaving | BackendHealth::Unknown => false,
        };
        let opened = fails.then(|| self.breaker.failed(now)).flatten();
        let says_health = match health {
            BackendHealth::Unknown => false,
            BackendHealth::Up => {
                self.breaker.well(now);
                self.is_well_again(now)
            }
            BackendHealth::Suspect => self.telling.trouble("suspect", now),
            BackendHealth::Leaving => self.telling.trouble("leaving", now),
            BackendHealth::Down => self.telling.trouble(error, now),
        };
        let is_new = |wait: &Duration| self.told_wait.replace(*wait) != Some(*wait);
        News {
            says_health,
            opened: opened.filter(is_new),
        }
    }

    /// Tells whether new sessions may come like to any other.
    fn is_well(&self, now: Instant) -> bool {
        let all_well = self.views.iter().all(|(_, of)| !is_bad(*of));
        all_well && self.share(now) == WHOLE_SHARE
    }

    /// Returns the share of new sessions, in percent, where it is not avoided.
    fn share(&self, now: Instant) -> u8 {
        match self.breaker.state(now) {
            BreakerState::Closed => self.slow_start.share(now),
            BreakerState::HalfOpen | BreakerState::Open => LEAST_SHARE,
        }
    }

    fn is_well_again(&mut self, now: Instant) -> bool {
        if self.breaker.state(now) == BreakerState::Closed {
            self.told_wait = None;
        }
        let is_up = !self.views.is_empty() && self.views.iter().all(|(_, of)| !is_bad(*of));
        is_up && self.telling.well(now)
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
        if entry.is_well(now) {
            service.troubled.remove(&endpoint);
        } else {
            service.troubled.insert(endpoint);
        }
        news
    }

    /// Looks whether an endpoint has been well for long enough to say so.
    pub fn look(&self, service: &str, endpoint: SocketAddr, now: Instant) -> News {
        let mut services = self.services();
        let Some(its) = services.get_mut(service) else {
            return News::default();
        };
        let entry = its.endpoints.get_mut(&endpoint);
        if entry.as_ref().is_none_or(|entry| entry.is_well(now)) {
            its.troubled.remove(&endpoint);
        }
        News {
            says_health: entry.is_some_and(|entry| entry.is_well_again(now)),
            opened: None,
        }
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

    /// Returns how many endpoints of all services are in a state.
    pub fn counts(&self, now: Instant) -> EndpointCounts {
        let services = self.services();
        let mut counts = EndpointCounts::default();
        let troubled = services.values().flat_map(|its| {
            let entries = its.troubled.iter();
            entries.filter_map(|endpoint| its.endpoints.get(endpoint))
        });
        for entry in troubled {
            let all =
                |health| !entry.views.is_empty() && entry.views.iter().all(|(_, of)| *of == health);
            let any = |health| entry.views.iter().any(|(_, of)| *of == health);
            counts.down += u64::from(all(BackendHealth::Down));
            counts.suspect += u64::from(any(BackendHealth::Suspect));
            counts.open += u64::from(entry.breaker.state(now) == BreakerState::Open);
        }
        counts
    }

    /// Forgets a worker's view of an endpoint, and the endpoint with the last one.
    pub fn forget(&self, service: &Arc<str>, endpoint: SocketAddr, worker: usize) {
        let mut services = self.services();
        let Some(its) = services.get_mut(service) else {
            return;
        };
        if let Some(entry) = its.endpoints.get_mut(&endpoint) {
            entry.views.retain(|(of, _)| *of != worker);
            if entry.views.is_empty() {
                its.endpoints.remove(&endpoint);
                its.troubled.remove(&endpoint);
            }
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
            if entry.breaker.state(now) == BreakerState::Open {
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
        match entry.map(|entry| entry.breaker.state(now)) {
            None | Some(BreakerState::Closed) => Breaker::Closed,
            Some(BreakerState::HalfOpen) => Breaker::HalfOpen,
            Some(BreakerState::Open) => Breaker::Open,
        }
    }
}

#[cfg(test)]
#[path = "health_book_tests.rs"]
mod tests;
