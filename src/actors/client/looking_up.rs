//! Services whose sessions go where Redis says that their user goes: a look-up while the service's frames wait.

use std::net::SocketAddr;
use std::time::Instant;

use super::WorkerScope;
use super::ending::retry_after_ms;
use super::opens::Opens;
use super::ways::{Wish, assigned_link};
use crate::actors::assignment_reader::{Assigned, How, LookUp, Unassigned};
use crate::actors::link::Lease;
use crate::actors::router::{Resolve, Unresolved};
use crate::codec::code::Code;
use crate::metrics::LookedUp;
use crate::session::closing::Retry;
use crate::session::core::RouteFailed;

const NOT_ASSIGNED: RouteFailed = RouteFailed {
    code: Code::NO_ROUTE,
    text: "no backend is assigned",
    retry_after_ms: 0,
};

/// Looks a user up. `anew`: what is known will not do.
async fn look_up(
    shared: &WorkerScope,
    resolve: &Resolve,
    anew: bool,
) -> Result<Assigned, RouteFailed> {
    let (Some(reader), true) = (shared.assignments.seat(), resolve.user_id != 0) else {
        return Err(NOT_ASSIGNED);
    };
    let ask = || LookUp {
        service: resolve.service.clone(),
        user_id: resolve.user_id,
        anew,
    };
    // It keeps to the timeout itself; beyond twice that its thread hangs.
    let patience = 2 * shared.scope.config.redis.timeout;
    let began = Instant::now();
    let answer = tokio::time::timeout(patience, reader.ask(ask)).await;
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(Unassigned::Unknown),
    };
    let looked_up = match answer {
        Ok(Assigned { how, .. }) => match how {
            How::Known => LookedUp::Known,
            How::Read => LookedUp::Read,
            How::LastGood => LookedUp::LastGood,
        },
        Err(Unassigned::Nowhere { known: true }) => LookedUp::KnownNone,
        Err(Unassigned::Nowhere { known: false }) => LookedUp::ReadNone,
        Err(Unassigned::Unknown) => LookedUp::Failed,
    };
    let metrics = &shared.scope.metrics;
    metrics.looked_up.observe(looked_up, began.elapsed());
    answer.map_err(|why| match why {
        Unassigned::Nowhere { .. } => NOT_ASSIGNED,
        Unassigned::Unknown => RouteFailed {
            code: Code::UNAVAILABLE,
            text: "assignments cannot be read",
            retry_after_ms: retry_after_ms(Retry::Spread),
        },
    })
}

/// A link to the endpoint that the user is assigned to. `again`: the session was somewhere before, and that may have
/// been the reason for another assignment.
pub(super) async fn looked_up_link(
    shared: &WorkerScope,
    again: bool,
    wish: Wish<'_>,
    opens: &mut Opens,
) -> Result<Lease, RouteFailed> {
    let requires = wish.rule.is_some_and(|rule| rule.require_bind);
    if requires && !wish.resolve.is_bound {
        return Err(Unresolved::NOT_BOUND.into());
    }
    let first = look_up(shared, &wish.resolve, again).await?;
    let failed = match assigned_link(shared, first.endpoint, wish.clone(), opens).await {
        Ok(lease) => return Ok(lease),
        Err(failed) => failed,
    };
    if first.how == How::Read || wish.asker.wanted.is_given_up() {
        return Err(failed);
    }
    // Its server is gone, or full: the user may be assigned to another since.
    let then = look_up(shared, &wish.resolve, true).await?;
    match then.endpoint == first.endpoint {
        true => Err(failed),
        false => assigned_link(shared, then.endpoint, wish, opens).await,
    }
}

/// Finds where a session may be moved: where its user is assigned to, if that is not where it is.
pub(super) async fn find_assigned(
    shared: &WorkerScope,
    from: SocketAddr,
    resolve: &Resolve,
) -> Result<SocketAddr, Code> {
    let found = look_up(shared, resolve, true).await;
    // One that cannot be looked up now is tried again; it is not known to have no place.
    let code = |failed: RouteFailed| match failed.code {
        Code::UNAVAILABLE => Code::CONFLICT,
        code => code,
    };
    let endpoint = found.map_err(code)?.endpoint;
    if endpoint == from {
        return Err(Code::NO_ROUTE);
    }
    match shared.takes_sessions(&resolve.service, endpoint) {
        true => Ok(endpoint),
        false => Err(Code::UNAVAILABLE),
    }
}
