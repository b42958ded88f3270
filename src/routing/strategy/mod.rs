//! The strategies: how a service chooses an endpoint for a session. Each has a file here with how it is
//! built from a rule, chooses, and explains itself to an operator.
//!
//! A new strategy is one more file, which implements [`Choose`], and one more line in the list of
//! `strategies` below. Its name in a rule is that of its file.

mod assigned;
mod choice;
mod consistent_hash;
mod realm_based;
mod round_robin;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::route::{Avoid, NoRoute, Query, Why};
use super::rules::Rule;

pub(super) use assigned::Assigned;
pub use assigned::Word;
pub(super) use choice::{Choice, Shares};
pub use consistent_hash::Hashed;
pub use realm_based::Realm;
pub(super) use realm_based::Realms;
pub use round_robin::Turn;

/// Inputs from which a strategy is built.
pub(super) struct Source<'a> {
    pub(super) rule: &'a Rule,
    /// The addresses of the rule's endpoints.
    pub(super) shares: &'a Shares,
    pub(super) realms: &'a Arc<Realms>,
    /// The same service in the table before.
    pub(super) previous: Option<(&'a Shares, &'a Strategy)>,
}

/// The answer to an operator's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explained {
    /// A session would go to this endpoint.
    To(SocketAddr, Why),
    /// A session would go to any candidate that is up; `why` says what it depends on.
    Any {
        /// For operators.
        why: String,
    },
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Explained::To(_, why) => why.fmt(f),
            Explained::Any { why } => f.write_str(why),
        }
    }
}

/// Interface of every strategy.
pub(super) trait Choose: Sized {
    /// A rule with this strategy must list endpoints.
    const NEEDS_ENDPOINTS: bool = true;
    /// In the text of an answer: the endpoint that would have been chosen first, as in "owner".
    const FIRST: &'static str;
    /// The one that stands in for it, as in "next on the ring".
    const NEXT: &'static str;

    /// Makes the strategy of one service. What sessions depend on (turns, rings) is taken over from
    /// the table before where the rule allows it.
    fn build(from: &Source<'_>) -> Self;

    /// Chooses the endpoint of a session; `shares` are those that the strategy was built from.
    fn choose(
        &self,
        shares: &Shares,
        query: &Query<'_>,
        avoid: &Avoid<'_>,
    ) -> Result<(SocketAddr, Why), NoRoute>;

    /// Tells where a session would go. Unlike [`choose`](Self::choose) it changes nothing, and takes
    /// a session id of 0 for one that is not drawn yet.
    fn explain(
        &self,
        shares: &Shares,
        query: &Query<'_>,
        avoid: &Avoid<'_>,
    ) -> Result<Explained, NoRoute> {
        let chosen = self.choose(shares, query, avoid);
        chosen.map(|(endpoint, why)| Explained::To(endpoint, why))
    }

    /// Returns the endpoints that a choice is made among, with their weights, for operators.
    fn candidates(&self, shares: &Shares, _: &Query<'_>) -> Vec<(SocketAddr, u8)> {
        let weights = shares.weights.iter().copied();
        shares.endpoints.iter().copied().zip(weights).collect()
    }

    /// Returns all endpoints that sessions may be sent to, sorted.
    fn endpoints<'a>(&'a self, shares: &'a Shares) -> &'a [SocketAddr] {
        &shares.endpoints
    }

    /// Returns true if the strategy may ever choose this endpoint.
    fn names(&self, shares: &Shares, endpoint: SocketAddr) -> bool {
        shares.names(endpoint)
    }
}

/// Expands the list of strategies into the enums that have one variant for each: the kind, which a rule
/// names; the strategy as built; the reason of an answer. Enums rather than trait objects, so that
/// neither a choice nor its reason allocates or costs a virtual call.
macro_rules! strategies {
    ($($(#[$doc:meta])* $module:ident::$Name:ident because $Reason:ident,)*) => {
        /// How a service chooses an endpoint for a session.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum StrategyKind {
            $($(#[$doc])* $Name,)*
        }

        impl StrategyKind {
            /// Every strategy with its name in a rule.
            pub const NAMED: &'static [(&'static str, StrategyKind)] =
                &[$((stringify!($module), StrategyKind::$Name)),*];

            /// Returns the name in a rule.
            pub fn name(self) -> &'static str {
                match self {
                    $(StrategyKind::$Name => stringify!($module),)*
                }
            }

            /// Returns true if a rule must list endpoints.
            pub(super) fn needs_endpoints(self) -> bool {
                match self {
                    $(StrategyKind::$Name => <$module::$Name as Choose>::NEEDS_ENDPOINTS,)*
                }
            }
        }

        /// The strategy of one service.
        #[derive(Debug)]
        pub(super) enum Strategy {
            $($Name($module::$Name),)*
        }

        impl Strategy {
            pub(super) fn build(from: &Source<'_>) -> Strategy {
                match from.rule.strategy {
                    $(StrategyKind::$Name => Strategy::$Name(Choose::build(from)),)*
                }
            }

            pub(super) fn kind(&self) -> StrategyKind {
                match self {
                    $(Strategy::$Name(_) => StrategyKind::$Name,)*
                }
            }

            pub(super) fn choose(
                &self,
                shares: &Shares,
                query: &Query<'_>,
                avoid: &Avoid<'_>,
            ) -> Result<(SocketAddr, Why), NoRoute> {
                match self {
                    $(Strategy::$Name(strategy) => strategy.choose(shares, query, avoid),)*
                }
            }

            pub(super) fn explain(
                &self,
                shares: &Shares,
                query: &Query<'_>,
                avoid: &Avoid<'_>,
            ) -> Result<Explained, NoRoute> {
                match self {
                    $(Strategy::$Name(strategy) => strategy.explain(shares, query, avoid),)*
                }
            }

            pub(super) fn candidates(
                &self,
                shares: &Shares,
                query: &Query<'_>,
            ) -> Vec<(SocketAddr, u8)> {
                match self {
                    $(Strategy::$Name(strategy) => strategy.candidates(shares, query),)*
                }
            }

            pub(super) fn endpoints<'a>(&'a self, shares: &'a Shares) -> &'a [SocketAddr] {
                match self {
                    $(Strategy::$Name(strategy) => strategy.endpoints(shares),)*
                }
            }

            pub(super) fn names(&self, shares: &Shares, endpoint: SocketAddr) -> bool {
                match self {
                    $(Strategy::$Name(strategy) => strategy.names(shares, endpoint),)*
                }
            }
        }

        /// The strategy's own reason for an answer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $Name($Reason),)*
        }

        impl Reason {
            /// Returns [`Choose::FIRST`] and [`Choose::NEXT`].
            pub(super) fn words(&self) -> (&'static str, &'static str) {
                match self {
                    $(Reason::$Name(_) => (<$module::$Name>::FIRST, <$module::$Name>::NEXT),)*
                }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Reason::$Name(reason) => reason.fmt(f),)*
                }
            }
        }

        $(impl From<$Reason> for Reason {
            fn from(reason: $Reason) -> Reason {
                Reason::$Name(reason)
            }
        })*
    };
}

strategies! {
    /// One after the other, by weight, even over the whole process.
    round_robin::RoundRobin because Turn,
    /// The same key goes to the same endpoint, on every gateway.
    consistent_hash::ConsistentHash because Hashed,
    /// Where the realm map sends the session's realm.
    realm_based::RealmBased because Realm,
    /// Where a backend or an operator says (ASSIGN); nowhere without.
    assigned::Assigned because Word,
}

impl fmt::Display for StrategyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
