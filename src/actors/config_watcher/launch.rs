//! How the watcher starts, and how the next one takes over when it has panicked.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::source::Source;
use super::{ConfigWatcher, OneAtATime, RoutesLoaded};
use crate::actors::life::{
    self, Account, ActorId, Budget, Legacy, Port, ROOT, Roster, Seat, Vitals, inspectable,
};
use crate::actors::router::Router;
use crate::actors::scope::RoutesInForce;
use crate::actors::snapshots::Kind;
use crate::config::Config;
use crate::routing::{EndpointName, RoutingData};

/// What a watcher leaves to the next one.
#[derive(Default)]
pub(super) struct Estate {
    told: RoutesLoaded,
    data: Option<RoutingData>,
    looked_up: BTreeSet<EndpointName>,
    connected_before: bool,
}

/// Whom a watcher tells.
#[derive(Clone)]
pub struct Audience {
    /// They get each new table.
    pub routers: Vec<Seat<Router>>,
    /// Where a router that takes over finds the table.
    pub in_force: Arc<RoutesInForce>,
    /// It gets the news of each attempt to load; the first when that has ended.
    pub gateway: Port<RoutesLoaded>,
}

/// Starts the supervised watcher of the source that the configuration names, on this thread.
pub fn launch(
    config: &Arc<Config>,
    roster: &Arc<Roster>,
    budget: Arc<Budget>,
    seat: Seat<ConfigWatcher>,
    audience: Audience,
) {
    let id = ActorId {
        kind: Kind::ConfigWatcher,
        number: 0,
    };
    let source = Source::new(config).describe(config);
    let entry = roster.enter(id, source.clone(), None, Some(ROOT));
    let legacy = Legacy::<Estate>::default();
    legacy.begin_with(Estate {
        told: RoutesLoaded {
            source: source.into(),
            ..RoutesLoaded::default()
        },
        ..Estate::default()
    });
    let config = Arc::clone(config);
    life::supervise(seat, entry, budget, move |vitals| {
        ConfigWatcher::new(vitals, &config, audience.clone(), legacy.clone())
    });
}

impl ConfigWatcher {
    /// A watcher that goes on where an earlier one has ended, if there was one. It connects anew.
    fn new(
        vitals: Vitals,
        config: &Config,
        audience: Audience,
        legacy: Legacy<Estate>,
    ) -> ConfigWatcher {
        let estate = legacy.take().unwrap_or_default();
        let mut watcher = ConfigWatcher {
            vitals,
            legacy,
            source: Source::new(config),
            interval: Source::interval(config),
            audience,
            told: estate.told,
            data: estate.data,
            looked_up: estate.looked_up,
            failures: Vec::new(),
            reading: OneAtATime::default(),
            resolving: OneAtATime::default(),
            settling: false,
            retrying: false,
            connected_before: estate.connected_before,
            watch: None,
        };
        watcher.connection(None);
        watcher
    }
}

impl Drop for ConfigWatcher {
    fn drop(&mut self) {
        self.legacy.leave(|| Estate {
            told: std::mem::take(&mut self.told),
            data: self.data.take(),
            looked_up: std::mem::take(&mut self.looked_up),
            connected_before: self.connected_before,
        });
    }
}

impl Account for ConfigWatcher {
    fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    fn account(&self) -> serde_json::Value {
        let told = &self.told;
        json!({
            "source": &*told.source,
            "version": told.version,
            "services": told.services,
            "watching": told.watching,
            "redis_connected": told.redis_connected,
            "loads": told.loads,
            "notifications": told.notifications,
            "reconnects": told.reconnects,
            "names": told.addresses.len(),
            "last_error": told.error.as_deref(),
        })
    }
}

inspectable!(ConfigWatcher);
