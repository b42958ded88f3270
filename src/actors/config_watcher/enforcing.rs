//! Building tables and putting them in force.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use actix::prelude::*;
use tokio::time::Instant;

use super::source::blocking;
use super::{Cause, Change, ConfigWatcher, changes};
use crate::actors::router::RoutesChanged;
use crate::labels::Label;
use crate::routing::{Difference, EndpointName, RouteTable, RoutingData};
use crate::store::names::Host;

impl ConfigWatcher {
    /// Builds a table where the newest data is not in force yet or a name has other addresses, unless new
    /// names are worth waiting for.
    pub(super) fn build_if_due(&mut self, ctx: &mut Context<Self>) {
        let Some(data) = &self.state.newest else {
            return;
        };
        let table = self.state.told.table.as_ref();
        let is_new = table.is_none_or(|table| !Arc::ptr_eq(table.data(), data));
        let names = self.state.names.version();
        if !is_new && names == self.state.built_names {
            return;
        }
        let is_late = self.names_until.is_none_or(|until| until <= Instant::now());
        if is_new && self.state.names.is_waiting() && !is_late {
            return;
        }
        if !self.building.begin() {
            return;
        }
        let (data, addresses) = (Arc::clone(data), self.state.names.addresses());
        let previous = table.cloned();
        let version = self.state.told.version + 1;
        let failures = Arc::clone(self.state.names.failures());
        let build = blocking(move || {
            let addresses = by_endpoint(&data, &addresses);
            let table = RouteTable::build(version, &data, &addresses, previous.as_deref());
            let previous = previous.filter(|_| is_new);
            let difference =
                previous.map(|old| Difference::between(old.data(), &data, changes::LIMITS));
            (table.with_failures(failures), difference)
        });
        ctx.spawn(build.into_actor(self).map(move |built, watcher, ctx| {
            let (table, difference) = built;
            watcher.state.built_names = names;
            watcher.put_in_force(Arc::new(table), is_new, difference);
            watcher.building.end();
            watcher.build_if_due(ctx);
        }));
    }

    fn put_in_force(
        &mut self,
        table: Arc<RouteTable>,
        is_new: bool,
        difference: Option<Difference>,
    ) {
        let version = table.version();
        if is_new {
            self.remember(&table, difference);
        } else {
            let (services, realms) = (table.data().rules.len(), table.data().realms.len());
            let because = Cause::Resolved.label();
            tracing::info!(version, services, realms, because, "routes in force");
        }
        self.audience.operator.refresh(&table);
        self.audience.in_force.store(Some(Arc::clone(&table)));
        for router in &self.audience.routers {
            // One that is just being rebuilt takes the table that is in force.
            router.do_send(RoutesChanged(Arc::clone(&table)));
        }
        if let Some(reader) = &self.audience.assignments {
            // One that is just being rebuilt looks at the table that is in force.
            reader.do_send(RoutesChanged(Arc::clone(&table)));
        }
        self.state.told.version = version;
        self.state.told.services = table.data().rules.len();
        self.state.told.loaded_at = Some(SystemTime::now());
        self.retired.extend(self.state.told.table.replace(table));
        self.tell();
        self.bury();
    }

    /// Notes and logs that new data comes in force: whose it is, and what changes with it.
    fn remember(&mut self, table: &RouteTable, difference: Option<Difference>) {
        // Newer data may have been read meanwhile; what is known of that is not said of this.
        let newest = self.state.newest.as_ref();
        let is_newest = newest.is_some_and(|newest| Arc::ptr_eq(newest, table.data()));
        let recorded = self.state.recorded.clone().filter(|_| is_newest);
        let written = recorded.as_ref().filter(|it| it.author.is_some());
        // The history knows better than a notification, which may have been lost, or be another's.
        let said = self.changed_by.take_if(|_| is_newest);
        let by = written.map(|version| version.says()).or(said);
        let (version, data, because) = (table.version(), table.data(), self.cause.label());
        let (services, realms) = (data.rules.len(), data.realms.len());
        tracing::info!(
            version,
            services,
            realms,
            because,
            by,
            recorded = recorded.as_ref().map(|it| it.number),
            // Not `message`, which is the event's own text in a log of JSON.
            recorded_message = recorded
                .as_ref()
                .map(|it| &*it.message)
                .filter(|it| !it.is_empty()),
            changes = difference.as_ref().map(tracing::field::display),
            "routes in force"
        );
        let change = Change {
            version,
            at: SystemTime::now(),
            because,
            by: by.map(Arc::from),
            recorded: recorded.clone(),
            services,
            realms,
            difference,
        };
        Arc::make_mut(&mut self.state.told.changes).push(change);
        self.state.told.recorded = recorded;
    }

    /// Drops the tables that nobody else holds any more, where that delays nobody.
    pub(super) fn bury(&mut self) {
        let unused = |table: &mut Arc<RouteTable>| Arc::strong_count(table) == 1;
        let unused: Vec<_> = self.retired.extract_if(.., unused).collect();
        if !unused.is_empty() {
            actix::spawn(blocking(move || drop(unused)));
        }
    }
}

/// Returns the addresses of the endpoints that have names.
fn by_endpoint(
    data: &RoutingData,
    addresses: &BTreeMap<Host, Vec<IpAddr>>,
) -> BTreeMap<EndpointName, Vec<SocketAddr>> {
    if addresses.is_empty() {
        return BTreeMap::new();
    }
    let resolved = |name: &EndpointName| {
        let addresses = addresses.get(name.host.as_str())?.iter();
        let addresses = addresses.map(|ip| SocketAddr::new(*ip, name.port));
        Some((name.clone(), addresses.collect()))
    };
    data.endpoint_names()
        .into_iter()
        .filter_map(resolved)
        .collect()
}
