//! The routing data as values (protocol section 4). [`super::parse`] makes them out of text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::codec::network::Networks;

use super::endpoint::EndpointName;
use super::realm_map::RealmMap;
use super::strategy::StrategyKind;

/// The key that `consistent_hash` hashes. Where the session's value is 0, it is the session id instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashKey {
    /// The default.
    #[default]
    UserId,
    /// Spreads sessions; nothing brings a player back to the same endpoint.
    SessionId,
    /// Keeps the sessions of a realm together.
    RealmId,
}

impl HashKey {
    /// Every key with its name in a rule.
    pub const NAMED: [(&'static str, HashKey); 3] = [
        ("user_id", HashKey::UserId),
        ("session_id", HashKey::SessionId),
        ("realm_id", HashKey::RealmId),
    ];

    /// Returns the name in a rule.
    pub fn name(self) -> &'static str {
        match self {
            HashKey::UserId => "user_id",
            HashKey::SessionId => "session_id",
            HashKey::RealmId => "realm_id",
        }
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the strategy `assigned` finds users' assignments, beside what ASSIGN and operators say of single sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssignmentSource {
    /// A hash in Redis, user id to `host:port`.
    Redis,
}

impl AssignmentSource {
    /// Every source with its name in a rule.
    pub const NAMED: [(&'static str, AssignmentSource); 1] = [("redis", AssignmentSource::Redis)];

    /// Returns the name in a rule.
    pub fn name(self) -> &'static str {
        match self {
            AssignmentSource::Redis => "redis",
        }
    }
}

/// An endpoint of a rule, and its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WeightedEndpoint {
    /// `host:port`. Several addresses behind one name are several endpoints of this weight each.
    #[schema(value_type = String, example = "game-1.internal:9300")]
    pub address: EndpointName,
    /// 1 (the default) to 100: its share relative to the rule's other endpoints.
    #[schema(minimum = 1, maximum = 100)]
    pub weight: u8,
}

impl WeightedEndpoint {
    /// Weight of an endpoint that is written without one.
    pub const DEFAULT_WEIGHT: u8 = 1;
    /// The largest weight.
    pub const MAX_WEIGHT: u8 = 100;
}

/// The rule of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rule {
    /// Strategy that chooses an endpoint.
    pub strategy: StrategyKind,
    /// In the order of the rule. At least one, except for `realm_based`, which ignores them.
    pub endpoints: Vec<WeightedEndpoint>,
    /// Key that `consistent_hash` hashes.
    pub hash_key: HashKey,
    /// A backend must have bound the session to a user before it may use this service.
    pub require_bind: bool,
    /// Whose BIND counts: where any rule has this member, only that of services whose rule has it true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_bind: Option<bool>,
    /// Limit of links to this service, 1 or more; none: no limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Limit of sessions at each endpoint, on each gateway, 1 or more; none: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
    /// Networks of endpoints that no rule names and that ASSIGN and TRANSFER may send sessions of this service to.
    #[serde(
        serialize_with = "as_texts",
        skip_serializing_if = "Networks::is_empty"
    )]
    #[schema(value_type = Vec<String>, example = json!(["10.1.0.0/16"]))]
    pub assignable: Networks,
    /// Where `assigned` finds users' assignments; none: only ASSIGN and operators say where a session goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignments: Option<AssignmentSource>,
}

fn as_texts<S: Serializer>(networks: &Networks, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(ToString::to_string))
}

impl Rule {
    /// Returns true if it wants users' assignments from Redis.
    pub fn reads_assignments(&self) -> bool {
        self.strategy == StrategyKind::Assigned && self.assignments.is_some()
    }
}

/// Everything that routes are made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RoutingData {
    /// By service name.
    pub rules: BTreeMap<String, Rule>,
    /// By realm id, which is never 0.
    #[serde(serialize_with = "as_realm_map")]
    pub realms: Arc<RealmMap>,
}

fn as_realm_map<S: Serializer>(realms: &Arc<RealmMap>, serializer: S) -> Result<S::Ok, S::Error> {
    realms.serialize(serializer)
}

impl RoutingData {
    /// Returns every endpoint of rules and realms; these need addresses.
    pub fn endpoint_names(&self) -> BTreeSet<&EndpointName> {
        let rules = self.rules.values().flat_map(|rule| &rule.endpoints);
        rules
            .map(|endpoint| &endpoint.address)
            .chain(self.realms.endpoints())
            .collect()
    }
}

/// An error or a warning about the routing data, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The path, as in `rules.game.endpoints[1].weight`; empty for the whole document.
    pub at: String,
    /// 1-based, where it is known.
    pub line: Option<usize>,
    /// The error and the expected value.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

/// Routing data without mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The data.
    pub data: RoutingData,
    /// Members that are not known and ignored, such as those of later versions.
    pub warnings: Vec<Mistake>,
}

impl Parsed {
    /// Adds a warning for each rule that wants something from Redis, for where the data is used without it.
    pub fn warn_without_redis(&mut self) {
        let rules = self.data.rules.iter();
        let reading = rules.filter(|(_, rule)| rule.reads_assignments());
        self.warnings.extend(reading.map(|(service, _)| Mistake {
            at: format!("rules.{service}.assignments"),
            line: None,
            message: "no assignments without Redis (routes.source = \"redis\"): only ASSIGN and operators assign"
                .to_owned(),
        }));
    }
}
