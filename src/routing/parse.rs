//! Parses routing data, and reports all mistakes at once with their places.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use crate::codec::client::{MAX_SERVICE_LEN, is_service_name};
use crate::codec::network::{Network, Networks};

use super::endpoint::{EndpointName, EndpointNameError};
use super::reader::{Reader, Value, conclude, member_path, note, quoted};
use super::realm_map::{self, MAX_REALMS, RealmMap, RealmMapBuilder};
use super::rules::{
    AssignmentSource, HashKey, Mistake, Parsed, RoutingData, Rule, WeightedEndpoint,
};
use super::strategy::StrategyKind;

/// Rules by service name.
type Rules = BTreeMap<String, Rule>;

/// Parses a whole document: `{"rules": {…}, "realms": {…}}`. `rules` is required.
///
/// # Errors
/// Every mistake in it, in the order of the text as far as possible.
pub fn parse_file(text: &str) -> Result<Parsed, Vec<Mistake>> {
    let mut reader = Reader::new(text);
    let mut data = RoutingData::default();
    if let Some(document) = reader.document("") {
        read_document(&mut reader, &document, &mut data);
    }
    reader.finish().map(|warnings| Parsed { data, warnings })
}

/// Parses the value of `rules` alone. Returns the rules and the warnings.
///
/// # Errors
/// Every mistake in it; lines count within this text.
pub fn parse_rules(text: &str) -> Result<(Rules, Vec<Mistake>), Vec<Mistake>> {
    let mut reader = Reader::new(text);
    let mut rules = Rules::new();
    if let Some(value) = reader.document("rules") {
        rules = read_rules(&mut reader, &value);
    }
    reader.finish().map(|warnings| (rules, warnings))
}

/// Parses a realm map that comes in pieces.
#[derive(Debug, Default)]
pub struct RealmsParser {
    realms: RealmMapBuilder,
    mistakes: Vec<Mistake>,
    more_mistakes: usize,
}

impl RealmsParser {
    /// Takes a realm id and `host:port`. Of one id twice the first counts.
    pub fn add(&mut self, id: &str, address: &str) {
        let id_of_realm = realm_id(id);
        // Checked whatever the id is: its mistakes are to be named too.
        let inserted = match id_of_realm {
            Ok(id) => self.realms.insert_text(id, address),
            Err(_) => address.parse::<EndpointName>().map(drop),
        };
        let address = inserted.map_err(|error| wrong_address(address, &error));
        let found = [id_of_realm.err(), address.err()].into_iter().flatten();
        for message in found {
            let mistake = Mistake {
                at: member_path("realms", id),
                line: None,
                message,
            };
            note(&mut self.mistakes, &mut self.more_mistakes, mistake);
        }
    }

    /// Returns the map.
    ///
    /// # Errors
    /// The mistakes in it, sorted, without lines.
    pub fn finish(self) -> Result<RealmMap, Vec<Mistake>> {
        let mut mistakes = self.mistakes;
        if mistakes.is_empty() {
            return Ok(self.realms.build().0);
        }
        mistakes.sort_by(|one, other| one.at.cmp(&other.at));
        conclude(&mut mistakes, self.more_mistakes);
        Err(mistakes)
    }
}

fn read_document<'a>(reader: &mut Reader<'a>, document: &Value<'a>, data: &mut RoutingData) {
    let Some(members) = reader.object(document) else {
        return;
    };
    // An empty object is rather a slip than the wish to route nothing.
    if !members.iter().any(|(name, _)| name == "rules") {
        reader.missing(document, "rules", "missing, expected an object");
    }
    for (name, value) in &members {
        match name.as_str() {
            "rules" => data.rules = read_rules(reader, value),
            "realms" => data.realms = read_realms(reader, value, MAX_REALMS).into(),
            _ => reader.unknown(value),
        }
    }
}

fn read_rules<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Rules {
    let mut rules = Rules::new();
    for (service, value) in reader.object(value).unwrap_or_default() {
        if !is_service_name(service.as_bytes()) {
            let message = format!(
                "invalid service name, expected [a-z0-9][a-z0-9._-]*, at most {MAX_SERVICE_LEN} characters"
            );
            reader.mistake(&value, message);
        }
        if let Some(rule) = read_rule(reader, &value) {
            rules.insert(service, rule);
        }
    }
    rules
}

