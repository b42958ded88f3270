//! The orders of operators: which endpoints take new sessions, and which ones end those that they have.
//!
//! An order is for an endpoint as rules name it: an address, or a name and so each address that it has at the time.
//! It outlives the rules, so that an endpoint that leaves them and returns is as it was.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::routing::{EndpointName, RouteTable};

/// The most orders at a time.
pub const MAX_ORDERS: usize = 1024;

/// State of an endpoint by the word of an operator, the more severe the later.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OperatorState {
    /// It takes new sessions.
    Ready,
    /// It takes no new sessions; those that it has go on, and may resume.
    Drain,
    /// It takes no sessions, and those that it has end.
    Maintenance,
}

impl OperatorState {
    /// Returns the name in the API.
    pub fn name(self) -> &'static str {
        match self {
            OperatorState::Ready => "ready",
            OperatorState::Drain => "drain",
            OperatorState::Maintenance => "maintenance",
        }
    }
}

/// An order, for as long as it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Never [`OperatorState::Ready`], which is the absence of an order.
    pub state: OperatorState,
    /// The sessions that it has are moved to other endpoints.
    pub moves: bool,
    /// When it was given, in seconds since 1970.
    pub since: u64,
    /// When it ends by itself; none: it does not.
    pub ends: Option<Instant>,
    /// The author.
    pub by: String,
    /// The reason that was given, or empty.
    pub reason: String,
}

/// [`MAX_ORDERS`] are in force, all of them for endpoints that rules name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_ORDERS} backends are in drain or maintenance already")]
pub struct TooManyOrders;

/// Orders by the endpoints that they were given for.
#[derive(Debug, Default)]
pub struct Orders {
    by_name: BTreeMap<EndpointName, Arc<Order>>,
}

impl Orders {
    /// Gives an order, in place of the one before, which it returns. Of those for endpoints that the table does not
    /// name the oldest gives way where there are too many.
    ///
    /// # Errors
    /// Nothing can give way.
    pub fn give(
        &mut self,
        name: EndpointName,
        order: Order,
        table: Option<&RouteTable>,
    ) -> Result<Option<Arc<Order>>, TooManyOrders> {
        if self.by_name.len() >= MAX_ORDERS && !self.by_name.contains_key(&name) {
            let named = |name: &EndpointName| table.is_some_and(|table| table.knows(name));
            let forgotten = self.by_name.iter().filter(|(name, _)| !named(name));
            let oldest = forgotten.min_by_key(|(_, order)| order.since);
            let oldest = oldest.map(|(name, _)| name.clone());
            self.by_name.remove(&oldest.ok_or(TooManyOrders)?);
        }
        Ok(self.by_name.insert(name, Arc::new(order)))
    }

    /// Takes the order for an endpoint back, and returns it.
    pub fn take_back(&mut self, name: &EndpointName) -> Option<Arc<Order>> {
        self.by_name.remove(name)
    }

    /// Returns the order for an endpoint under this very name.
    pub fn get(&self, name: &EndpointName) -> Option<&Arc<Order>> {
        self.by_name.get(name)
    }

    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Returns all orders, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = (&EndpointName, &Arc<Order>)> {
        self.by_name.iter()
    }

    /// Takes back the orders that are over, and returns them.
    pub fn sweep(&mut self, now: Instant) -> Vec<(EndpointName, Arc<Order>)> {
        let is_over = |order: &Order| order.ends.is_some_and(|ends| ends <= now);
        let all = self.by_name.iter().filter(|(_, order)| is_over(order));
        let over: Vec<_> = all
            .map(|(name, order)| (name.clone(), Arc::clone(order)))
            .collect();
        self.by_name.retain(|_, order| !is_over(order));
        over
    }

    /// Returns what they say of each address, by the names of this table. Of several orders for one address the most
    /// severe counts.
    pub fn in_force(&self, table: Option<&RouteTable>) -> Withdrawn {
        let mut withdrawn = Withdrawn::default();
        for (name, order) in &self.by_name {
            let literal = name.literal();
            let resolved = table.map_or(&[][..], |table| table.addresses_of(name));
            for address in literal.iter().chain(resolved) {
                withdrawn.add(*address, name, order);
            }
        }
        withdrawn
    }
}

/// An order with the name that it was given for.
pub type NamedOrder = (EndpointName, Arc<Order>);

/// Addresses that new sessions may not be sent to, by orders in force.
#[derive(Debug, Default)]
pub struct Withdrawn(BTreeMap<SocketAddr, NamedOrder>);

impl Withdrawn {
    /// No address.
    pub const NONE: Withdrawn = Withdrawn(BTreeMap::new());

    fn add(&mut self, address: SocketAddr, name: &EndpointName, order: &Arc<Order>) {
        let before = self.0.get(&address);
        let severity = |order: &Order| (order.state, order.moves);
        if before.is_none_or(|(_, before)| severity(before) < severity(order)) {
            self.0.insert(address, (name.clone(), Arc::clone(order)));
        }
    }

    /// Returns the order for an address.
    pub fn order(&self, address: SocketAddr) -> Option<&NamedOrder> {
        self.0.get(&address)
    }

    /// Returns the state of an address.
    pub fn state(&self, address: SocketAddr) -> OperatorState {
        let order = self.order(address);
        order.map_or(OperatorState::Ready, |(_, order)| order.state)
    }

    /// Returns true if the sessions of an address are to be moved to others.
    pub fn moves(&self, address: SocketAddr) -> bool {
        self.order(address).is_some_and(|(_, order)| order.moves)
    }

    /// Returns all addresses, sorted.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.keys().copied()
    }

    pub(in crate::routing) fn contains(&self, address: SocketAddr) -> bool {
        self.0.contains_key(&address)
    }
}

#[cfg(test)]
#[path = "orders_tests.rs"]
mod tests;
