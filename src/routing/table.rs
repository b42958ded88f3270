//! The route table: immutable, shared by all workers, replaced as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use super::endpoint::EndpointName;
use super::ring::Ring;
use super::route::{Avoid, Cause, NoRoute, Query, Route, Standing, Why};
use super::rules::{HashKey, RoutingData, Rule, StrategyKind};
use super::turns::Turns;

/// What the rules say, with addresses in place of names.
#[derive(Debug)]
pub struct RouteTable {
    version: u64,
    data: RoutingData,
    services: BTreeMap<Arc<str>, Arc<ServiceRoute>>,
    /// The addresses of each realm's endpoint, sorted.
    pub(super) realms: HashMap<u32, Box<[SocketAddr]>>,
    realm_endpoints: BTreeSet<SocketAddr>,
    /// Those of all rules and realms.
    endpoints: BTreeSet<SocketAddr>,
    /// The host of each endpoint that was resolved from a name.
    hosts: HashMap<SocketAddr, Arc<str>>,
}

/// How one service is routed.
#[derive(Debug)]
pub struct ServiceRoute {
    /// The service's name.
    pub name: Arc<str>,
    /// Whether a session must be bound before it may use this service.
    pub require_bind: bool,
    /// The most links to this service; none: no limit of its own.
    pub max_connections: Option<u32>,
    /// Every address of the rule's endpoints, sorted.
    pub endpoints: Vec<SocketAddr>,
    pub(super) weights: Vec<u8>,
    pub(super) strategy: Strategy,
}

#[derive(Debug)]
pub(super) enum Strategy {
    RoundRobin(Turns),
    ConsistentHash(HashKey, Arc<Ring>),
    RealmBased,
}

impl ServiceRoute {
    /// The endpoints that its rule lists, sorted; those of realms are not among them.
    pub fn endpoints(&self) -> &[SocketAddr] {
        &self.endpoints
    }

    /// How its endpoint is chosen.
    pub fn strategy(&self) -> StrategyKind {
        match self.strategy {
            Strategy::RoundRobin(_) => StrategyKind::RoundRobin,
            Strategy::ConsistentHash(..) => StrategyKind::ConsistentHash,
            Strategy::RealmBased => StrategyKind::RealmBased,
        }
    }

    fn build(
        name: &str,
        rule: &Rule,
        addresses: &BTreeMap<EndpointName, Vec<SocketAddr>>,
        previous: Option<&ServiceRoute>,
    ) -> ServiceRoute {
        // Sorted, so that the order of the rule says nothing. Two names of one address are one
        // endpoint with the larger weight.
        let mut weighted: BTreeMap<SocketAddr, u8> = BTreeMap::new();
        for endpoint in &rule.endpoints {
            for address in addresses_of(&endpoint.address, addresses) {
                let weight = weighted.entry(address).or_default();
                *weight = endpoint.weight.max(*weight);
            }
        }
        let (endpoints, weights): (Vec<SocketAddr>, Vec<u8>) = weighted.iter().unzip();
        let strategy = match rule.strategy {
            StrategyKind::RoundRobin => {
                let turns = previous.and_then(|previous| match &previous.strategy {
                    Strategy::RoundRobin(turns) => Some(turns),
                    Strategy::ConsistentHash(..) | Strategy::RealmBased => None,
                });
                Strategy::RoundRobin(Turns::new(&weights, turns))
            }
            StrategyKind::ConsistentHash => {
                let same = previous.filter(|p| p.endpoints == endpoints && p.weights == weights);
                let ring = match same.map(|previous| &previous.strategy) {
                    Some(Strategy::ConsistentHash(_, ring)) => Arc::clone(ring),
                    _ => Arc::new(Ring::new(&weighted.into_iter().collect::<Vec<_>>())),
                };
                Strategy::ConsistentHash(rule.hash_key, ring)
            }
            StrategyKind::RealmBased => Strategy::RealmBased,
        };
        ServiceRoute {
            name: name.into(),
            require_bind: rule.require_bind,
            max_connections: rule.max_connections,
            endpoints,
            weights,
            strategy,
        }
    }
}

