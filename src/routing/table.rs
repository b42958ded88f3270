//! The route table: immutable, shared by all workers, replaced as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use super::endpoint::EndpointName;
use super::name_failures::NameFailures;
use super::route::{Avoid, NoRoute, Query, Route};
use super::rules::{RoutingData, Rule};
use super::strategy::{Assigned, Realms, Shares, Source, Strategy, StrategyKind};

/// Most names that are listed because they do not resolve.
const MOST_UNRESOLVED: usize = 10_000;

/// The routing data with addresses in place of names.
#[derive(Debug)]
pub struct RouteTable {
    version: u64,
    data: Arc<RoutingData>,
    services: BTreeMap<Arc<str>, Arc<ServiceRoute>>,
    realms: Arc<Realms>,
    /// Addresses of all rules and realms, sorted.
    endpoints: Vec<SocketAddr>,
    /// The host of each endpoint that was resolved from a name.
    hosts: HashMap<SocketAddr, Arc<str>>,
    /// The addresses of each name, as far as it is known.
    names: BTreeMap<EndpointName, Vec<SocketAddr>>,
    failures: Arc<NameFailures>,
}

/// The route of one service.
#[derive(Debug)]
pub struct ServiceRoute {
    /// The service's name.
    pub name: Arc<str>,
    /// A session must be bound before it may use this service.
    pub require_bind: bool,
    /// Limit of links to this service; none: no limit of its own.
    pub max_connections: Option<u32>,
    /// Limit of sessions at each endpoint, on this gateway; none: no limit.
    pub max_sessions: Option<u32>,
    /// Users' assignments in Redis say where its sessions go.
    pub reads_assignments: bool,
    /// Names of the rule's endpoints that no address is known for, with their weights.
    pub unresolved: Vec<(EndpointName, u8)>,
    /// The addresses of the rule's endpoints.
    pub(super) shares: Shares,
    pub(super) strategy: Strategy,
}

impl ServiceRoute {
    /// Returns what stands for a service whose rule is gone while sessions use it: no endpoints, no limits.
    pub fn without_rule(name: &str) -> ServiceRoute {
        ServiceRoute {
            name: name.into(),
            require_bind: false,
            max_connections: None,
            max_sessions: None,
            reads_assignments: false,
            unresolved: Vec::new(),
            shares: Shares::new(std::iter::empty()),
            strategy: Strategy::Assigned(Assigned),
        }
    }

    /// Returns the addresses of its rule's endpoints, sorted, without those of realms.
    pub fn endpoints(&self) -> &[SocketAddr] {
        &self.shares.endpoints
    }

    /// Returns the addresses that its sessions may be sent to, sorted: for `realm_based` those of realms.
    fn targets(&self) -> &[SocketAddr] {
        self.strategy.endpoints(&self.shares)
    }

    /// Returns true if its limit of links leaves room for one to each endpoint.
    fn has_a_link_for_each(&self) -> bool {
        let targets = self.targets().len();
        self.max_connections
            .is_none_or(|most| most as usize >= targets)
    }

    /// Returns the kind of its strategy.
    pub fn strategy(&self) -> StrategyKind {
        self.strategy.kind()
    }

    fn build(
        name: &str,
        rule: &Rule,
        addresses: &BTreeMap<EndpointName, Vec<SocketAddr>>,
        realms: &Arc<Realms>,
        previous: Option<&ServiceRoute>,
    ) -> ServiceRoute {
        // Sorted, so that the order of the rule says nothing. Two names of one address are one
        // endpoint with the larger weight.
        let mut weighted: BTreeMap<SocketAddr, u8> = BTreeMap::new();
        let mut unresolved = Vec::new();
        for endpoint in &rule.endpoints {
            let known = addresses_of(&endpoint.address, addresses);
            if known.is_empty() {
                unresolved.push((endpoint.address.clone(), endpoint.weight));
            }
            for address in known {
                let weight = weighted.entry(address).or_default();
                *weight = endpoint.weight.max(*weight);
            }
        }
        let shares = Shares::new(weighted.into_iter());
        let strategy = Strategy::build(&Source {
            rule,
            shares: &shares,
            realms,
            previous: previous.map(|previous| (&previous.shares, &previous.strategy)),
        });
        ServiceRoute {
            name: name.into(),
            require_bind: rule.require_bind,
            max_connections: rule.max_connections,
            max_sessions: rule.max_sessions,
            reads_assignments: rule.reads_assignments(),
            unresolved,
            shares,
            strategy,
        }
    }
}

