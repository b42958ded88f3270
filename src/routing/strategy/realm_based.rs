//! `realm_based`: a session goes where the realm map sends its realm.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Choice, Choose, Shares, Source};
use crate::routing::route::{Avoid, NoRoute, Query, Why};

/// Addresses of all realms, shared by all `realm_based` services.
#[derive(Debug)]
pub(crate) struct Realms {
    /// By realm id, sorted.
    by_id: HashMap<u32, Box<[SocketAddr]>>,
    /// Those of all realms.
    all: BTreeSet<SocketAddr>,
}

impl Realms {
    /// Takes the addresses of each realm's endpoint.
    pub(crate) fn new(realms: impl Iterator<Item = (u32, BTreeSet<SocketAddr>)>) -> Realms {
        let mut all = BTreeSet::new();
        let realm = |(id, addresses): (u32, BTreeSet<SocketAddr>)| {
            all.extend(&addresses);
            (id, addresses.into_iter().collect())
        };
        let by_id = realms.map(realm).collect();
        Realms { by_id, all }
    }

    /// Returns the addresses of all realms.
    pub(crate) fn addresses(&self) -> &BTreeSet<SocketAddr> {
        &self.all
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
        let endpoints = self.0.by_id.get(&realm).filter(|_| realm != 0);
        let endpoints = endpoints.ok_or(NoRoute::NoRealm(realm))?;
        let choice = Choice::among(endpoints, avoid)?;
        let accepted = |endpoint: &&SocketAddr| choice.accepts(**endpoint);
        let chosen = endpoints.iter().find(accepted).ok_or(NoRoute::AllTried)?;
        let standing = choice.standing(endpoints[0], *chosen);
        Ok((*chosen, Why::new(Realm(realm), standing)))
    }

    fn candidates(&self, _: &Shares, query: &Query<'_>) -> Vec<(SocketAddr, u8)> {
        let addresses = self.0.by_id.get(&query.realm_id).into_iter().flatten();
        addresses.map(|address| (*address, 1)).collect()
    }

    fn names(&self, shares: &Shares, endpoint: SocketAddr) -> bool {
        shares.names(endpoint) || self.0.all.contains(&endpoint)
    }
}
