//! Routing: rules, the table made of them, and the strategies. Values in, values out: nothing here does
//! I/O or knows the clock.
//!
//! * [`endpoint`]: `host:port` as written in a rule.
//! * [`rules`]: the routing data as values (protocol section 4).
//! * [`parse`]: text to routing data, with all mistakes and their places.
//! * [`realm_map`]: realm ids with their endpoints.
//! * [`difference`]: what differs between two versions of the data.
//! * [`table`]: the immutable table that all workers share.
//! * [`strategy`]: one file for each strategy of choosing an endpoint.
//! * [`NameFailures`]: why names have no address, for operators.
//! * [`explain`]: the route of a session that does not exist, for operators.
//! * [`route`]: the question, the answer and the reason.
//! * [`ring`]: the ring of `consistent_hash`.

pub mod difference;
pub mod endpoint;
pub mod explain;
pub mod health;
mod name_failures;
pub mod parse;
mod reader;
pub mod realm_map;
pub mod ring;
pub mod route;
pub mod rules;
pub mod strategy;
pub mod table;

pub use difference::Difference;
pub use endpoint::{EndpointName, EndpointNameError};
pub use explain::{Candidate, Explanation};
pub use name_failures::NameFailures;
pub use parse::{RealmsParser, parse_file, parse_rules};
pub use realm_map::{MAX_REALMS, RealmMap, RealmMapBuilder};
pub use route::{Avoid, Cause, NoRoute, Query, Route, Standing, Why};
pub use rules::{AssignmentSource, HashKey, Mistake, Parsed, RoutingData, Rule, WeightedEndpoint};
pub use strategy::{Explained, StrategyKind};
pub use table::{RouteTable, ServiceRoute};
