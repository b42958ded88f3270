//! Where a session would go, and why: the same choice as [`RouteTable::resolve`] makes, for operators,
//! so that nothing is consumed by the question.

use std::net::SocketAddr;
use std::sync::Arc;

use super::endpoint::EndpointName;
use super::route::{Avoid, NoRoute, Query};
use super::strategy::{Choice, Explained, StrategyKind};
use super::table::{RouteTable, ServiceRoute};

/// The answer of a table about a session that does not exist.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The service, as the table has it.
    pub service: Arc<ServiceRoute>,
    /// Where the session would go.
    pub outcome: Result<Explained, NoRoute>,
    /// Candidates of the strategy: the rule's endpoints, or the realm's addresses, in the order of the
    /// table.
    pub candidates: Vec<Candidate>,
    /// Names among them that no address is known for, with their weights.
    pub unresolved: Vec<(EndpointName, u8)>,
}

/// An endpoint that a session might go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its address.
    pub endpoint: SocketAddr,
    /// Its share, 1 to 100; 1 for a realm's address.
    pub weight: u8,
    /// It might be the answer: it is up, or none of them is.
    pub eligible: bool,
}

impl RouteTable {
    /// Tells where a session would go, without taking a turn of `round_robin`. A session id of 0 is
    /// one that is not drawn yet.
    ///
    /// # Errors
    /// [`NoRoute::NoRule`]: there is no such service. Anything else that is in the way is the
    /// explanation's outcome.
    pub fn explain(&self, query: &Query<'_>, avoid: &Avoid<'_>) -> Result<Explanation, NoRoute> {
        let service = self.service(query.service).ok_or(NoRoute::NoRule)?;
        let weighted = service.strategy.candidates(&service.shares, query);
        let endpoints: Vec<SocketAddr> = weighted.iter().map(|(endpoint, _)| *endpoint).collect();
        let choice = Choice::among(&endpoints, avoid);
        // The endpoints in a `realm_based` rule itself are not used.
        let unresolved = match service.strategy() == StrategyKind::RealmBased {
            true => {
                let name = self.data().realms.get(query.realm_id);
                let name = name.filter(|_| endpoints.is_empty());
                name.map(|name| (name.clone(), 1)).into_iter().collect()
            }
            false => service.unresolved.clone(),
        };
        let candidates = weighted.into_iter().map(|(endpoint, weight)| Candidate {
            endpoint,
            weight,
            eligible: choice.as_ref().is_ok_and(|c| c.accepts(endpoint)),
        });
        Ok(Explanation {
            service: Arc::clone(service),
            outcome: service.strategy.explain(&service.shares, query, avoid),
            candidates: candidates.collect(),
            unresolved,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::routing::strategy::Reason;
    use crate::routing::{Why, parse_file};

    fn table() -> RouteTable {
        let text = r#"{"rules": {
            "turn": {"strategy": "round_robin", "endpoints": [
                "10.0.0.1:1", {"address": "10.0.0.2:1", "weight": 3}]},
            "hash": {"strategy": "consistent_hash", "endpoints": ["10.0.0.1:1", "10.0.0.2:1"]},
            "realm": {"strategy": "realm_based"},
            "nowhere": {"strategy": "round_robin", "endpoints": ["unresolved:1"]}
        }, "realms": {"7": "10.0.0.7:1"}}"#;
        let data = parse_file(text).expect("routes").data.into();
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
        let why = "consistent_hash on session_id, which is drawn when the session starts \
                   (user_id is 0)";
        assert_eq!(unknown.outcome, Ok(Explained::Any { why: why.into() }));
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
                assert!(matches!(explained.outcome, Ok(Explained::Any { .. })));
                table.resolve(&ask, &Avoid::NOTHING).expect("a route").why
            })
            .collect();
        let numbers: Vec<usize> = turns
            .iter()
            .map(|why| match why.reason {
                Reason::RoundRobin(turn) => turn.number,
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
            let avoid = Avoid {
                dead,
                ..Avoid::NOTHING
            };
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
