//! Endpoints are known before a session needs them: each has a link, of one worker, although nobody may use it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use actix::prelude::*;

use super::Router;
use crate::actors::backend_pool::Probe;

impl Router {
    /// Probes at each `backend.probe_interval`; never where that is 0.
    pub(super) fn probe_regularly(&self, ctx: &mut Context<Self>) {
        let interval = self.scope.config.backend.probe_interval;
        if !interval.is_zero() {
            ctx.run_interval(interval, |router, _| router.probe());
        }
    }

    /// Has the pools of this worker's share of all endpoints keep a link each.
    pub(super) fn probe(&mut self) {
        let Some(table) = self.table().filter(|_| !self.closing) else {
            return;
        };
        let config = &self.scope.config;
        if config.backend.probe_interval.is_zero() {
            return;
        }
        let (worker, workers) = (self.scope.worker, config.gateway.worker_count());
        let most = self.scope.gate.most_probed();
        for (service, endpoint) in table.probed().take(most) {
            if share_of(&service.name, endpoint, workers) == worker {
                self.pool(service, endpoint).do_send(Probe);
            }
        }
    }
}

/// Returns the worker that keeps an endpoint known. It depends on nothing else, so that another rule or another
/// endpoint moves no link.
fn share_of(service: &str, endpoint: SocketAddr, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    (service, endpoint).hash(&mut hasher);
    (hasher.finish() % workers.max(1) as u64) as usize
}
