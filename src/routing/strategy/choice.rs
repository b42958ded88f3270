//! The candidates of the strategies.

use std::net::SocketAddr;

use crate::routing::route::{Avoid, Cause, NoRoute, Standing};

/// Addresses in ascending order, each with its weight, 1 to 100, at the same index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) endpoints: Vec<SocketAddr>,
    pub(crate) weights: Vec<u8>,
}

impl Shares {
    /// Takes addresses in ascending order.
    pub(crate) fn new(weighted: impl Iterator<Item = (SocketAddr, u8)>) -> Shares {
        let (endpoints, weights) = weighted.unzip();
        Shares { endpoints, weights }
    }

    /// Returns true if this address is one of them.
    pub(crate) fn names(&self, endpoint: SocketAddr) -> bool {
        self.endpoints.binary_search(&endpoint).is_ok()
    }
}

/// Which endpoints may be the answer to one query.
pub(crate) struct Choice<'a> {
    avoid: &'a Avoid<'a>,
    /// Nothing that is up is left, so what is down will do.
    last_resort: bool,
}

impl<'a> Choice<'a> {
    /// Returns the rule that accepts at least one of these endpoints.
    pub(crate) fn among(
        endpoints: &[SocketAddr],
        avoid: &'a Avoid<'a>,
    ) -> Result<Choice<'a>, NoRoute> {
        if endpoints.is_empty() {
            return Err(NoRoute::Unresolved);
        }
        let some_accepted = |last_resort| {
            let choice = Choice { avoid, last_resort };
            let accepted = endpoints.iter().any(|endpoint| choice.accepts(*endpoint));
            accepted.then_some(choice)
        };
        some_accepted(false)
            .or_else(|| some_accepted(true))
            .ok_or_else(|| avoid.why_none(endpoints))
    }

    pub(crate) fn accepts(&self, endpoint: SocketAddr) -> bool {
        match self.avoid.cause(endpoint) {
            None => true,
            Some(Cause::Down) => self.last_resort,
            Some(Cause::Tried | Cause::Full | Cause::Withdrawn) => false,
        }
    }

    /// Compares the chosen endpoint with the strategy's first choice.
    pub(crate) fn standing(&self, first: SocketAddr, chosen: SocketAddr) -> Standing {
        match self.avoid.cause(first) {
            _ if self.last_resort => Standing::LastResort,
            Some(cause) if first != chosen => Standing::Instead(first, cause),
            _ => Standing::Chosen,
        }
    }
}
