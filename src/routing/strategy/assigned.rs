//! `assigned`: a session goes where a backend, an operator or the list in Redis says, and nowhere without a word.

use std::fmt;
use std::net::SocketAddr;

use super::{Choose, Shares, Source};
use crate::routing::route::{Avoid, NoRoute, Query, Why};

/// No choice of its own.
#[derive(Debug)]
pub(crate) struct Assigned;

/// The word that an answer comes from; the strategy has none itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word;

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("assigned")
    }
}

impl Choose for Assigned {
    const NEEDS_ENDPOINTS: bool = false;
    const FIRST: &'static str = "assigned";
    const NEXT: &'static str = "assigned";

    fn build(_: &Source<'_>) -> Assigned {
        Assigned
    }

    fn choose(
        &self,
        _: &Shares,
        _: &Query<'_>,
        _: &Avoid<'_>,
    ) -> Result<(SocketAddr, Why), NoRoute> {
        Err(NoRoute::NotAssigned)
    }
}
