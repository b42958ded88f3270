//! A session's services and their links, as the core wishes: to route one, to reach one, to look for another.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;

use super::looking_up::find_assigned;
use super::opens::Opens;
use super::traced::routed;
use super::wanting::Wanting;
use super::ways::{Asker, MAX_ENDPOINTS_TRIED, find_way, link_at};
use super::{Changed, Client, WorkerScope};
use crate::actors::backend_pool::Bind;
use crate::actors::link::Want;
use crate::actors::router::{By, PoolAt, Resolve};
use crate::codec::code::Code;
use crate::memory::{Held, Part};
use crate::metrics::Routed;
use crate::routing::ServiceRoute;
use crate::session::core::{Elsewhere, Reach, Route, RouteFailed};
use crate::supervision::Pumped;
use crate::traces::{Decision, Name};

impl Client {
    /// Routes a service by the rules in force and opens it.
    pub(super) fn route(&mut self, route: Route, ctx: &mut Pumped<Self>) {
        let Route {
            service,
            session_id,
            realm_id,
            user_id,
            is_bound,
            epoch,
            assigned,
            again,
            open,
        } = route;
        let resolve = Resolve {
            service: Arc::clone(&service),
            realm_id,
            user_id,
            session_id,
            is_bound,
            tried: Vec::new(),
            is_retry: false,
        };
        self.trace(|| {
            let who = format!("realm {realm_id}, user {user_id}");
            Decision::new(Name::Routing).service(&service).detail(who)
        });
        let want = Want::new();
        let asker = Asker {
            client: self.registration.address(ctx).recipient(),
            wanted: want.wanted(),
        };
        let began = Instant::now();
        let (shared, opens) = (Rc::clone(&self.shared), Opens::of(&self.stats));
        let opening = find_way(shared, assigned, again, resolve, open, asker, opens);
        let then = move |(result, opens): (Result<_, RouteFailed>, Opens),
                         client: &mut Client,
                         ctx: &mut _| {
            let how = match result {
                Ok(_) => Routed::Found,
                Err(_) => Routed::Refused,
            };
            let (metrics, took) = (&client.shared.scope.metrics, began.elapsed());
            metrics.route.observe(how, took);
            client.trace(|| routed(&service, &result, took));
            client.span_route(&service, &result, took, opens);
            client.at_core(ctx, |core, step| match result {
                Ok((lease, _)) => core.service_opened(&service, epoch, lease, step),
                Err(why) => core.service_failed(&service, why, step),
            });
            ctx.notify(Changed);
        };
        ctx.spawn(Wanting::new(want, opening.into_actor(self).map(then)));
    }

    /// Opens a service at the endpoint that it is bound to.
    pub(super) fn reach(&mut self, reach: Reach, ctx: &mut Pumped<Self>) {
        let Reach {
            service,
            endpoint,
            session_id,
            realm_id,
            open,
            vouched,
            arrives,
        } = reach;
        let rule = self.shared.rule(&service);
        let at = PoolAt {
            service: Arc::clone(&service),
            endpoint,
            by: match vouched {
                true if self.core.is_moving(&service) => By::Assignment,
                true => By::Gateway,
                false => By::Token,
            },
        };
        let want = Want::new();
        let bind = Bind {
            session_id,
            realm_id,
            open,
            client: self.registration.address(ctx).recipient(),
            wanted: want.wanted(),
            resumes: true,
            arrives,
            max_sessions: rule.and_then(|rule| rule.max_sessions),
        };
        let step = move |name, service: &str| {
            let step = Decision::new(name).service(service).endpoint(endpoint);
            step.detail(if vouched { "its gateway says so" } else { "" })
        };
        self.trace(|| step(Name::Reaching, &service));
        let (router, mut opens) = (self.shared.router.clone(), Opens::of(&self.stats));
        // A state may wait for room on the link: here, and in the copy that is sent.
        let held = Held::new(Part::ClientQueues, 2 * bind.open.len());
        let opening = async move {
            let began = opens.begins();
            let lease = link_at(router, at, bind).await;
            drop(held);
            opens.ended(
                began,
                endpoint,
                lease.as_ref().err().map(|failed| failed.text),
            );
            (lease, opens)
        };
        let then = move |(lease, opens): (Result<_, RouteFailed>, Opens),
                         client: &mut Client,
                         ctx: &mut Pumped<Client>| {
            client.span_reach(&service, opens);
            let name = match lease {
                Ok(_) => Name::Reached,
                Err(_) => Name::NotReached,
            };
            client.trace(|| step(name, &service));
            client.at_core(ctx, |core, step| {
                core.service_reached(&service, lease.ok(), step)
            });
            ctx.notify(Changed);
        };
        ctx.spawn(Wanting::new(want, opening.into_actor(self).map(then)));
    }

    /// Looks for another endpoint that a session may be moved to.
    pub(super) fn find_elsewhere(&mut self, elsewhere: Elsewhere, ctx: &mut Pumped<Self>) {
        let Elsewhere {
            service,
            from,
            asked,
            session_id,
            realm_id,
            user_id,
            is_bound,
        } = elsewhere;
        let resolve = Resolve {
            service: Arc::clone(&service),
            realm_id,
            user_id,
            session_id,
            is_bound,
            tried: vec![from],
            is_retry: false,
        };
        let shared = Rc::clone(&self.shared);
        let reads = (shared.rule(&resolve.service)).is_some_and(|rule| rule.reads_assignments);
        let finding = async move {
            match reads {
                true => find_assigned(&shared, from, &resolve).await,
                false => find_endpoint(shared, resolve).await,
            }
        };
        ctx.spawn(finding.into_actor(self).map(move |found, client, ctx| {
            client.at_core(ctx, |core, step| {
                core.found_elsewhere(&service, from, asked, found, step);
            });
        }));
    }
}

impl WorkerScope {
    /// The rule of a service that is in force.
    pub(super) fn rule(&self, service: &str) -> Option<Arc<ServiceRoute>> {
        let table = self.scope.routes.load();
        table.as_ref()?.service(service).cloned()
    }

    /// Tells whether an endpoint of a service takes sessions that it does not have.
    pub(super) fn takes_sessions(&self, service: &str, endpoint: SocketAddr) -> bool {
        let rule = self.rule(service);
        rule.is_none_or(|rule| self.backends.takes_sessions(&rule, endpoint))
    }
}

/// Finds where a session may be moved: the endpoint that the rules say first of those that take it.
async fn find_endpoint(shared: Rc<WorkerScope>, mut resolve: Resolve) -> Result<SocketAddr, Code> {
    // The router sends a session to one of those where no other is left.
    let mut none = None;
    while resolve.tried.len() <= MAX_ENDPOINTS_TRIED {
        let endpoint = match shared.router.ask(|| resolve.clone()).await {
            Ok(Ok(resolved)) => resolved.endpoint,
            Ok(Err(unresolved)) => return Err(none.unwrap_or(unresolved.code)),
            Err(_) => return Err(Code::BAD_GATEWAY),
        };
        if shared.takes_sessions(&resolve.service, endpoint) {
            return Ok(endpoint);
        }
        none = Some(Code::UNAVAILABLE);
        resolve.tried.push(endpoint);
    }
    Err(Code::UNAVAILABLE)
}
