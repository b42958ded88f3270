//! Ways to a link: `Resolve` to the router, `Bind` to a pool, and back with a lease.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::WorkerScope;
use super::ending::retry_after_ms;
use super::looking_up::looked_up_link;
use super::opens::Opens;
use super::traced::Word;
use crate::actors::backend_pool::{Bind, BindFailed};
use crate::actors::link::{Lease, LinkEvent, Wanted};
use crate::actors::router::{By, NoPool, PoolAt, Resolve, Router, Unresolved};
use crate::codec::code::Code;
use crate::routing::{ServiceRoute, Why};
use crate::session::closing::Retry;
use crate::session::core::RouteFailed;
use crate::supervision::{CountedRecipient, Seat};

/// Endpoints that one session tries for one service before it is refused.
pub(super) const MAX_ENDPOINTS_TRIED: usize = 8;

/// A session's wish for a link to a service.
#[derive(Clone)]
pub(super) struct Wish<'a> {
    pub(super) rule: Option<&'a ServiceRoute>,
    pub(super) resolve: Resolve,
    /// The payload of OPEN.
    pub(super) open: Vec<u8>,
    pub(super) asker: Asker,
}

/// Whose session wants a link, and whether it still does.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) client: CountedRecipient<LinkEvent>,
    pub(super) wanted: Wanted,
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

/// A link to wherever a session's service goes, and by whose word; and the OPENs on the way to it.
pub(super) async fn find_way(
    shared: Rc<WorkerScope>,
    assigned: Option<SocketAddr>,
    again: bool,
    resolve: Resolve,
    open: Vec<u8>,
    asker: Asker,
    mut opens: Opens,
) -> (Result<(Lease, Word), RouteFailed>, Opens) {
    let rule = shared.rule(&resolve.service);
    let reads = rule.as_ref().is_some_and(|rule| rule.reads_assignments);
    let wish = Wish {
        rule: rule.as_deref(),
        resolve,
        open,
        asker,
    };
    let by = |word| move |lease| (lease, word);
    let found = match assigned {
        Some(endpoint) => {
            let link = assigned_link(&shared, endpoint, wish, &mut opens).await;
            link.map(by(Word::Session))
        }
        None if reads => {
            let link = looked_up_link(&shared, again, wish, &mut opens).await;
            link.map(by(Word::Redis))
        }
        None => {
            let found = find_link(shared.router.clone(), wish, &mut opens).await;
            found.map(|(lease, why)| (lease, Word::Rules(why)))
        }
    };
    (found, opens)
}

/// A link to the endpoint that a session is bound to.
pub(super) async fn link_at(
    router: Seat<Router>,
    at: PoolAt,
    bind: Bind,
) -> Result<Lease, RouteFailed> {
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

/// A link to the endpoint that the session is assigned to.
pub(super) async fn assigned_link(
    shared: &WorkerScope,
    endpoint: SocketAddr,
    wish: Wish<'_>,
    opens: &mut Opens,
) -> Result<Lease, RouteFailed> {
    let Wish {
        rule,
        resolve,
        open,
        asker: Asker { client, wanted },
    } = wish;
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
        wanted: wanted.clone(),
        resumes: false,
        arrives: false,
        max_sessions: rule.and_then(|rule| rule.max_sessions),
    };
    let began = opens.begins();
    let link = link_at(shared.router.clone(), at, bind).await;
    let error = link.as_ref().err().map(|failed| failed.text);
    opens.ended(began, endpoint, error);
    let lease = link?;
    lease.room(&wanted).await;
    Ok(lease)
}

/// Asks the router and pools in turn until one has a link: first where the session belongs, then
/// where else its strategy allows.
async fn find_link(
    router: Seat<Router>,
    wish: Wish<'_>,
    opens: &mut Opens,
) -> Result<(Lease, Why), RouteFailed> {
    let Wish {
        resolve,
        open,
        asker: Asker { client, wanted },
        ..
    } = wish;
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut failed = unreachable(retry_after_ms(Retry::Spread));
    let mut is_retry = false;
    while tried.len() < MAX_ENDPOINTS_TRIED && !wanted.is_given_up() {
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
            wanted: wanted.clone(),
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
                lease.room(&wanted).await;
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
