//! `consistent_hash`: the same key goes to the same endpoint, on every gateway.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Choice, Choose, Explained, Shares, Source, Strategy};
use crate::routing::ring::Ring;
use crate::routing::route::{Avoid, NoRoute, Query, Why};
use crate::routing::rules::HashKey;

/// The ring of a rule's endpoints, and the key that is looked up on it.
#[derive(Debug)]
pub(crate) struct ConsistentHash {
    hash_key: HashKey,
    /// Shared with the tables before and after that have the same endpoints.
    ring: Arc<Ring>,
}

/// The key that an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// The key of the rule.
    pub hash_key: HashKey,
    /// The key that was hashed: the session id where the rule's was 0.
    pub hashed: HashKey,
    /// Value of the hashed key.
    pub value: u64,
}

impl fmt::Display for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "consistent_hash on {} {}", self.hashed, self.value)?;
        if self.hashed != self.hash_key {
            write!(f, " ({} is 0)", self.hash_key)?;
        }
        Ok(())
    }
}

impl ConsistentHash {
    /// Picks what is hashed: the session id stands in for a user or realm of 0.
    fn hashed(&self, query: &Query<'_>) -> Hashed {
        let hash_key = self.hash_key;
        let (hashed, value) = match hash_key {
            HashKey::UserId if query.user_id != 0 => (hash_key, query.user_id),
            HashKey::RealmId if query.realm_id != 0 => (hash_key, u64::from(query.realm_id)),
            HashKey::UserId | HashKey::RealmId | HashKey::SessionId => {
                (HashKey::SessionId, query.session_id)
            }
        };
        Hashed {
            hash_key,
            hashed,
            value,
        }
    }
}

impl Choose for ConsistentHash {
    const FIRST: &'static str = "owner";
    const NEXT: &'static str = "next on the ring";

    fn build(from: &Source<'_>) -> ConsistentHash {
        let ring = match from.previous {
            Some((shares, Strategy::ConsistentHash(previous))) if shares == from.shares => {
                Arc::clone(&previous.ring)
            }
            _ => {
                let shares = from.shares;
                let weights = shares.weights.iter().copied();
                let endpoints = shares.endpoints.iter().copied().zip(weights);
                Arc::new(Ring::new(&endpoints.collect::<Vec<_>>()))
            }
        };
        ConsistentHash {
            hash_key: from.rule.hash_key,
            ring,
        }
    }

    fn choose(
        &self,
        shares: &Shares,
        query: &Query<'_>,
        avoid: &Avoid<'_>,
    ) -> Result<(SocketAddr, Why), NoRoute> {
        let endpoints = &shares.endpoints;
        let choice = Choice::among(endpoints, avoid)?;
        let hashed = self.hashed(query);
        let owner = self.ring.owner(hashed.value).ok_or(NoRoute::Unresolved)?;
        let chosen = self
            .ring
            .owner_among(hashed.value, |endpoint| choice.accepts(endpoints[endpoint]))
            .ok_or(NoRoute::AllTried)?;
        let standing = choice.standing(endpoints[owner], endpoints[chosen]);
        Ok((endpoints[chosen], Why::new(hashed, standing)))
    }

    fn explain(
        &self,
        shares: &Shares,
        query: &Query<'_>,
        avoid: &Avoid<'_>,
    ) -> Result<Explained, NoRoute> {
        let Hashed { hashed, value, .. } = self.hashed(query);
        if hashed != HashKey::SessionId || value != 0 {
            let chosen = self.choose(shares, query, avoid);
            return chosen.map(|(endpoint, why)| Explained::To(endpoint, why));
        }
        Choice::among(&shares.endpoints, avoid)?;
        let mut why =
            "consistent_hash on session_id, which is drawn when the session starts".to_owned();
        if self.hash_key != HashKey::SessionId {
            why.push_str(&format!(" ({} is 0)", self.hash_key));
        }
        Ok(Explained::Any { why })
    }
}