/// The addresses of a name, sorted; none where it was not resolved.
fn addresses_of(
    name: &EndpointName,
    addresses: &BTreeMap<EndpointName, Vec<SocketAddr>>,
) -> BTreeSet<SocketAddr> {
    match name.literal() {
        Some(address) => BTreeSet::from([address]),
        None => addresses.get(name).into_iter().flatten().copied().collect(),
    }
}

fn hosts(addresses: &BTreeMap<EndpointName, Vec<SocketAddr>>) -> HashMap<SocketAddr, Arc<str>> {
    let mut hosts = HashMap::new();
    for (name, addresses) in addresses
        .iter()
        .filter(|(name, _)| name.literal().is_none())
    {
        let host: Arc<str> = name.host.as_str().into();
        for address in addresses {
            hosts.entry(*address).or_insert_with(|| Arc::clone(&host));
        }
    }
    hosts
}

impl RouteTable {
    /// Makes the table of `data`. `addresses` are those of its names; IP addresses need none, and
    /// a name without any is left out. Rings of unchanged endpoints are taken from the `previous`
    /// table, and its services' turns go on.
    pub fn build(
        version: u64,
        data: &RoutingData,
        addresses: &BTreeMap<EndpointName, Vec<SocketAddr>>,
        previous: Option<&RouteTable>,
    ) -> RouteTable {
        let service = |(name, rule): (&String, &Rule)| {
            let previous = previous.and_then(|table| table.service(name));
            let service = ServiceRoute::build(name, rule, addresses, previous.map(Arc::as_ref));
            (Arc::clone(&service.name), Arc::new(service))
        };
        let services: BTreeMap<_, _> = data.rules.iter().map(service).collect();
        let realm = |(&id, name)| (id, addresses_of(name, addresses).into_iter().collect());
        let realms: HashMap<u32, Box<[SocketAddr]>> = data.realms.iter().map(realm).collect();
        let realm_endpoints: BTreeSet<_> = realms.values().flatten().copied().collect();
        let rule_endpoints = services.values().flat_map(|service| &service.endpoints);
        RouteTable {
            version,
            data: data.clone(),
            endpoints: rule_endpoints.chain(&realm_endpoints).copied().collect(),
            services,
            realms,
            realm_endpoints,
            hosts: hosts(addresses),
        }
    }

    /// The number that this table was made with.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What it was made of.
    pub fn data(&self) -> &RoutingData {
        &self.data
    }

