//! Turns of requests, so that not all are answered at a time. Those that wait for other gateways have turns of their
//! own: whatever the deployment does, this gateway answers for itself.

use actix_http::RequestHead;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::access;
use super::errors::ApiError;
use super::everywhere::asks_others;

/// Requests about this gateway that are answered at a time, except for those of probes; others wait.
const MAX_HERE: usize = 32;
/// Requests that read from all gateways; others are refused, because many people poll when something hangs.
const MAX_READS: usize = 64;
/// Requests that change something on all gateways; others wait.
const MAX_CHANGES: usize = 8;

/// The turns.
pub(super) struct Turns {
    here: Semaphore,
    reads: Semaphore,
    changes: Semaphore,
}

impl Turns {
    pub(super) fn new() -> Turns {
        Turns {
            here: Semaphore::new(MAX_HERE),
            reads: Semaphore::new(MAX_READS),
            changes: Semaphore::new(MAX_CHANGES),
        }
    }

    /// Waits for a turn; a probe needs none.
    ///
    /// # Errors
    /// Too many read from all gateways.
    pub(super) async fn take(
        &self,
        request: &RequestHead,
    ) -> Result<Option<SemaphorePermit<'_>>, ApiError> {
        let path = request.uri.path();
        if access::is_probe(path) {
            return Ok(None);
        }
        let turns = match asks_others(path, request.uri.query()) {
            false => &self.here,
            true if request.method.is_safe() => {
                let busy = |_| ApiError::busy("too many requests wait for the other gateways");
                return self.reads.try_acquire().map(Some).map_err(busy);
            }
            true => &self.changes,
        };
        // Nobody closes it; and who could not wait for a turn would be answered all the same.
        Ok(turns.acquire().await.ok())
    }
}

#[cfg(test)]
mod tests {
    use actix_http::Request;
    use actix_web::http::Method;
    use futures_util::FutureExt;

    use super::*;

    fn request(method: Method, target: &str) -> Request {
        let mut request = Request::new();
        let head = request.head_mut();
        (head.method, head.uri) = (method, target.parse().expect("a target"));
        request
    }

    #[test]
    fn those_who_wait_for_other_gateways_are_in_nobodys_way() {
        let turns = Turns::new();
        let take = |method, target| turns.take(request(method, target).head()).now_or_never();
        let lists = "/api/v1/gateways";
        let bans = "/api/v1/bans?limit=5&deployment=true";
        let mut taken = Vec::new();
        for n in 0..MAX_READS {
            let target = if n % 2 == 0 { lists } else { bans };
            taken.push(take(Method::GET, target).expect("at once").expect("a turn"));
        }
        let refused = take(Method::GET, bans).expect("at once");
        assert!(refused.is_err(), "one too many");
        for _ in 0..MAX_CHANGES {
            taken.push(take(Method::POST, bans).expect("at once").expect("a turn"));
        }
        assert!(take(Method::POST, bans).is_none(), "it waits");
        for method in [Method::GET, Method::DELETE] {
            let here = take(method, "/api/v1/sessions/1?deployment=false");
            taken.push(here.expect("at once").expect("a turn"));
        }
        for _ in 2..MAX_HERE {
            taken.push(
                take(Method::GET, "/api/v1/info")
                    .expect("at once")
                    .expect("a turn"),
            );
        }
        assert!(take(Method::GET, "/api/v1/info").is_none(), "it waits");
        let probe = take(Method::GET, "/health?deployment=true").expect("at once");
        assert!(probe.expect("no turn is needed").is_none());
        taken.clear();
        assert!(take(Method::GET, lists).expect("at once").is_ok());
    }
}
