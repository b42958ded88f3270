//! `realm_based`: a session goes where the realm map sends its realm.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Choice, Choose, Shares, Source};
use crate::routing::endpoint::EndpointName;
use crate::routing::realm_map::RealmMap;
use crate::routing::route::{Avoid, NoRoute, Query, Why};

/// Addresses of all realms, shared by all `realm_based` services. Dropped in a few pieces, however many
/// realms there are: the last to hold it may be a thread that carries traffic.
#[derive(Debug)]
pub(crate) struct Realms {
    map: Arc<RealmMap>,
    /// Where the addresses of each endpoint of the map end.
    ends: Vec<usize>,
    /// Of one endpoint after the other, each sorted.
    addresses: Vec<SocketAddr>,
    /// Those of all realms, sorted, each once.
    all: Vec<SocketAddr>,
    /// Indices of the map's endpoints that no address is known for.
    unresolved: Vec<usize>,
}

impl Realms {
    /// Takes the realm map and the addresses of each endpoint.
    pub(crate) fn new(
        map: &Arc<RealmMap>,
        addresses_of: impl Fn(&EndpointName) -> BTreeSet<SocketAddr>,
    ) -> Realms {
        let (mut ends, mut addresses, mut unresolved) = (Vec::new(), Vec::new(), Vec::new());
        for (index, endpoint) in map.endpoints().iter().enumerate() {
            let known = addresses_of(endpoint);
            if known.is_empty() {
                unresolved.push(index);
            }
            addresses.extend(known);
            ends.push(addresses.len());
        }
        let mut all = addresses.clone();
        all.sort_unstable();
        all.dedup();
        Realms {
            map: Arc::clone(map),
            ends,
            addresses,
            all,
            unresolved,
        }
    }

    /// Returns the addresses of a realm's endpoint; none where the realm is not mapped.
    fn of(&self, realm_id: u32) -> Option<&[SocketAddr]> {
        let place = self.map.place(realm_id)?;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.addresses[start..self.ends[place]])
    }

    /// Returns the addresses of all realms, sorted.
    pub(crate) fn all_addresses(&self) -> &[SocketAddr] {
        &self.all
    }

    /// Returns the endpoints that no address is known for.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = &EndpointName> {
        let endpoints = self.map.endpoints();
        self.unresolved.iter().map(|index| &endpoints[*index])
    }
}

/// The realm map.
#[derive(Debug)]
pub(crate) struct RealmBased(Arc<Realms>);

/// The realm that an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Realm(pub u32);

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "realm_based, realm {}", self.0)
    }
}

impl Choose for RealmBased {
    const NEEDS_ENDPOINTS: bool = false;
    const FIRST: &'static str = "address";
    const NEXT: &'static str = "next address";

    fn build(from: &Source<'_>) -> RealmBased {
        RealmBased(Arc::clone(from.realms))
    }

    /// Chooses the endpoint of the realm. If its name has several addresses, that is the first one on every
    /// gateway, and the others stand in for it.
    fn choose(
        &self,
        _: &Shares,
        query: &Query<'_>,
        avoid: &Avoid<'_>,
    ) -> Result<(SocketAddr, Why), NoRoute> {
        let realm = query.realm_id;
        let endpoints = self.0.of(realm).ok_or(NoRoute::NoRealm(realm))?;
        let choice = Choice::among(endpoints, avoid)?;
        let accepted = |endpoint: &&SocketAddr| choice.accepts(**endpoint);
        let chosen = endpoints.iter().find(accepted).ok_or(NoRoute::AllTried)?;
        let standing = choice.standing(endpoints[0], *chosen);
        Ok((*chosen, Why::new(Realm(realm), standing)))
    }

    fn candidates(&self, _: &Shares, query: &Query<'_>) -> Vec<(SocketAddr, u8)> {
        let addresses = self.0.of(query.realm_id).into_iter().flatten();
        addresses.map(|address| (*address, 1)).collect()
    }

    fn endpoints<'a>(&'a self, _: &'a Shares) -> &'a [SocketAddr] {
        self.0.all_addresses()
    }

    fn names(&self, shares: &Shares, endpoint: SocketAddr) -> bool {
        shares.names(endpoint) || self.0.all.binary_search(&endpoint).is_ok()
    }
}