fn read_rule<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Rule> {
    let mut strategy = None;
    let mut endpoints = Vec::new();
    let mut no_endpoints = true;
    let mut hash_key = HashKey::default();
    let mut require_bind = false;
    let mut may_bind = None;
    let mut max_connections = None;
    let mut max_sessions = None;
    let mut assignable = Networks::default();
    let mut assignments = None;
    let members = reader.object(value)?;
    for (name, member) in &members {
        match name.as_str() {
            "strategy" => strategy = reader.choice(member, StrategyKind::NAMED),
            "endpoints" => {
                let elements = reader.list(member);
                no_endpoints = elements.as_ref().is_some_and(Vec::is_empty);
                endpoints = read_endpoints(reader, &elements.unwrap_or_default());
            }
            "hash_key" => hash_key = reader.choice(member, &HashKey::NAMED).unwrap_or_default(),
            "require_bind" => require_bind = reader.boolean(member).unwrap_or_default(),
            "may_bind" => may_bind = reader.boolean(member),
            "max_connections" => max_connections = reader.number(member, 1..=u32::MAX),
            "max_sessions" => max_sessions = reader.number(member, 1..=u32::MAX),
            "assignable" => {
                let elements = reader.list(member).unwrap_or_default();
                let networks = elements.iter().filter_map(|e| read_network(reader, e));
                assignable = networks.collect();
            }
            "assignments" => assignments = reader.choice(member, &AssignmentSource::NAMED),
            _ => reader.unknown(member),
        }
    }
    if !members.iter().any(|(name, _)| name == "strategy") {
        let known: Vec<&str> = StrategyKind::NAMED.iter().map(|(name, _)| *name).collect();
        let message = format!("missing, expected one of {}", known.join(", "));
        reader.missing(value, "strategy", message);
    }
    let strategy = strategy?;
    if let Some((_, member)) = members.iter().find(|(name, _)| name == "assignments")
        && strategy != StrategyKind::Assigned
    {
        reader.warn(member, "ignored, only the strategy assigned uses it");
    }
    if no_endpoints && strategy.needs_endpoints() {
        let message = format!("{strategy} requires at least one endpoint");
        reader.missing(value, "endpoints", message);
    }
    if strategy == StrategyKind::Assigned && no_endpoints && assignable.is_empty() {
        let message = "assigned requires endpoints or assignable networks";
        reader.missing(value, "assignable", message.to_owned());
    }
    Some(Rule {
        strategy,
        endpoints,
        hash_key,
        require_bind,
        may_bind,
        max_connections,
        max_sessions,
        assignable,
        assignments,
    })
}

fn read_network<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Network> {
    let text = reader.string(value)?;
    let network = text.parse();
    network.map_err(|wrong| reader.mistake(value, wrong)).ok()
}

fn read_endpoints<'a>(reader: &mut Reader<'a>, elements: &[Value<'a>]) -> Vec<WeightedEndpoint> {
    let mut endpoints = Vec::with_capacity(elements.len());
    let mut first_places = HashMap::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        let Some(endpoint) = read_endpoint(reader, element) else {
            continue;
        };
        let address = endpoint.address.clone();
        match first_places.entry(address) {
            Entry::Occupied(first) => {
                let message = format!(
                    "duplicate endpoint {}, first in endpoints[{}]",
                    first.key(),
                    first.get()
                );
                reader.mistake(element, message);
            }
            Entry::Vacant(place) => {
                place.insert(index);
                endpoints.push(endpoint);
            }
        }
    }
    endpoints
}

/// Reads either `"host:port"` or `{"address": "host:port", "weight": 1..100}`.
fn read_endpoint<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<WeightedEndpoint> {
    let mut weight = Some(WeightedEndpoint::DEFAULT_WEIGHT);
    if value.is_string() {
        let address = read_address(reader, value)?;
        return weight.map(|weight| WeightedEndpoint { address, weight });
    }
    if !value.is_object() {
        return reader.wrong_kind(value, "\"host:port\" or an object with address and weight");
    }
    let members = reader.object(value)?;
    let mut address = None;
    for (name, member) in &members {
        match name.as_str() {
            "address" => address = read_address(reader, member),
            "weight" => {
                let number = reader.number(member, 1..=u32::from(WeightedEndpoint::MAX_WEIGHT));
                weight = number.and_then(|number| u8::try_from(number).ok());
            }
            _ => reader.unknown(member),
        }
    }
    if !members.iter().any(|(name, _)| name == "address") {
        reader.missing(value, "address", "missing, expected host:port");
    }
    Some(WeightedEndpoint {
        address: address?,
        weight: weight?,
    })
}

fn read_address<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<EndpointName> {
    let text = reader.string(value)?;
    let address = text.parse();
    if let Err(error) = &address {
        reader.mistake(value, wrong_address(&text, error));
    }
    address.ok()
}

fn read_realms<'a>(reader: &mut Reader<'a>, value: &Value<'a>, most: usize) -> RealmMap {
    let realms = read_all_realms(reader, value);
    if realms.len() > most {
        let message = format!("too large: {} realms, limit {most}", realms.len());
        reader.mistake(value, message);
    }
    realms
}

fn read_all_realms<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> RealmMap {
    // A million realms without a mistake need neither their paths nor their lines.
    if let Some(realms) = value.plainly() {
        return realms;
    }
    let mut realms = RealmMapBuilder::default();
    for (id, value) in reader.object(value).unwrap_or_default() {
        let id = realm_id(&id).map_err(|message| reader.mistake(&value, message));
        // Read it even so: its mistakes are to be named too.
        let address = read_address(reader, &value);
        if let (Ok(id), Some(address)) = (id, address) {
            realms.insert(id, address);
        }
    }
    realms.build().0
}

fn realm_id(text: &str) -> Result<u32, String> {
    let wrong = || format!("invalid realm id, expected a number from 1 to {}", u32::MAX);
    realm_map::realm_id(text).ok_or_else(wrong)
}

fn wrong_address(text: &str, error: &EndpointNameError) -> String {
    format!("invalid endpoint {}: {error}", quoted(&format!("{text:?}")))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;

#[cfg(test)]
mod bounds {
    use super::*;

    #[test]
    fn too_many_realms() {
        let mut reader = Reader::new(r#"{"1":"a:1","2":"a:1"}"#);
        let value = reader.document("realms").unwrap();
        read_realms(&mut reader, &value, 2);
        read_realms(&mut reader, &value, 1);
        let mistakes = reader.finish().unwrap_err();
        assert_eq!(mistakes.len(), 1);
        assert_eq!(mistakes[0].message, "too large: 2 realms, limit 1");
    }
}