/// Returns the addresses of a name, sorted; none where it was not resolved.
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
    /// table, and its services' round robin continues.
    pub fn build(
        version: u64,
        data: &Arc<RoutingData>,
        addresses: &BTreeMap<EndpointName, Vec<SocketAddr>>,
        previous: Option<&RouteTable>,
    ) -> RouteTable {
        let addresses_of = |name: &EndpointName| addresses_of(name, addresses);
        let realms = Arc::new(Realms::new(&data.realms, addresses_of));
        let service = |(name, rule): (&String, &Rule)| {
            let previous = previous.and_then(|table| table.service(name));
            let previous = previous.map(Arc::as_ref);
            let service = ServiceRoute::build(name, rule, addresses, &realms, previous);
            (Arc::clone(&service.name), Arc::new(service))
        };
        let services: BTreeMap<_, _> = data.rules.iter().map(service).collect();
        let rule_endpoints = services.values().flat_map(|service| service.endpoints());
        let mut endpoints: Vec<_> =
            (rule_endpoints.chain(realms.all_addresses()).copied()).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        RouteTable {
            version,
            data: Arc::clone(data),
            endpoints,
            services,
            realms,
            hosts: hosts(addresses),
            names: addresses.clone(),
            failures: Arc::default(),
        }
    }

    /// The same, where this says why names have no address.
    pub fn with_failures(self, failures: Arc<NameFailures>) -> RouteTable {
        RouteTable { failures, ..self }
    }

    /// Returns why a name cannot be resolved now; none where it can, or is not known to fail.
    pub fn failure(&self, name: &EndpointName) -> Option<String> {
        self.failures.of(&name.host)
    }

    /// Returns the number that this table was made with.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the routing data that it was made of.
    pub fn data(&self) -> &Arc<RoutingData> {
        &self.data
    }

    /// Returns all services in the order of their names.
    pub fn services(&self) -> impl Iterator<Item = (&str, &Arc<ServiceRoute>)> {
        self.services
            .iter()
            .map(|(name, service)| (name.as_ref(), service))
    }

    /// Returns the service of this name.
    pub fn service(&self, name: &str) -> Option<&Arc<ServiceRoute>> {
        self.services.get(name)
    }

    /// Returns the host name of this endpoint in rules and realms; none where they have its IP address.
    /// Of several names of one address it is the first in the alphabet.
    pub fn host(&self, endpoint: SocketAddr) -> Option<&Arc<str>> {
        self.hosts.get(&endpoint)
    }

    /// Returns the addresses of a name in rules or realms; none for an IP address.
    pub fn addresses_of(&self, name: &EndpointName) -> &[SocketAddr] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns true if any rule or realm has this endpoint: by this name, or with this address.
    pub fn knows(&self, name: &EndpointName) -> bool {
        match name.literal() {
            Some(address) => self.names(address),
            None => {
                !self.addresses_of(name).is_empty()
                    || self.unresolved().any(|(_, unresolved)| unresolved == name)
            }
        }
    }

    /// Returns the number of endpoints that rules and realms name.
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    /// Returns every service with every endpoint of it, those of rules before those of realms. Services with
    /// fewer links than endpoints are left out: a link that nobody uses could keep out one that is needed.
    pub fn probed(&self) -> impl Iterator<Item = (&Arc<ServiceRoute>, SocketAddr)> {
        let of = |by_realm: bool| {
            let services = self.services.values();
            let these = services.filter(move |service| {
                let is_by_realm = service.strategy() == StrategyKind::RealmBased;
                is_by_realm == by_realm && service.has_a_link_for_each()
            });
            these.flat_map(|service| service.targets().iter().map(move |to| (service, *to)))
        };
        of(false).chain(of(true))
    }

    /// Returns every service with the names that its sessions might be sent to and that no address is known for, those
    /// of rules before those of realms; at most [`MOST_UNRESOLVED`].
    pub fn unresolved(&self) -> impl Iterator<Item = (&Arc<ServiceRoute>, &EndpointName)> {
        let services = self.services.values();
        let of_rules = services.flat_map(|service| {
            let names = service.unresolved.iter();
            names.map(move |(name, _)| (service, name))
        });
        let services = self.services.values();
        let by_realm = services.filter(|s| s.strategy() == StrategyKind::RealmBased);
        let of_realms = by_realm.flat_map(|service| {
            let is_new =
                move |name: &&EndpointName| service.unresolved.iter().all(|(its, _)| its != *name);
            let names = self.realms.unresolved().filter(is_new);
            names.map(move |name| (service, name))
        });
        of_rules.chain(of_realms).take(MOST_UNRESOLVED)
    }

    /// Returns true if any rule or realm names this endpoint.
    pub fn names(&self, endpoint: SocketAddr) -> bool {
        self.endpoints.binary_search(&endpoint).is_ok()
    }

    /// Returns true if BIND from this service counts (protocol 2.2): where any rule has `may_bind`, only
    /// from those whose rule has it true.
    pub fn may_bind(&self, service: &str) -> bool {
        let its = self.data.rules.get(service).and_then(|rule| rule.may_bind);
        its.unwrap_or_else(|| self.data.rules.values().all(|rule| rule.may_bind.is_none()))
    }

    /// Returns true if this service may ever send a session to this endpoint.
    pub fn names_for(&self, service: &str, endpoint: SocketAddr) -> bool {
        self.service(service)
            .is_some_and(|service| service.strategy.names(&service.shares, endpoint))
    }

    /// Returns where ASSIGN and TRANSFER may send a session of this service by these words: to an endpoint that its
    /// rule names, or in one of its `assignable` networks.
    pub fn allowed(&self, service: &str, endpoint: &str) -> Option<SocketAddr> {
        let route = self.service(service)?;
        let rule = self.data.rules.get(service)?;
        let name: EndpointName = endpoint.parse().ok()?;
        let Some(address) = name.literal() else {
            let is_its = |to: &&SocketAddr| {
                let host = self.host(**to);
                to.port() == name.port && host.is_some_and(|host| **host == *name.host)
            };
            return route.targets().iter().find(is_its).copied();
        };
        let allowed = self.names_for(service, address) || rule.assignable.contains(address.ip());
        allowed.then_some(address)
    }

    /// Tells whether the address lies in one of the service's `assignable` networks.
    pub fn assigns(&self, service: &str, endpoint: SocketAddr) -> bool {
        let rule = self.data.rules.get(service);
        rule.is_some_and(|rule| rule.assignable.contains(endpoint.ip()))
    }

    /// Chooses the endpoint of a session.
    ///
    /// # Errors
    /// No rule or realm for it, no address known, or nothing left that it has not tried.
    pub fn resolve(&self, query: &Query<'_>, avoid: &Avoid<'_>) -> Result<Route, NoRoute> {
        let service = self.service(query.service).ok_or(NoRoute::NoRule)?;
        let (endpoint, why) = service.strategy.choose(&service.shares, query, avoid)?;
        Ok(Route {
            service: Arc::clone(service),
            endpoint,
            why,
        })
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "avoid_tests.rs"]
mod avoid_tests;
