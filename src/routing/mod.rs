//! Where a session goes: rules, the table made of them, and the strategies. Values in, values out:
//! nothing here does I/O, knows the clock or the network.
//!
//! * [`endpoint`]: `host:port` as written in a rule.
//! * [`rules`]: the routing data as values (protocol section 4).
//! * [`parse`]: text to routing data, with every mistake and its place.
//! * [`table`]: the immutable table that all workers share, and how it answers.
//! * [`strategy`]: how an endpoint is chosen, one file for each strategy.
//! * [`explain`]: where a session would go, for operators.
//! * [`route`]: the question, the answer and the reason.
//! * [`ring`]: the ring of `consistent_hash`.

pub mod endpoint;
pub mod explain;
pub mod parse;
mod reader;
pub mod ring;
pub mod route;
pub mod rules;
pub mod strategy;
pub mod table;

pub use endpoint::{EndpointName, EndpointNameError};
pub use explain::{Candidate, Explanation};
pub use parse::{parse_file, parse_realms, parse_rules};
pub use route::{Avoid, Cause, NoRoute, Query, Route, Standing, Why};
pub use rules::{HashKey, Mistake, Parsed, RoutingData, Rule, WeightedEndpoint};
pub use strategy::{Explained, StrategyKind};
pub use table::{RouteTable, ServiceRoute};
