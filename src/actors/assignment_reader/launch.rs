//! Start of the reader, and takeover by its successor when it has panicked.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;

use super::follow::Connection;
use super::{AssignmentReader, Assignments, Cache, Complaints, State, Troubles};
use crate::config::Config;
use crate::memory::{Held, Part};
use crate::scope::RoutesInForce;
use crate::store::assignments::Limits;
use crate::store::redis::{Keys, Server};
use crate::supervision::{
    self, ActorId, ActorRegistry, Budget, Inspectable, Kind, ROOT, Registration, RescueSlot,
    Supervised, mailbox,
};

/// Starts the supervised reader on this thread, where there is Redis.
pub fn launch(
    config: &Config,
    assignments: &Assignments,
    routes: &Arc<RoutesInForce>,
    actors: &Arc<ActorRegistry>,
    budget: Arc<Budget>,
) {
    let Some(seat) = assignments.seat() else {
        return;
    };
    let id = ActorId {
        kind: Kind::AssignmentReader,
        number: 0,
    };
    let entry = actors.register(id, String::new(), None, Some(ROOT));
    let redis = &config.redis;
    let slot = RescueSlot::with(State {
        cache: Cache::new(Limits {
            entries: redis.max_assignments,
            ttl: redis.assignment_ttl,
            negative_ttl: redis.assignment_negative_ttl,
        }),
    });
    let (server, keys) = (
        Arc::new(Server::for_assignments(redis)),
        Arc::new(Keys::new(&redis.prefix)),
    );
    let (routes, counts) = (Arc::clone(routes), Arc::clone(assignments.counts()));
    supervision::supervise(seat.clone(), entry, budget, move |registration| {
        let mut state = slot.take();
        state.cache.begin_anew();
        AssignmentReader {
            registration,
            state,
            server: Arc::clone(&server),
            keys: Arc::clone(&keys),
            routes: Arc::clone(&routes),
            counts: Arc::clone(&counts),
            services: BTreeSet::new(),
            connection: watch::Sender::new(Connection::None),
            following: None,
            asking: 0,
            troubles: Troubles::default(),
            complaints: Complaints::new(),
            held: Held::new(Part::Assignments, 0),
        }
    });
}

impl Inspectable for AssignmentReader {
    type Detail = serde_json::Value;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
        let account = self.account();
        json!({
            "services": account.services,
            "redis_connected": account.connected,
            "known": account.known,
            "asking": self.asking,
            "last_error": account.error.as_deref(),
        })
    }
}

mailbox!(AssignmentReader);

impl Supervised for AssignmentReader {
    fn leave_state(&mut self) {
        self.state.pass_on();
    }
}
