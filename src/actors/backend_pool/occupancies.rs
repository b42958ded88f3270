//! The sessions of every endpoint, over all workers. Control path: asked once a session and service, where the
//! service limits them.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::actors::link::Occupancy;

type Endpoints = HashMap<SocketAddr, Weak<Occupancy>>;

/// By service and endpoint, for as long as pools or links have them.
#[derive(Debug, Default)]
pub struct Occupancies {
    services: Mutex<HashMap<Arc<str>, Endpoints>>,
}

impl Occupancies {
    fn services(&self) -> MutexGuard<'_, HashMap<Arc<str>, Endpoints>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the count of an endpoint.
    pub fn of(&self, service: &Arc<str>, endpoint: SocketAddr) -> Arc<Occupancy> {
        let mut services = self.services();
        let endpoints = services.entry(Arc::clone(service)).or_default();
        if let Some(known) = endpoints.get(&endpoint).and_then(Weak::upgrade) {
            return known;
        }
        // Now and then, so that it costs little for each.
        if endpoints.len().is_power_of_two() {
            endpoints.retain(|_, occupancy| occupancy.strong_count() > 0);
        }
        let fresh = Arc::<Occupancy>::default();
        endpoints.insert(endpoint, Arc::downgrade(&fresh));
        fresh
    }

    /// Returns true if any service has a session at this endpoint.
    pub fn has_sessions(&self, endpoint: SocketAddr) -> bool {
        let services = self.services();
        let mut its = services
            .values()
            .filter_map(|of| of.get(&endpoint)?.upgrade());
        its.any(|occupancy| occupancy.sessions() > 0)
    }

    /// Returns the endpoints of a service that have `most` sessions.
    pub fn full(&self, service: &str, most: u32) -> BTreeSet<SocketAddr> {
        let services = self.services();
        let endpoints = services.get(service).into_iter().flatten();
        let is_full = |occupancy: &Weak<Occupancy>| {
            let sessions = occupancy.upgrade().map_or(0, |count| count.sessions());
            sessions >= most as usize
        };
        let full = endpoints.filter(|(_, occupancy)| is_full(occupancy));
        full.map(|(endpoint, _)| *endpoint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_count_and_it_goes_with_the_last() {
        let (book, service) = (Occupancies::default(), Arc::<str>::from("game"));
        let endpoint = |n: u16| SocketAddr::from(([127, 0, 0, 1], n));
        let (one, same) = (
            book.of(&service, endpoint(1)),
            book.of(&service, endpoint(1)),
        );
        let claims: Vec<_> = [one.claim(Some(2)), same.claim(Some(2))]
            .into_iter()
            .collect();
        assert_eq!(claims.len(), 2);
        assert_eq!(book.full("game", 2), BTreeSet::from([endpoint(1)]));
        assert!(book.full("game", 3).is_empty() && book.full("chat", 1).is_empty());
        drop((claims, one, same));
        assert!(book.full("game", 1).is_empty());
        for number in 0..1000 {
            book.of(&service, endpoint(number));
        }
        assert!(book.services()["game"].len() < 1000);
    }
}