    /// Every service, by name.
    pub fn services(&self) -> impl Iterator<Item = (&str, &Arc<ServiceRoute>)> {
        self.services
            .iter()
            .map(|(name, service)| (name.as_ref(), service))
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Arc<ServiceRoute>> {
        self.services.get(name)
    }

    /// The host of this endpoint as rules and realms write it; none where they write its IP address.
    /// Of several names that have led to one address it is the first in the alphabet.
    pub fn host(&self, endpoint: SocketAddr) -> Option<&Arc<str>> {
        self.hosts.get(&endpoint)
    }

    /// Whether any rule or realm names this endpoint.
    pub fn names(&self, endpoint: SocketAddr) -> bool {
        self.endpoints.contains(&endpoint)
    }

    /// Whether this service's rule names this endpoint, or, where it goes by realm, any realm does.
    pub fn names_for(&self, service: &str, endpoint: SocketAddr) -> bool {
        self.service(service).is_some_and(|service| {
            let by_realm = service.strategy() == StrategyKind::RealmBased;
            service.endpoints.binary_search(&endpoint).is_ok()
                || (by_realm && self.realm_endpoints.contains(&endpoint))
        })
    }

    /// Where a session goes.
    ///
    /// # Errors
    /// No rule or realm for it, no address known, or nothing left that it has not tried.
    pub fn resolve(&self, query: &Query<'_>, avoid: &Avoid<'_>) -> Result<Route, NoRoute> {
        let service = self.service(query.service).ok_or(NoRoute::NoRule)?;
        let (endpoint, why) = match &service.strategy {
            Strategy::RoundRobin(turns) => by_turn(turns, &service.endpoints, avoid),
            Strategy::ConsistentHash(hash_key, ring) => {
                by_hash(*hash_key, ring, &service.endpoints, query, avoid)
            }
            Strategy::RealmBased => self.by_realm(query.realm_id, avoid),
        }?;
        Ok(Route {
            service: Arc::clone(service),
            endpoint,
            why,
        })
    }

    /// Where the name of a realm's endpoint has several addresses, the realm is at the first one,
    /// on every gateway, and the others stand in for it.
    pub(super) fn by_realm(
        &self,
        realm_id: u32,
        avoid: &Avoid<'_>,
    ) -> Result<(SocketAddr, Why), NoRoute> {
        let endpoints = self.realms.get(&realm_id).filter(|_| realm_id != 0);
        let endpoints = endpoints.ok_or(NoRoute::NoRealm(realm_id))?;
        let choice = Choice::among(endpoints, avoid)?;
        let accepted = |endpoint: &&SocketAddr| choice.accepts(**endpoint);
        let chosen = endpoints.iter().find(accepted).ok_or(NoRoute::AllTried)?;
        let standing = choice.standing(endpoints[0], *chosen);
        Ok((*chosen, Why::RealmBased { realm_id, standing }))
    }
}

fn by_turn(
    turns: &Turns,
    endpoints: &[SocketAddr],
    avoid: &Avoid<'_>,
) -> Result<(SocketAddr, Why), NoRoute> {
    let choice = Choice::among(endpoints, avoid)?;
    let ((_, first), (turn, chosen)) = turns
        .draw_among(|endpoint| choice.accepts(endpoints[endpoint]))
        .ok_or(NoRoute::AllTried)?;
    let why = Why::RoundRobin {
        turn: turn + 1,
        of: turns.len(),
        standing: choice.standing(endpoints[first], endpoints[chosen]),
    };
    Ok((endpoints[chosen], why))
}

pub(super) fn by_hash(
    hash_key: HashKey,
    ring: &Ring,
    endpoints: &[SocketAddr],
    query: &Query<'_>,
    avoid: &Avoid<'_>,
) -> Result<(SocketAddr, Why), NoRoute> {
    let choice = Choice::among(endpoints, avoid)?;
    let (hashed, value) = match hash_key {
        HashKey::UserId if query.user_id != 0 => (hash_key, query.user_id),
        HashKey::RealmId if query.realm_id != 0 => (hash_key, u64::from(query.realm_id)),
        HashKey::UserId | HashKey::RealmId | HashKey::SessionId => {
            (HashKey::SessionId, query.session_id)
        }
    };
    let owner = ring.owner(value).ok_or(NoRoute::Unresolved)?;
    let chosen = ring
        .owner_among(value, |endpoint| choice.accepts(endpoints[endpoint]))
        .ok_or(NoRoute::AllTried)?;
    let why = Why::ConsistentHash {
        hash_key,
        hashed,
        value,
        standing: choice.standing(endpoints[owner], endpoints[chosen]),
    };
    Ok((endpoints[chosen], why))
}

/// Which endpoints may be the answer.
pub(super) struct Choice<'a> {
    avoid: &'a Avoid<'a>,
    /// Nothing that is up is left, so what is down will do.
    last_resort: bool,
}

impl<'a> Choice<'a> {
    pub(super) fn among(
        endpoints: &[SocketAddr],
        avoid: &'a Avoid<'a>,
    ) -> Result<Choice<'a>, NoRoute> {
        if endpoints.is_empty() {
            return Err(NoRoute::Unresolved);
        }
        let some_accepted = |last_resort| {
            let choice = Choice { avoid, last_resort };
            let accepted = endpoints.iter().any(|endpoint| choice.accepts(*endpoint));
            accepted.then_some(choice)
        };
        some_accepted(false)
            .or_else(|| some_accepted(true))
            .ok_or(NoRoute::AllTried)
    }

    pub(super) fn accepts(&self, endpoint: SocketAddr) -> bool {
        match self.avoid.cause(endpoint) {
            None => true,
            Some(Cause::Down) => self.last_resort,
            Some(Cause::Tried) => false,
        }
    }

    fn standing(&self, first: SocketAddr, chosen: SocketAddr) -> Standing {
        match self.avoid.cause(first) {
            _ if self.last_resort => Standing::LastResort,
            Some(cause) if first != chosen => Standing::Instead(first, cause),
            _ => Standing::Chosen,
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
