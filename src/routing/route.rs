//! The question to a route table, its answer, and the reason for operators.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::health::Withdrawn;
use super::strategy::Reason;
use super::table::ServiceRoute;

/// A session that needs an endpoint of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// The name that a DATA frame carries.
    pub service: &'a str,
    /// 0 for none.
    pub realm_id: u32,
    /// 0 for none.
    pub user_id: u64,
    /// The session's own id; 0 in a question of an operator: not drawn yet.
    pub session_id: u64,
}

/// Endpoints that a session should not get.
#[derive(Debug, Clone, Copy)]
pub struct Avoid<'a> {
    /// Endpoints that have failed this session. They are never the answer.
    pub tried: &'a [SocketAddr],
    /// Endpoints that have all the sessions that they may have. They are never the answer.
    pub full: &'a BTreeSet<SocketAddr>,
    /// Endpoints that an operator has withdrawn. They are never the answer.
    pub withdrawn: &'a Withdrawn,
    /// Endpoints that are known to be down. They are the answer only where nothing else is left.
    pub dead: &'a BTreeSet<SocketAddr>,
    /// Endpoints that were out and get less than their share for now, in percent of it, where a strategy shares.
    pub returning: &'a BTreeMap<SocketAddr, u8>,
}

static NONE_RETURNING: BTreeMap<SocketAddr, u8> = BTreeMap::new();
static NONE: BTreeSet<SocketAddr> = BTreeSet::new();
static NONE_WITHDRAWN: Withdrawn = Withdrawn::NONE;

impl Avoid<'static> {
    /// Avoids no endpoint.
    pub const NOTHING: Avoid<'static> = Avoid {
        tried: &[],
        full: &NONE,
        withdrawn: &NONE_WITHDRAWN,
        dead: &NONE,
        returning: &NONE_RETURNING,
    };
}

impl Avoid<'_> {
    /// Returns why this endpoint is to be avoided, or none.
    pub(super) fn cause(&self, endpoint: SocketAddr) -> Option<Cause> {
        if self.withdrawn.contains(endpoint) {
            Some(Cause::Withdrawn)
        } else if self.tried.contains(&endpoint) {
            Some(Cause::Tried)
        } else if self.full.contains(&endpoint) {
            Some(Cause::Full)
        } else if self.dead.contains(&endpoint) {
            Some(Cause::Down)
        } else {
            None
        }
    }

    /// Returns why none of these endpoints is left.
    pub(super) fn why_none(&self, endpoints: &[SocketAddr]) -> NoRoute {
        let causes = || endpoints.iter().map(|endpoint| self.cause(*endpoint));
        if causes().any(|cause| cause == Some(Cause::Full)) {
            NoRoute::AllFull
        } else if causes().all(|cause| cause == Some(Cause::Withdrawn)) {
            NoRoute::AllWithdrawn
        } else {
            NoRoute::AllTried
        }
    }
}

/// The answer: an endpoint for a session.
#[derive(Debug, Clone)]
pub struct Route {
    /// The service, as the table that answered has it.
    pub service: Arc<ServiceRoute>,
    /// Where the session goes.
    pub endpoint: SocketAddr,
    /// Why it goes there.
    pub why: Why,
}

/// The reason that a session has no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoRoute {
    /// No rule names the service (404).
    #[error("no rule for this service")]
    NoRule,
    /// The service is `realm_based`, and this realm is 0 or not mapped (404).
    #[error("realm {0} is not mapped")]
    NoRealm(u32),
    /// The service is `assigned`, and nobody has said where this session goes (404).
    #[error("nobody has assigned an endpoint")]
    NotAssigned,
    /// There are endpoints, but none of their names has an address (502).
    #[error("no endpoint's name has an address")]
    Unresolved,
    /// Every endpoint that the strategy allows was tried (502).
    #[error("every endpoint was tried")]
    AllTried,
    /// Those that were not tried have all the sessions that they may have (503).
    #[error("every endpoint has max_sessions sessions")]
    AllFull,
    /// An operator has withdrawn all that the strategy allows (503).
    #[error("an operator has withdrawn every endpoint")]
    AllWithdrawn,
}

/// The reason that an endpoint was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is known to be down.
    Down,
    /// It has failed this session.
    Tried,
    /// It has all the sessions that it may have.
    Full,
    /// An operator has withdrawn it.
    Withdrawn,
}

/// The endpoint of an answer beside the strategy's first choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the first choice.
    Chosen,
    /// It stands in for another endpoint.
    Instead(SocketAddr, Cause),
    /// It is down, like everything that was not tried yet.
    LastResort,
}

/// The reason of an answer. Its text is for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Why {
    /// The strategy's own.
    pub reason: Reason,
    /// The endpoint beside the strategy's first choice.
    pub standing: Standing,
}

impl Why {
    pub(super) fn new(reason: impl Into<Reason>, standing: Standing) -> Why {
        let reason = reason.into();
        Why { reason, standing }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, next) = self.reason.words();
        self.reason.fmt(f)?;
        match self.standing {
            Standing::Chosen => Ok(()),
            Standing::Instead(other, Cause::Down) => write!(f, "; {first} {other} is down, {next}"),
            Standing::Instead(other, Cause::Tried) => {
                write!(f, "; {first} {other} was tried, {next}")
            }
            Standing::Instead(other, Cause::Full) => write!(f, "; {first} {other} is full, {next}"),
            Standing::Instead(other, Cause::Withdrawn) => {
                write!(f, "; {first} {other} is withdrawn by an operator, {next}")
            }
            Standing::LastResort => f.write_str("; down, but nothing else is left"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::HashKey;
    use crate::routing::strategy::{Hashed, Realm, Turn};

    #[test]
    fn reasons_as_an_operator_reads_them() {
        let other: SocketAddr = "10.0.0.1:9".parse().unwrap();
        let hash = |hashed| Hashed {
            hash_key: HashKey::UserId,
            hashed,
            value: 42,
        };
        for (why, text) in [
            (
                Why::new(Turn { number: 2, of: 3 }, Standing::Chosen),
                "round_robin, turn 2 of 3",
            ),
            (
                Why::new(hash(HashKey::UserId), Standing::Instead(other, Cause::Down)),
                "consistent_hash on user_id 42; owner 10.0.0.1:9 is down, next on the ring",
            ),
            (
                Why::new(
                    hash(HashKey::SessionId),
                    Standing::Instead(other, Cause::Tried),
                ),
                "consistent_hash on session_id 42 (user_id is 0); owner 10.0.0.1:9 was tried, next \
                 on the ring",
            ),
            (
                Why::new(Realm(7), Standing::Instead(other, Cause::Full)),
                "realm_based, realm 7; address 10.0.0.1:9 is full, next address",
            ),
            (
                Why::new(Realm(7), Standing::Instead(other, Cause::Withdrawn)),
                "realm_based, realm 7; address 10.0.0.1:9 is withdrawn by an operator, next address",
            ),
            (
                Why::new(Realm(7), Standing::LastResort),
                "realm_based, realm 7; down, but nothing else is left",
            ),
        ] {
            assert_eq!(why.to_string(), text);
        }
    }
}
