//! State that the pools of all workers share: the holders of links to services that limit their number
//! (`max_connections` of a rule), and the backends that take no new sessions.
//!
//! Workers open links on their own, but a limit holds for the whole process. So a pool claims each link
//! here first. A pool whose claim is refused sends its sessions to a pool that has a link, perhaps on
//! another worker. Control path: asked once a link, and once a session and service.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::actors::backend_pool::BackendPool;
use crate::actors::backend_pool::health_book::HealthBook;
use crate::actors::backend_pool::occupancies::Occupancies;
use crate::supervision::Seat;

/// Links and departures, over the pools of all workers.
#[derive(Debug, Default)]
pub struct LinkLimits {
    services: Mutex<HashMap<Arc<str>, Vec<Holder>>>,
    /// Number of pools that have received GOAWAY from this endpoint of this service.
    leaving: Mutex<HashMap<Place, usize>>,
    /// How they are.
    pub health: HealthBook,
    /// How many sessions they have.
    pub occupancies: Occupancies,
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
    /// Marks a backend that has sent GOAWAY as leaving, for all workers, until the mark is dropped.
    pub fn mark_leaving(
        self: &Arc<LinkLimits>,
        service: &Arc<str>,
        endpoint: SocketAddr,
    ) -> LeavingMark {
        let place = (Arc::clone(service), endpoint);
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        *leaving.entry(place.clone()).or_default() += 1;
        LeavingMark {
            book: Arc::clone(self),
            place,
        }
    }

    /// Returns whether this backend takes no new sessions.
    pub fn is_leaving(&self, service: &Arc<str>, endpoint: SocketAddr) -> bool {
        let leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        !leaving.is_empty() && leaving.contains_key(&(Arc::clone(service), endpoint))
    }
}

/// Guard of one pool's mark that a backend is leaving.
#[derive(Debug)]
pub struct LeavingMark {
    book: Arc<LinkLimits>,
    place: Place,
}

impl Drop for LeavingMark {
    fn drop(&mut self) {
        let mut leaving = self
            .book
            .leaving
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = leaving.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
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
