//! How the watcher starts, and how the next one takes over when it has panicked.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::source::Source;
use super::{ConfigWatcher, OneAtATime, RoutesLoaded};
use crate::actors::router::Router;
use crate::config::Config;
use crate::routing::{EndpointName, RoutingData};
use crate::scope::RoutesInForce;
use crate::supervision::{
    self, ActorId, ActorRegistry, Budget, CountedRecipient, Inspectable, Kind, ROOT, Registration,
    Rescued, Seat, mailbox,
};

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
    pub gateway: CountedRecipient<RoutesLoaded>,
}

/// Starts the supervised watcher of the source that the configuration names, on this thread.
pub fn launch(
    config: &Arc<Config>,
    actors: &Arc<ActorRegistry>,
    budget: Arc<Budget>,
    seat: Seat<ConfigWatcher>,
    audience: Audience,
) {
    let id = ActorId {
        kind: Kind::ConfigWatcher,
        number: 0,
    };
    let source = Source::new(config).describe(config);
    let entry = actors.register(id, source.clone(), None, Some(ROOT));
    let rescued = Rescued::<Estate>::default();
    rescued.begin_with(Estate {
        told: RoutesLoaded {
            source: source.into(),
            ..RoutesLoaded::default()
        },
        ..Estate::default()
    });
    let config = Arc::clone(config);
    supervision::supervise(seat, entry, budget, move |registration| {
        ConfigWatcher::new(registration, &config, audience.clone(), rescued.clone())
    });
}

impl ConfigWatcher {
    /// A watcher that goes on where an earlier one has ended, if there was one. It connects anew.
    fn new(
        registration: Registration,
        config: &Config,
        audience: Audience,
        rescued: Rescued<Estate>,
    ) -> ConfigWatcher {
        let estate = rescued.take().unwrap_or_default();
        let mut watcher = ConfigWatcher {
            registration,
            rescued,
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
        self.rescued.leave(|| Estate {
            told: std::mem::take(&mut self.told),
            data: self.data.take(),
            looked_up: std::mem::take(&mut self.looked_up),
            connected_before: self.connected_before,
        });
    }
}

impl Inspectable for ConfigWatcher {
    type Detail = serde_json::Value;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
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

mailbox!(ConfigWatcher);
