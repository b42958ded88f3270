//! State that the pools of all workers share: the holders of links to services that limit their number
//! (`max_connections` of a rule), and the backends that take no new sessions.
//!
//! Workers open links on their own, but a limit holds for the whole process. So a pool claims each link
//! here first. A pool whose claim is refused sends its sessions to a pool that has a link, perhaps on
//! another worker. Control path: asked once a link, and once a session and service.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::actors::backend_pool::BackendPool;
use crate::actors::backend_pool::health_book::HealthBook;
use crate::actors::backend_pool::occupancies::Occupancies;
use crate::actors::backend_pool::operator_book::OperatorBook;
use crate::routing::ServiceRoute;
use crate::routing::health::OperatorState;
use crate::supervision::Seat;

/// Links and departures, over the pools of all workers.
#[derive(Debug, Default)]
pub struct LinkLimits {
    services: Mutex<HashMap<Arc<str>, Vec<Holder>>>,
    /// The marks of pools that have received GOAWAY from this endpoint of this service.
    leaving: Mutex<HashMap<Place, Vec<u64>>>,
    next_mark: AtomicU64,
    /// How they are.
    pub health: HealthBook,
    /// How many sessions they have.
    pub occupancies: Occupancies,
    /// What operators have said of them.
    pub operator: Arc<OperatorBook>,
}

type Place = (Arc<str>, SocketAddr);

#[derive(Debug)]
struct Holder {
    endpoint: SocketAddr,
    pool: Seat<BackendPool>,
}

/// Answer to a claim.
#[derive(Debug)]
pub enum Claim {
    /// The link may be opened; it counts until the permit is dropped.
    Granted(LinkPermit),
    /// The limit is reached, but this pool has a link to the same endpoint.
    Elsewhere(Seat<BackendPool>),
    /// The limit is reached by links to other endpoints.
    Exhausted,
}

impl LinkLimits {
    /// Claims one link of `service` to `endpoint` for `pool`.
    pub fn claim(
        self: &Arc<LinkLimits>,
        service: &Arc<str>,
        max: u32,
        endpoint: SocketAddr,
        pool: Seat<BackendPool>,
    ) -> Claim {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let holders = services.entry(Arc::clone(service)).or_default();
        if holders.len() < max as usize {
            holders.push(Holder {
                endpoint,
                pool: pool.clone(),
            });
            return Claim::Granted(LinkPermit {
                book: Arc::clone(self),
                service: Arc::clone(service),
                endpoint,
                pool,
            });
        }
        match holders.iter().find(|h| h.endpoint == endpoint) {
            Some(holder) => Claim::Elsewhere(holder.pool.clone()),
            None => Claim::Exhausted,
        }
    }
}

impl LinkLimits {
    fn leaving(&self) -> MutexGuard<'_, HashMap<Place, Vec<u64>>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a backend that has sent GOAWAY as leaving, for all workers, until the mark is dropped, or the backend has
    /// [come back](Self::has_come_back).
    pub fn mark_leaving(
        self: &Arc<LinkLimits>,
        service: &Arc<str>,
        endpoint: SocketAddr,
    ) -> LeavingMark {
        let place = (Arc::clone(service), endpoint);
        let number = self.next_mark.fetch_add(1, Relaxed);
        self.leaving()
            .entry(place.clone())
            .or_default()
            .push(number);
        LeavingMark {
            book: Arc::clone(self),
            place,
            number,
        }
    }

    /// A new link came up without a GOAWAY: what was said on older ones, perhaps of other workers, holds no more.
    pub fn has_come_back(&self, service: &Arc<str>, endpoint: SocketAddr) {
        let mut leaving = self.leaving();
        if !leaving.is_empty() {
            leaving.remove(&(Arc::clone(service), endpoint));
        }
    }

    /// Returns whether this backend takes no new sessions.
    pub fn is_leaving(&self, service: &Arc<str>, endpoint: SocketAddr) -> bool {
        let leaving = self.leaving();
        !leaving.is_empty() && leaving.contains_key(&(Arc::clone(service), endpoint))
    }

    /// Tells whether this endpoint may have one session more: nobody has said otherwise, and it has not all that it
    /// may have.
    pub fn takes_sessions(&self, service: &ServiceRoute, endpoint: SocketAddr) -> bool {
        let is_full = |most| {
            let full = self.occupancies.full(&service.name, most);
            full.contains(&endpoint)
        };
        self.operator.state(endpoint) == OperatorState::Ready
            && !self.is_leaving(&service.name, endpoint)
            && !service.max_sessions.is_some_and(is_full)
    }
}

/// Guard of one pool's mark that a backend is leaving.
#[derive(Debug)]
pub struct LeavingMark {
    book: Arc<LinkLimits>,
    place: Place,
    number: u64,
}

impl Drop for LeavingMark {
    fn drop(&mut self) {
        let mut leaving = self.book.leaving();
        if let Some(marks) = leaving.get_mut(&self.place) {
            marks.retain(|number| *number != self.number);
            if marks.is_empty() {
                leaving.remove(&self.place);
            }
        }
    }
}

/// Guard of a claimed link; dropping it makes room for another.
#[derive(Debug)]
pub struct LinkPermit {
    book: Arc<LinkLimits>,
    service: Arc<str>,
    endpoint: SocketAddr,
    pool: Seat<BackendPool>,
}

impl Drop for LinkPermit {
    fn drop(&mut self) {
        let mut services = self
            .book
            .services
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(holders) = services.get_mut(&self.service) {
            let own = |h: &Holder| h.endpoint == self.endpoint && h.pool == self.pool;
            if let Some(place) = holders.iter().position(own) {
                holders.swap_remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_come_back_is_not_held_to_what_was_said_before() {
        let (book, service) = (Arc::<LinkLimits>::default(), Arc::from("game"));
        let endpoint = ([127, 0, 0, 1], 1).into();
        let is_leaving = || book.is_leaving(&service, endpoint);
        let marks = [(); 2].map(|()| book.mark_leaving(&service, endpoint));
        assert!(is_leaving());
        book.has_come_back(&service, endpoint);
        assert!(!is_leaving());
        // It leaves again; the old marks end whenever their links do.
        let mark = book.mark_leaving(&service, endpoint);
        drop(marks);
        assert!(is_leaving());
        drop(mark);
        assert!(!is_leaving());
    }
}
