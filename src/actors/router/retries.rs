//! The budget of sessions that try another endpoint because one has failed them.

use std::time::Instant;

use super::{Resolve, Router};
use crate::routing::ServiceRoute;

impl Router {
    /// Tells whether a session may try an endpoint: the first one always, another as the service's budget of
    /// retries allows.
    pub(super) fn affords(&self, service: &ServiceRoute, msg: &Resolve) -> bool {
        let book = &self.shared.limits.health;
        if !msg.is_retry {
            if msg.tried.is_empty() {
                book.session_came(&service.name, Instant::now());
            }
            return true;
        }
        let may = book.may_retry(&service.name, Instant::now());
        if may {
            self.scope.metrics.retries.one();
        }
        may
    }
}
