//! What operators have said of endpoints, in one place for all workers: it is in force for every one of them before
//! the operator has an answer. Control path: read once a session and service.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use crate::routing::health::{NamedOrder, OperatorState, Order, Orders, TooManyOrders, Withdrawn};
use crate::routing::{EndpointName, RouteTable};

/// The book.
#[derive(Debug, Default)]
pub struct OperatorBook {
    book: Mutex<Book>,
    in_force: ArcSwap<Withdrawn>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Book {
    orders: Orders,
    /// The newest table, for the addresses of names.
    table: Option<Arc<RouteTable>>,
    /// Names of endpoints whose last session was said to have left.
    told_empty: BTreeSet<EndpointName>,
}

/// The outcome of an operator's order.
#[derive(Debug)]
pub struct Given {
    /// The order before.
    pub before: Option<Arc<Order>>,
    /// The addresses that it concerns now.
    pub addresses: Vec<SocketAddr>,
}

/// An order that is not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefused {
    /// There are too many.
    #[error(transparent)]
    TooMany(#[from] TooManyOrders),
    /// An address cannot be ready while its name is not.
    #[error("{name}, which it is an address of, is in {}; set that to ready", .state.name())]
    ByName {
        /// The name.
        name: EndpointName,
        /// Its state.
        state: OperatorState,
    },
}

impl OperatorBook {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the addresses that new sessions may not be sent to.
    pub fn withdrawn(&self) -> Guard<Arc<Withdrawn>> {
        self.in_force.load()
    }

    /// Returns the state of an address.
    pub fn state(&self, address: SocketAddr) -> OperatorState {
        self.in_force.load().state(address)
    }

    /// Returns the order for an endpoint under this very name.
    pub fn order(&self, name: &EndpointName) -> Option<Arc<Order>> {
        self.book().orders.get(name).cloned()
    }

    /// Returns true if rules or an order name the endpoint.
    pub fn knows(&self, name: &EndpointName) -> bool {
        let book = self.book();
        let in_rules = || book.table.as_ref().is_some_and(|table| table.knows(name));
        book.orders.get(name).is_some() || in_rules()
    }

    /// Tells of each change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Gives an order; one of [`OperatorState::Ready`] takes the one before back.
    ///
    /// # Errors
    /// It is not in force, and nothing has changed.
    pub fn give(&self, name: &EndpointName, order: Order) -> Result<Given, OrderRefused> {
        let mut book = self.book();
        let literal = name.literal();
        let before = if order.state == OperatorState::Ready {
            let by_name = literal.and_then(|address| {
                let in_force = self.in_force.load();
                let its = in_force.order(address).filter(|(other, _)| other != name);
                its.map(|(name, order)| (name.clone(), order.state))
            });
            // The name's order would still keep sessions away.
            if let Some((name, state)) = by_name {
                return Err(OrderRefused::ByName { name, state });
            }
            book.orders.take_back(name)
        } else {
            let table = book.table.clone();
            book.orders.give(name.clone(), order, table.as_deref())?
        };
        book.told_empty.remove(name);
        self.put_in_force(&book);
        let table = book.table.as_ref();
        let resolved = table.map_or(&[][..], |table| table.addresses_of(name));
        let addresses = literal.iter().chain(resolved).copied().collect();
        Ok(Given { before, addresses })
    }

    /// Takes over the names and addresses of the table that comes in force.
    pub fn refresh(&self, table: &Arc<RouteTable>) {
        let mut book = self.book();
        book.table = Some(Arc::clone(table));
        if !book.orders.is_empty() {
            self.put_in_force(&book);
        }
    }

    fn put_in_force(&self, book: &Book) {
        let in_force = book.orders.in_force(book.table.as_deref());
        self.in_force.store(Arc::new(in_force));
        self.changed.send_replace(());
    }

    /// Takes back the orders that are over, and returns them.
    pub fn sweep(&self, now: Instant) -> Vec<NamedOrder> {
        let mut book = self.book();
        let over = book.orders.sweep(now);
        if !over.is_empty() {
            self.put_in_force(&book);
        }
        over
    }

    /// Returns orders whose endpoints have no session any more, each once.
    pub fn emptied(&self, has_sessions: impl Fn(SocketAddr) -> bool) -> Vec<NamedOrder> {
        let mut guard = self.book();
        let Book {
            orders, told_empty, ..
        } = &mut *guard;
        told_empty.retain(|name| orders.get(name).is_some());
        let in_force = self.in_force.load();
        let used = in_force
            .addresses()
            .filter(|address| has_sessions(*address));
        let used = used.filter_map(|address| Some(&in_force.order(address)?.0));
        let used: BTreeSet<&EndpointName> = used.collect();
        let is_news = |name: &EndpointName| !used.contains(name) && !told_empty.contains(name);
        let emptied = orders.all().filter(|(name, _)| is_news(name));
        let emptied: Vec<NamedOrder> = emptied
            .map(|(name, order)| (name.clone(), Arc::clone(order)))
            .collect();
        told_empty.extend(emptied.iter().map(|(name, _)| name.clone()));
        emptied
    }
}
