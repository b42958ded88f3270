//! Where a session goes: rules, the table made of them, and the strategies. Values in, values out:
//! nothing here does I/O, knows the clock or the network.
//!
//! * [`endpoint`]: `host:port` as written in a rule.
//! * [`rules`]: the routing data as values (protocol section 4).
//! * [`parse`]: text to routing data, with every mistake and its place.
//! * [`table`]: the immutable table that all workers share, and how it answers.
//! * [`explain`]: where a session would go, for people who ask.
//! * [`route`]: the question, the answer and the reason.
//! * [`ring`] and [`turns`]: the two strategies that choose among several endpoints.

pub mod endpoint;
pub mod explain;
pub mod parse;
mod reader;
pub mod ring;
pub mod route;
pub mod rules;
pub mod table;
pub mod turns;

pub use endpoint::{EndpointName, EndpointNameError};
pub use explain::{Candidate, Explained, Explanation};
pub use parse::{parse_file, parse_realms, parse_rules};
pub use route::{Avoid, Cause, NoRoute, Query, Route, Standing, Why};
pub use rules::{HashKey, Mistake, Parsed, RoutingData, Rule, StrategyKind, WeightedEndpoint};
pub use table::{RouteTable, ServiceRoute};
