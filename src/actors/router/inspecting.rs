//! A router's account of itself, and its restart by hand.

use std::collections::{BTreeSet, HashMap};

use serde_json::json;

use super::Router;
use crate::supervision::{Inspectable, Registration, Supervised, mailbox};

impl Inspectable for Router {
    type Detail = serde_json::Value;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
        json!({
            "routes_version": self.state.table.as_ref().map_or(0, |table| table.version()),
            "pools": self.state.pools.values().map(HashMap::len).sum::<usize>(),
            "unusable_endpoints": self.dead.values().map(BTreeSet::len).sum::<usize>(),
        })
    }
}

mailbox!(Router);

impl Supervised for Router {
    fn restart_refused(&self) -> Option<&'static str> {
        self.closing.then_some("the gateway ends")
    }

    fn leave_state(&mut self) {
        self.state.pass_on();
    }
}
