//! A session's way to its links: `Resolve` to the router, `Bind` to a pool, and back with a lease.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::ending::retry_after_ms;
use super::{Changed, Client};
use crate::actors::backend_pool::{Bind, BindFailed};
use crate::actors::link::{Lease, LinkEvent};
use crate::actors::router::{PoolAt, Resolve, Router, Unresolved};
use crate::codec::code::Code;
use crate::metrics::Routed;
use crate::routing::Why;
use crate::session::closing::Retry;
use crate::session::core::{Elsewhere, Hold, Reach, Route, RouteFailed};
use crate::supervision::{CountedRecipient, Seat};
use crate::traces::{Decision, Name};

/// Endpoints that one session tries for one service before it is refused.
const MAX_ENDPOINTS_TRIED: usize = 8;

impl Client {
    /// Routes a service by the rules in force and opens it.
    pub(super) fn route(&mut self, route: Route, ctx: &mut Context<Self>) {
        let Route {
            service,
            session_id,
            realm_id,
            user_id,
            is_bound,
            epoch,
            assigned,
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
        let router = self.shared.router.clone();
        let client = self.registration.address(ctx).recipient();
        let began = Instant::now();
        let opening = async move {
            match assigned {
                None => {
                    let found = find_link(router, resolve, open, client).await;
                    found.map(|(lease, why)| (lease, Some(why)))
                }
                Some(endpoint) => {
                    let link = assigned_link(router, endpoint, resolve, open, client).await;
                    link.map(|lease| (lease, None))
                }
            }
        };
        ctx.spawn(opening.into_actor(self).map(move |result, client, ctx| {
            let how = match result {
                Ok(_) => Routed::Found,
                Err(_) => Routed::Refused,
            };
            let (metrics, took) = (&client.shared.scope.metrics, began.elapsed());
            metrics.route.observe(how, took);
            client.trace(|| routed(&service, &result, took));
            client.at_core(ctx, |core, step| match result {
                Ok((lease, _)) => core.service_opened(&service, epoch, lease, step),
                Err(why) => core.service_failed(&service, why, step),
            });
            ctx.notify(Changed);
        }));
    }

    /// Opens a service at the endpoint that it is bound to.
    pub(super) fn reach(&mut self, reach: Reach, ctx: &mut Context<Self>) {
        let Reach {
            service,
            endpoint,
            session_id,
            realm_id,
            open,
            vouched,
        } = reach;
        let at = PoolAt {
            service: Arc::clone(&service),
            endpoint,
            vouched,
        };
        let bind = Bind {
            session_id,
            realm_id,
            open,
            client: self.registration.address(ctx).recipient(),
            resumes: true,
            max_sessions: None,
        };
        let step = move |name, service: &str| {
            let step = Decision::new(name).service(service).endpoint(endpoint);
            step.detail(if vouched { "its gateway says so" } else { "" })
        };
        self.trace(|| step(Name::Reaching, &service));
        let opening = link_at(self.shared.router.clone(), at, bind);
        ctx.spawn(opening.into_actor(self).map(move |lease, client, ctx| {
            let name = match lease {
                Some(_) => Name::Reached,
                None => Name::NotReached,
            };
            client.trace(|| step(name, &service));
            client.at_core(ctx, |core, step| {
                core.service_reached(&service, lease, step)
            });
            ctx.notify(Changed);
        }));
    }

    /// Looks for another endpoint that a session may be moved to.
    pub(super) fn find_elsewhere(&mut self, elsewhere: Elsewhere, ctx: &mut Context<Self>) {
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
        let router = self.shared.router.clone();
        let finding = async move { router.ask(|| resolve.clone()).await };
        ctx.spawn(finding.into_actor(self).map(move |found, client, ctx| {
            let found = match found {
                Ok(Ok(resolved)) => Ok(resolved.endpoint),
                Ok(Err(unresolved)) => Err(unresolved.code),
                Err(_) => Err(Code::BAD_GATEWAY),
            };
            client.at_core(ctx, |core, step| {
                core.found_elsewhere(&service, from, asked, found, step);
            });
        }));
    }
}

/// The outcome of routing, for traces.
/// `None` for why: a backend has assigned it.
fn routed(
    service: &str,
    result: &Result<(Lease, Option<Why>), RouteFailed>,
    took: Duration,
) -> Decision {
    let micros = took.as_micros();
    match result {
        Ok((lease, why)) => {
            let why = why.map_or("assigned by a backend".to_owned(), |why| why.to_string());
            Decision::new(Name::Routed)
                .endpoint(lease.endpoint())
                .detail(format!("{why}, after {micros} µs"))
        }
        Err(failed) => Decision::new(Name::RouteFailed)
            .code(failed.code.0)
            .detail(format!("{}, after {micros} µs", failed.text)),
    }
    .service(service)
}

impl From<Unresolved> for RouteFailed {
    fn from(unresolved: Unresolved) -> RouteFailed {
        RouteFailed {
            code: unresolved.code,
            text: unresolved.text,
            retry_after_ms: unresolved.retry_after_ms,
        }
    }
}

/// A link to the endpoint that a session is bound to; `None` where it cannot be reached.
async fn link_at(router: Seat<Router>, at: PoolAt, bind: Bind) -> Option<Lease> {
    let pool = router.ask(|| at.clone()).await.ok()??;
    pool.ask(|| bind.clone()).await.ok()?.ok()
}

/// A link to the endpoint that a backend has assigned the session to.
async fn assigned_link(
    router: Seat<Router>,
    endpoint: SocketAddr,
    resolve: Resolve,
    open: Vec<u8>,
    client: CountedRecipient<LinkEvent>,
) -> Result<Lease, RouteFailed> {
    let at = PoolAt {
        service: resolve.service,
        endpoint,
        vouched: true,
    };
    let bind = Bind {
        session_id: resolve.session_id,
        realm_id: resolve.realm_id,
        open,
        client,
        resumes: false,
        max_sessions: None,
    };
    let lease = link_at(router, at, bind).await.ok_or(RouteFailed {
        code: Code::BAD_GATEWAY,
        text: "the backend cannot be reached",
        retry_after_ms: 0,
    })?;
    lease.room().await;
    Ok(lease)
}

/// Asks the router and pools in turn until one has a link: first where the session belongs, then
/// where else its strategy allows.
async fn find_link(
    router: Seat<Router>,
    resolve: Resolve,
    open: Vec<u8>,
    client: CountedRecipient<LinkEvent>,
) -> Result<(Lease, Why), RouteFailed> {
    let unreachable = |retry_after_ms| RouteFailed {
        code: Code::BAD_GATEWAY,
        text: "the backend cannot be reached",
        retry_after_ms,
    };
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut failed = unreachable(retry_after_ms(Retry::Spread));
    let mut is_retry = false;
    while tried.len() < MAX_ENDPOINTS_TRIED {
        let ask = || Resolve {
            service: Arc::clone(&resolve.service),
            tried: tried.clone(),
            is_retry,
            ..resolve.clone()
        };
        let resolved = match router.ask(ask).await {
            Ok(Ok(resolved)) => resolved,
            Ok(Err(full)) if full.code == Code::UNAVAILABLE => return Err(full.into()),
            // Nothing is left to try: what the last one said is more to the point.
            Ok(Err(_)) if !tried.is_empty() => return Err(failed),
            Ok(Err(unresolved)) => return Err(unresolved.into()),
            Err(_) => return Err(failed),
        };
        let bind = || Bind {
            session_id: resolve.session_id,
            realm_id: resolve.realm_id,
            open: open.clone(),
            client: client.clone(),
            resumes: false,
            max_sessions: resolved.max_sessions,
        };
        let answer = resolved.pool.ask(bind).await;
        is_retry = matches!(answer, Ok(Err(BindFailed::Unreachable { .. })) | Err(_));
        failed = match answer {
            Ok(Ok(lease)) => {
                // What has gathered meanwhile follows at once.
                lease.room().await;
                return Ok((lease, resolved.why));
            }
            Ok(Err(BindFailed::Unreachable { retry_after_ms })) => unreachable(retry_after_ms),
            Ok(Err(BindFailed::Leaving)) => RouteFailed {
                text: "the backend takes no new sessions",
                ..unreachable(retry_after_ms(Retry::Spread))
            },
            Ok(Err(BindFailed::NoLinkLeft | BindFailed::Crowded | BindFailed::Full)) => {
                RouteFailed {
                    code: Code::UNAVAILABLE,
                    text: "the service is over capacity",
                    retry_after_ms: retry_after_ms(Retry::Spread),
                }
            }
            Err(_) => unreachable(retry_after_ms(Retry::Spread)),
        };
        tried.push(resolved.endpoint);
    }
    Err(failed)
}
