//! A session's way to its links: `Resolve` to the router, `Bind` to a pool, and back with a lease.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::ending::retry_after_ms;
use super::opens::Opens;
use super::{Changed, Client, WorkerScope};
use crate::actors::backend_pool::{Bind, BindFailed};
use crate::actors::link::{Lease, LinkEvent};
use crate::actors::router::{By, NoPool, PoolAt, Resolve, Router, Unresolved};
use crate::codec::code::Code;
use crate::metrics::Routed;
use crate::routing::{ServiceRoute, Why};
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
        let rule = self.shared.rule(&service);
        let mut opens = Opens::of(&self.stats);
        let opening = async move {
            let result = match assigned {
                None => {
                    let found = find_link(router, resolve, open, client, &mut opens).await;
                    found.map(|(lease, why)| (lease, Some(why)))
                }
                Some(endpoint) => {
                    let (rule, began) = (rule.as_deref(), opens.begins());
                    let link = assigned_link(router, endpoint, rule, resolve, open, client).await;
                    opens.ended(
                        began,
                        endpoint,
                        link.as_ref().err().map(|failed| failed.text),
                    );
                    link.map(|lease| (lease, None))
                }
            };
            (result, opens)
        };
        ctx.spawn(
            opening
                .into_actor(self)
                .map(move |(result, opens), client, ctx| {
                    let how = match result {
                        Ok(_) => Routed::Found,
                        Err(_) => Routed::Refused,
                    };
                    let (metrics, took) = (&client.shared.scope.metrics, began.elapsed());
                    metrics.route.observe(how, took);
                    client.trace(|| routed(&service, &result, took));
                    let led = result.as_ref().map(|(lease, why)| (lease.endpoint(), *why));
                    client.span_route(&service, led, took, opens);
                    client.at_core(ctx, |core, step| match result {
                        Ok((lease, _)) => core.service_opened(&service, epoch, lease, step),
                        Err(why) => core.service_failed(&service, why, step),
                    });
                    ctx.notify(Changed);
                }),
        );
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
        let bind = Bind {
            session_id,
            realm_id,
            open,
            client: self.registration.address(ctx).recipient(),
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
        let opening = async move {
            let began = opens.begins();
            let lease = link_at(router, at, bind).await;
            opens.ended(
                began,
                endpoint,
                lease.as_ref().err().map(|failed| failed.text),
            );
            (lease, opens)
        };
        ctx.spawn(
            opening
                .into_actor(self)
                .map(move |(lease, opens), client, ctx| {
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
                }),
        );
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
        let finding = find_endpoint(Rc::clone(&self.shared), resolve);
        ctx.spawn(finding.into_actor(self).map(move |found, client, ctx| {
            client.at_core(ctx, |core, step| {
                core.found_elsewhere(&service, from, asked, found, step);
            });
        }));
    }
}

impl WorkerScope {
    /// The rule of a service that is in force.
    fn rule(&self, service: &str) -> Option<Arc<ServiceRoute>> {
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

/// A link to the endpoint that a session is bound to.
async fn link_at(router: Seat<Router>, at: PoolAt, bind: Bind) -> Result<Lease, RouteFailed> {
    // A pool that nobody has used any more may end just now; then there is a fresh one.
    for _ in 0..2 {
        let pool = router.ask(|| at.clone()).await;
        let pool = pool.map_err(|_| unreachable(0))?.map_err(no_pool)?;
        if let Ok(bound) = pool.ask(|| bind.clone()).await {
            return bound.map_err(refused);
        }
    }
    Err(unreachable(0))
}

fn no_pool(why: NoPool) -> RouteFailed {
    match why {
        NoPool::Unknown => unreachable(0),
        NoPool::TooMany => RouteFailed {
            code: Code::UNAVAILABLE,
            text: "too many assigned backends",
            retry_after_ms: retry_after_ms(Retry::Spread),
        },
    }
}

fn unreachable(retry_after_ms: u32) -> RouteFailed {
    RouteFailed {
        code: Code::BAD_GATEWAY,
        text: "the backend cannot be reached",
        retry_after_ms,
    }
}

fn refused(why: BindFailed) -> RouteFailed {
    match why {
        BindFailed::Unreachable { retry_after_ms } => unreachable(retry_after_ms),
        BindFailed::Leaving => RouteFailed {
            text: "the backend takes no new sessions",
            ..unreachable(retry_after_ms(Retry::Spread))
        },
        BindFailed::NoLinkLeft | BindFailed::Crowded | BindFailed::Full => RouteFailed {
            code: Code::UNAVAILABLE,
            text: "the service is over capacity",
            retry_after_ms: retry_after_ms(Retry::Spread),
        },
    }
}

/// A link to the endpoint that a backend has assigned the session to.
async fn assigned_link(
    router: Seat<Router>,
    endpoint: SocketAddr,
    rule: Option<&ServiceRoute>,
    resolve: Resolve,
    open: Vec<u8>,
    client: CountedRecipient<LinkEvent>,
) -> Result<Lease, RouteFailed> {
    if rule.is_some_and(|rule| rule.require_bind) && !resolve.is_bound {
        return Err(Unresolved::NOT_BOUND.into());
    }
    let at = PoolAt {
        service: resolve.service,
        endpoint,
        by: By::Assignment,
    };
    let bind = Bind {
        session_id: resolve.session_id,
        realm_id: resolve.realm_id,
        open,
        client,
        resumes: false,
        arrives: false,
        max_sessions: rule.and_then(|rule| rule.max_sessions),
    };
    let lease = link_at(router, at, bind).await?;
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
    opens: &mut Opens,
) -> Result<(Lease, Why), RouteFailed> {
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
            arrives: false,
            max_sessions: resolved.max_sessions,
        };
        let began = opens.begins();
        let answer = resolved.pool.ask(bind).await;
        is_retry = matches!(answer, Ok(Err(BindFailed::Unreachable { .. })) | Err(_));
        failed = match answer {
            Ok(Ok(lease)) => {
                opens.ended(began, resolved.endpoint, None);
                // What has gathered meanwhile follows at once.
                lease.room().await;
                return Ok((lease, resolved.why));
            }
            Ok(Err(why)) => refused(why),
            Err(_) => unreachable(retry_after_ms(Retry::Spread)),
        };
        opens.ended(began, resolved.endpoint, Some(failed.text));
        tried.push(resolved.endpoint);
    }
    Err(failed)
}
