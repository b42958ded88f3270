//! Where a session would go, and why: the same choice as [`RouteTable::resolve`] makes, but for
//! people who ask, so that nothing is consumed by it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::route::{Avoid, NoRoute, Query, Why};
use super::rules::HashKey;
use super::table::{Choice, RouteTable, ServiceRoute, Strategy, by_hash};

/// What the table says about a session that is not there.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The service, as the table has it.
    pub service: Arc<ServiceRoute>,
    /// Where it would go.
    pub outcome: Result<Explained, NoRoute>,
    /// What the strategy would choose among: the rule's endpoints, or the realm's addresses, in
    /// the order of the table.
    pub candidates: Vec<Candidate>,
}

/// Where a session would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explained {
    /// To this endpoint.
    To(SocketAddr, Why),
    /// To any candidate that is up, in turn: whoever comes next takes the next turn.
    AnyInTurn,
    /// To any candidate: the session's id decides, which is drawn when it starts. The key is what
    /// the rule hashes.
    AnyBySessionId(HashKey),
}

/// An endpoint that a session might go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub endpoint: SocketAddr,
    /// Its share, 1 to 100; 1 for a realm's address.
    pub weight: u8,
    /// Whether it might be the answer: it is up, or none of them is.
    pub eligible: bool,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Explained::To(_, why) => why.fmt(f),
            Explained::AnyInTurn => f.write_str("round_robin: the next turn's, shared by all"),
            Explained::AnyBySessionId(HashKey::SessionId) => {
                f.write_str("consistent_hash on session_id, which is drawn when the session starts")
            }
            Explained::AnyBySessionId(key) => write!(
                f,
                "consistent_hash on session_id, which is drawn when the session starts ({key} is 0)"
            ),
        }
    }
}

impl RouteTable {
    /// Where a session would go, without taking a turn from anybody. A session id of 0 is one that
    /// is not known yet.
    ///
    /// # Errors
    /// [`NoRoute::NoRule`]: there is no such service. Whatever else is in the way is the
    /// explanation's outcome.
    pub fn explain(&self, query: &Query<'_>, avoid: &Avoid<'_>) -> Result<Explanation, NoRoute> {
        let service = self.service(query.service).ok_or(NoRoute::NoRule)?;
        let (endpoints, weights) = self.choice_of(service, query.realm_id);
        let to = |(endpoint, why)| Explained::To(endpoint, why);
        let choice = Choice::among(endpoints, avoid);
        let outcome = match (&service.strategy, &choice) {
            (Strategy::RealmBased, _) => self.by_realm(query.realm_id, avoid).map(to),
            (_, Err(no_route)) => Err(*no_route),
            (Strategy::RoundRobin(_), Ok(_)) => Ok(Explained::AnyInTurn),
            (Strategy::ConsistentHash(hash_key, ring), Ok(_)) => {
                if query.session_id == 0 && hashes_session_id(*hash_key, query) {
                    Ok(Explained::AnyBySessionId(*hash_key))
                } else {
                    by_hash(*hash_key, ring, endpoints, query, avoid).map(to)
                }
            }
        };
        let candidate = |(place, endpoint): (usize, &SocketAddr)| Candidate {
            endpoint: *endpoint,
            weight: weights.get(place).copied().unwrap_or(1),
            eligible: choice.as_ref().is_ok_and(|c| c.accepts(*endpoint)),
        };
        Ok(Explanation {
            service: Arc::clone(service),
            candidates: endpoints.iter().enumerate().map(candidate).collect(),
            outcome,
        })
    }

    fn choice_of<'a>(
        &'a self,
        service: &'a ServiceRoute,
        realm: u32,
    ) -> (&'a [SocketAddr], &'a [u8]) {
        match service.strategy {
            Strategy::RoundRobin(_) | Strategy::ConsistentHash(..) => {
                (&service.endpoints, &service.weights)
            }
            Strategy::RealmBased => (self.realms.get(&realm).map_or(&[], |a| a), &[]),
        }
    }
}

