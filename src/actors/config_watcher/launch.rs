//! Start of the watcher, and takeover by its successor when it has panicked.

use std::sync::Arc;

use serde_json::json;

use super::source::Source;
use super::{Cause, ConfigWatcher, OneAtATime, RoutesLoaded};
use crate::actors::assignment_reader::AssignmentReader;
use crate::actors::backend_pool::OperatorBook;
use crate::actors::router::Router;
use crate::config::Config;
use crate::routing::RoutingData;
use crate::scope::RoutesInForce;
use crate::store::names::Names;
use crate::store::redis::Version;
use crate::supervision::{
    self, ActorId, ActorRegistry, Budget, CountedRecipient, Inspectable, Kind, ROOT, Registration,
    RescueSlot, Rescued, Seat, Supervised, mailbox,
};

/// State of a watcher that outlives its panic.
#[derive(Default)]
pub(super) struct State {
    /// The newest news for the gateway.
    pub(super) told: RoutesLoaded,
    /// The newest good data; in force, or soon.
    pub(super) newest: Option<Arc<RoutingData>>,
    /// The version in the history of Redis that it is.
    pub(super) recorded: Option<Arc<Version>>,
    pub(super) names: Names,
    /// The version of the names that the newest table was built with.
    pub(super) built_names: u64,
    pub(super) connected_before: bool,
}

impl State {
    /// Returns true if the newest good data is in force.
    pub(super) fn is_in_force(&self) -> bool {
        let table = self.told.table.as_ref();
        table.is_some_and(|table| {
            (self.newest.as_ref()).is_some_and(|newest| Arc::ptr_eq(table.data(), newest))
        })
    }
}

/// Whom a watcher tells.
#[derive(Clone)]
pub struct Audience {
    /// They get each new table.
    pub routers: Vec<Seat<Router>>,
    /// Where a router that takes over finds the table.
    pub in_force: Arc<RoutesInForce>,
    /// It follows the services whose rules read assignments; none without Redis.
    pub assignments: Option<Seat<AssignmentReader>>,
    /// It applies orders by name to the addresses of each new table.
    pub operator: Arc<OperatorBook>,
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
    let slot = RescueSlot::with(State {
        told: RoutesLoaded {
            source: source.into(),
            ..RoutesLoaded::default()
        },
        ..State::default()
    });
    let config = Arc::clone(config);
    supervision::supervise(seat, entry, budget, move |registration| {
        ConfigWatcher::new(registration, &config, audience.clone(), slot.take())
    });
}

impl ConfigWatcher {
    /// Creates a watcher that goes on where an earlier one, if any, has ended. It connects again.
    fn new(
        registration: Registration,
        config: &Config,
        audience: Audience,
        mut state: Rescued<State>,
    ) -> ConfigWatcher {
        state.names.begin_anew();
        let mut watcher = ConfigWatcher {
            registration,
            state,
            source: Source::new(config),
            interval: Source::interval(config),
            resolve_interval: config.backend.resolve_interval,
            audience,
            cause: Cause::Start,
            changed_by: None,
            reading: OneAtATime::default(),
            seen: None,
            building: OneAtATime::default(),
            names_until: None,
            name_timer: None,
            retired: Vec::new(),
            settling: false,
            retrying: false,
            watch: None,
        };
        watcher.connection(None);
        watcher
    }
}

impl Inspectable for ConfigWatcher {
    type Detail = serde_json::Value;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
        let told = &self.state.told;
        json!({
            "source": &*told.source,
            "version": told.version,
            "services": told.services,
            "watching": told.watching,
            "redis_connected": told.redis_connected,
            "loads": told.loads,
            "notifications": told.notifications,
            "reconnects": told.reconnects,
            "names": self.state.names.len(),
            "lookups": self.state.names.running(),
            "last_error": told.error.as_deref(),
        })
    }
}

mailbox!(ConfigWatcher);

impl Supervised for ConfigWatcher {
    fn leave_state(&mut self) {
        self.state.pass_on();
    }
}
