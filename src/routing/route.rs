//! The question to a route table, its answer, and the reason that an operator is told.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::rules::HashKey;
use super::table::ServiceRoute;

/// Where should this session go with this service?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// The name that a DATA frame carries.
    pub service: &'a str,
    /// 0: none.
    pub realm_id: u32,
    /// 0: none.
    pub user_id: u64,
    /// The session's own id.
    pub session_id: u64,
}

/// Where it should rather not go.
#[derive(Debug, Clone, Copy)]
pub struct Avoid<'a> {
    /// Endpoints that this session has tried in vain. They are never the answer.
    pub tried: &'a [SocketAddr],
    /// Endpoints that are known to be down. They are the answer only where nothing else is left.
    pub dead: &'a BTreeSet<SocketAddr>,
}

static NONE_DEAD: BTreeSet<SocketAddr> = BTreeSet::new();

impl Avoid<'static> {
    /// Nothing is to be avoided.
    pub const NOTHING: Avoid<'static> = Avoid {
        tried: &[],
        dead: &NONE_DEAD,
    };
}

impl Avoid<'_> {
    /// Why this endpoint is to be avoided, if it is.
    pub(super) fn cause(&self, endpoint: SocketAddr) -> Option<Cause> {
        if self.tried.contains(&endpoint) {
            Some(Cause::Tried)
        } else if self.dead.contains(&endpoint) {
            Some(Cause::Down)
        } else {
            None
        }
    }
}

/// Where it goes.
#[derive(Debug, Clone)]
pub struct Route {
    /// The service, as the table that answered has it.
    pub service: Arc<ServiceRoute>,
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// The reason.
    pub why: Why,
}

/// Why a session cannot be routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoRoute {
    /// No rule names the service (404).
    #[error("no rule for this service")]
    NoRule,
    /// The service goes by realm, and this one is 0 or not mapped (404).
    #[error("realm {0} is not mapped")]
    NoRealm(u32),
    /// There are endpoints, but none of their names has an address (502).
    #[error("no endpoint's name has an address")]
    Unresolved,
    /// Every endpoint that the strategy allows was tried (502).
    #[error("every endpoint was tried")]
    AllTried,
}

/// Why an endpoint was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is known to be down.
    Down,
    /// This session tried it in vain.
    Tried,
}

/// How the endpoint of an answer stands to the strategy's own choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is that choice.
    Chosen,
    /// It stands in for another endpoint.
    Instead(SocketAddr, Cause),
    /// It is down, like everything that was not tried yet.
    LastResort,
}

/// The reason of an answer. Its text is for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// `round_robin`.
    RoundRobin {
        /// The number of the turn in its cycle, from 1.
        turn: usize,
        /// How many turns a cycle has.
        of: usize,
        /// Whether this was the next turn.
        standing: Standing,
    },
    /// `consistent_hash`.
    ConsistentHash {
        /// What the rule says.
        hash_key: HashKey,
        /// What was hashed: the session id where the other was 0.
        hashed: HashKey,
        /// Its value.
        value: u64,
        /// Whether this is the owner.
        standing: Standing,
    },
    /// `realm_based`.
    RealmBased {
        /// The session's realm.
        realm_id: u32,
        /// Whether this is the first address of the realm's endpoint.
        standing: Standing,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, next, standing) = match self {
            Why::RoundRobin { turn, of, standing } => {
                write!(f, "round_robin, turn {turn} of {of}")?;
                ("turn of", "next turn", standing)
            }
            Why::ConsistentHash {
                hash_key,
                hashed,
                value,
                standing,
            } => {
                write!(f, "consistent_hash on {hashed} {value}")?;
                if hashed != hash_key {
                    write!(f, " ({hash_key} is 0)")?;
                }
                ("owner", "next on the ring", standing)
            }
            Why::RealmBased { realm_id, standing } => {
                write!(f, "realm_based, realm {realm_id}")?;
                ("address", "next address", standing)
            }
        };
        match standing {
            Standing::Chosen => Ok(()),
            Standing::Instead(other, Cause::Down) => write!(f, "; {first} {other} is down, {next}"),
            Standing::Instead(other, Cause::Tried) => {
                write!(f, "; {first} {other} was tried, {next}")
            }
            Standing::LastResort => f.write_str("; down, but nothing else is left"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_as_an_operator_reads_them() {
        let other: SocketAddr = "10.0.0.1:9".parse().unwrap();
        let hash = |hashed, standing| Why::ConsistentHash {
            hash_key: HashKey::UserId,
            hashed,
            value: 42,
            standing,
        };
        for (why, text) in [
            (
                Why::RoundRobin {
                    turn: 2,
                    of: 3,
                    standing: Standing::Chosen,
                },
                "round_robin, turn 2 of 3",
            ),
            (
                hash(HashKey::UserId, Standing::Instead(other, Cause::Down)),
                "consistent_hash on user_id 42; owner 10.0.0.1:9 is down, next on the ring",
            ),
            (
                hash(HashKey::SessionId, Standing::Instead(other, Cause::Tried)),
                "consistent_hash on session_id 42 (user_id is 0); owner 10.0.0.1:9 was tried, next \
                 on the ring",
            ),
            (
                Why::RealmBased {
                    realm_id: 7,
                    standing: Standing::LastResort,
                },
                "realm_based, realm 7; down, but nothing else is left",
            ),
        ] {
            assert_eq!(why.to_string(), text);
        }
    }
}
