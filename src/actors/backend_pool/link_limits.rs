//! What the pools of all workers must know of each other: who holds the links of services that limit
//! their number (`max_connections` of a rule), and which backends take no new sessions.
//!
//! Workers open links on their own; a limit holds for the whole process. So a pool claims each link
//! here first. One that gets none sends its sessions to a pool, on whatever worker, that has one:
//! all messages between clients and links cross threads as well. Control path: asked once a link, and once a
//! session and service.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::actors::backend_pool::BackendPool;
use crate::supervision::Seat;

/// What the pools of all workers share.
#[derive(Debug, Default)]
pub struct LinkLimits {
    services: Mutex<HashMap<Arc<str>, Vec<Holder>>>,
    /// How many pools have heard GOAWAY from this endpoint of this service.
    leaving: Mutex<HashMap<Place, usize>>,
}

type Place = (Arc<str>, SocketAddr);

#[derive(Debug)]
struct Holder {
    endpoint: SocketAddr,
    pool: Seat<BackendPool>,
}

/// The answer to a claim.
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
    /// Asks for one link of `service` to `endpoint`, for `pool`.
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
    /// A backend has said GOAWAY; that holds for all workers until the mark is dropped.
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

    /// Whether this backend takes no new sessions.
    pub fn is_leaving(&self, service: &Arc<str>, endpoint: SocketAddr) -> bool {
        let leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        !leaving.is_empty() && leaving.contains_key(&(Arc::clone(service), endpoint))
    }
}

/// One pool's word that a backend takes no new sessions.
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

/// A link that counts; dropping it makes room for another.
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