fn hashes_session_id(hash_key: HashKey, query: &Query<'_>) -> bool {
    match hash_key {
        HashKey::UserId => query.user_id == 0,
        HashKey::RealmId => query.realm_id == 0,
        HashKey::SessionId => true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::routing::parse_file;

    fn table() -> RouteTable {
        let text = r#"{"rules": {
            "turn": {"strategy": "round_robin", "endpoints": [
                "10.0.0.1:1", {"address": "10.0.0.2:1", "weight": 3}]},
            "hash": {"strategy": "consistent_hash", "endpoints": ["10.0.0.1:1", "10.0.0.2:1"]},
            "realm": {"strategy": "realm_based"},
            "nowhere": {"strategy": "round_robin", "endpoints": ["unresolved:1"]}
        }, "realms": {"7": "10.0.0.7:1"}}"#;
        let data = parse_file(text).expect("routes").data;
        RouteTable::build(1, &data, &BTreeMap::new(), None)
    }

    fn query(service: &str, realm_id: u32, user_id: u64, session_id: u64) -> Query<'_> {
        Query {
            service,
            realm_id,
            user_id,
            session_id,
        }
    }

    #[test]
    fn a_hash_goes_where_a_session_goes() {
        let table = table();
        let mut seen = BTreeSet::new();
        for user in 1..50 {
            let query = query("hash", 0, user, 0);
            let route = table.resolve(&query, &Avoid::NOTHING).expect("a route");
            let explained = table.explain(&query, &Avoid::NOTHING).expect("a rule");
            assert_eq!(
                explained.outcome,
                Ok(Explained::To(route.endpoint, route.why))
            );
            seen.insert(route.endpoint);
        }
        assert_eq!(seen.len(), 2);
        let unknown = table
            .explain(&query("hash", 0, 0, 0), &Avoid::NOTHING)
            .expect("a rule");
        let any = Explained::AnyBySessionId(HashKey::UserId);
        assert_eq!(unknown.outcome, Ok(any));
        assert!(any.to_string().ends_with("(user_id is 0)"));
    }

    #[test]
    fn asking_takes_no_turn() {
        let table = table();
        let ask = query("turn", 0, 0, 1);
        let weights: Vec<u8> = table
            .explain(&ask, &Avoid::NOTHING)
            .expect("a rule")
            .candidates
            .iter()
            .map(|c| c.weight)
            .collect();
        assert_eq!(weights, [1, 3]);
        let turns: Vec<Why> = (0..3)
            .map(|_| {
                let explained = table.explain(&ask, &Avoid::NOTHING).expect("a rule");
                assert_eq!(explained.outcome, Ok(Explained::AnyInTurn));
                table.resolve(&ask, &Avoid::NOTHING).expect("a route").why
            })
            .collect();
        let numbers: Vec<usize> = turns
            .iter()
            .map(|why| match why {
                Why::RoundRobin { turn, .. } => *turn,
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(numbers, [1, 2, 3]);
    }

    #[test]
    fn what_is_down_is_passed_over_unless_all_are() {
        let table = table();
        let addresses = |list: &[&str]| -> BTreeSet<SocketAddr> {
            list.iter()
                .map(|a| a.parse().expect("an address"))
                .collect()
        };
        let eligible = |dead: &BTreeSet<SocketAddr>| -> Vec<bool> {
            let avoid = Avoid { tried: &[], dead };
            let explained = table
                .explain(&query("turn", 0, 0, 1), &avoid)
                .expect("a rule");
            explained.candidates.iter().map(|c| c.eligible).collect()
        };
        assert_eq!(eligible(&addresses(&["10.0.0.1:1"])), [false, true]);
        assert_eq!(
            eligible(&addresses(&["10.0.0.1:1", "10.0.0.2:1"])),
            [true, true]
        );
    }

    #[test]
    fn what_is_in_the_way() {
        let table = table();
        let outcome = |ask: &Query<'_>| table.explain(ask, &Avoid::NOTHING).map(|e| e.outcome);
        assert_eq!(outcome(&query("none", 0, 0, 0)), Err(NoRoute::NoRule));
        assert_eq!(
            outcome(&query("realm", 8, 0, 0)),
            Ok(Err(NoRoute::NoRealm(8)))
        );
        assert_eq!(
            outcome(&query("nowhere", 0, 0, 0)),
            Ok(Err(NoRoute::Unresolved))
        );
        let there = table
            .explain(&query("realm", 7, 0, 0), &Avoid::NOTHING)
            .expect("a rule");
        assert_eq!(there.candidates.len(), 1);
        assert!(matches!(there.outcome, Ok(Explained::To(to, _)) if to.port() == 1));
    }
}
