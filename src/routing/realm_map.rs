//! The realm map. A million realms take 8 bytes each beside their distinct endpoints, and are compared
//! and dropped in one piece, because the map is read again every few seconds.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

use super::endpoint::{EndpointName, EndpointNameError};

/// Most realms of a document.
pub const MAX_REALMS: usize = 1 << 20;

/// Realm ids with their endpoints, each distinct endpoint once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RealmMap {
    /// Ascending.
    ids: Vec<u32>,
    /// For each id the index of its endpoint.
    places: Vec<u32>,
    /// In the order in which the ids name them, so that equal maps have equal parts.
    endpoints: Vec<EndpointName>,
}

impl RealmMap {
    /// Returns the number of realms.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns true if no realm is mapped.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Returns the endpoint of a realm.
    pub fn get(&self, realm_id: u32) -> Option<&EndpointName> {
        self.place(realm_id).map(|place| &self.endpoints[place])
    }

    /// Returns the index in [`endpoints`](Self::endpoints) of a realm's endpoint.
    pub(super) fn place(&self, realm_id: u32) -> Option<usize> {
        let index = self.ids.binary_search(&realm_id).ok()?;
        Some(self.places[index] as usize)
    }

    /// Returns the distinct endpoints.
    pub fn endpoints(&self) -> &[EndpointName] {
        &self.endpoints
    }

    /// Returns all realms with their endpoints, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &EndpointName)> {
        let endpoint = |place: &u32| &self.endpoints[*place as usize];
        (self.ids.iter().copied()).zip(self.places.iter().map(endpoint))
    }
}

impl FromIterator<(u32, EndpointName)> for RealmMap {
    /// Of two entries of one id the first one counts.
    fn from_iter<I: IntoIterator<Item = (u32, EndpointName)>>(realms: I) -> RealmMap {
        let mut builder = RealmMapBuilder::default();
        for (id, endpoint) in realms {
            builder.insert(id, endpoint);
        }
        builder.build().0
    }
}

impl Serialize for RealmMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Gathers realms in any order.
#[derive(Debug, Default)]
pub struct RealmMapBuilder {
    realms: Vec<(u32, u32)>,
    endpoints: Vec<EndpointName>,
    /// Endpoints as they are written, so that a spelling is parsed once.
    places: HashMap<Box<str>, u32>,
}

impl RealmMapBuilder {
    /// Adds a realm whose endpoint is written like this.
    ///
    /// # Errors
    /// It is not an endpoint.
    pub fn insert_text(&mut self, realm_id: u32, endpoint: &str) -> Result<(), EndpointNameError> {
        let place = match self.places.get(endpoint) {
            Some(place) => *place,
            None => {
                let place = self.push(endpoint.parse()?);
                self.places.insert(endpoint.into(), place);
                place
            }
        };
        self.realms.push((realm_id, place));
        Ok(())
    }

    /// Adds a realm.
    pub fn insert(&mut self, realm_id: u32, endpoint: EndpointName) {
        let place = self.push(endpoint);
        self.realms.push((realm_id, place));
    }

    fn push(&mut self, endpoint: EndpointName) -> u32 {
        self.endpoints.push(endpoint);
        // There are no more endpoints than realm ids, which are 32 bits.
        (self.endpoints.len() - 1) as u32
    }

    /// Returns the map, and the ids that were added more than once: of these the first entry counts.
    pub fn build(self) -> (RealmMap, Vec<u32>) {
        let RealmMapBuilder {
            mut realms,
            endpoints,
            places,
        } = self;
        drop(places);
        // Stable: the first entry of an id stays in front.
        realms.sort_by_key(|(id, _)| *id);
        let mut map = RealmMap {
            ids: Vec::with_capacity(realms.len()),
            places: Vec::with_capacity(realms.len()),
            endpoints: Vec::new(),
        };
        let mut twice = Vec::new();
        let mut renumbered: Vec<Option<u32>> = vec![None; endpoints.len()];
        let mut distinct: HashMap<&EndpointName, u32> = HashMap::new();
        for (id, place) in realms {
            if map.ids.last() == Some(&id) {
                twice.push(id);
                continue;
            }
            let place = place as usize;
            let next = distinct.len() as u32;
            let place = *renumbered[place]
                .get_or_insert_with(|| *distinct.entry(&endpoints[place]).or_insert(next));
            map.ids.push(id);
            map.places.push(place);
        }
        let mut ordered: Vec<_> = distinct.into_iter().collect();
        ordered.sort_by_key(|(_, place)| *place);
        map.endpoints = ordered.into_iter().map(|(name, _)| name.clone()).collect();
        twice.dedup();
        (map, twice)
    }
}

/// Parses a realm id. Each has one spelling, so that no realm can be named twice.
pub(super) fn realm_id(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

/// Takes only what is right; [`super::parse`] finds the mistakes in anything else.
impl<'de> Deserialize<'de> for RealmMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RealmMap, D::Error> {
        struct Realms;
        impl<'de> Visitor<'de> for Realms {
            type Value = RealmMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("realm ids with endpoints")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RealmMap, A::Error> {
                let wrong = serde::de::Error::custom;
                let mut builder = RealmMapBuilder::default();
                while let Some((id, endpoint)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    let id = realm_id(&id.0).ok_or_else(|| wrong("realm id"))?;
                    (builder.insert_text(id, &endpoint.0)).map_err(|_| wrong("endpoint"))?;
                }
                match builder.build() {
                    (map, twice) if twice.is_empty() => Ok(map),
                    _ => Err(wrong("duplicate key")),
                }
            }
        }
        deserializer.deserialize_map(Realms)
    }
}

/// Text that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn name(text: &str) -> EndpointName {
        text.parse().unwrap()
    }

    proptest! {
        /// Against the plain map, whatever the order and the spelling.
        #[test]
        fn it_is_a_map(realms in proptest::collection::vec((1..40_u32, 0..4_usize), 0..60)) {
            let spelt = ["a:1", "A:1", "b:1", "[::1]:2"];
            let mut model = BTreeMap::new();
            let mut builder = RealmMapBuilder::default();
            let mut twice = std::collections::BTreeSet::new();
            for (id, endpoint) in &realms {
                builder.insert_text(*id, spelt[*endpoint]).unwrap();
                if model.contains_key(id) {
                    twice.insert(*id);
                }
                model.entry(*id).or_insert_with(|| name(spelt[*endpoint]));
            }
            let (map, found_twice) = builder.build();
            prop_assert_eq!(found_twice, twice.into_iter().collect::<Vec<_>>());
            let held: BTreeMap<_, _> = map.iter().map(|(id, name)| (id, name.clone())).collect();
            prop_assert_eq!(&held, &model);
            prop_assert_eq!(map.len(), model.len());
            for id in 0..41 {
                prop_assert_eq!(map.get(id), model.get(&id));
            }
            let again: RealmMap = model.into_iter().rev().collect();
            prop_assert_eq!(&again, &map, "the order of the entries says nothing");
            let written = serde_json::to_string(&map).unwrap();
            prop_assert_eq!(serde_json::from_str::<RealmMap>(&written).unwrap(), map);
        }
    }

    #[test]
    fn another_endpoint_is_another_map() {
        let map = |to: &str| RealmMap::from_iter([(1, name("a:1")), (2, name(to))]);
        assert_ne!(map("a:1"), map("b:1"));
        assert_eq!(map("a:1").endpoints(), [name("a:1")]);
    }

    #[test]
    fn what_is_irregular_is_left_to_the_parser() {
        for text in [
            r#"{"0":"a:1"}"#,
            r#"{"01":"a:1"}"#,
            r#"{"+1":"a:1"}"#,
            r#"{"4294967296":"a:1"}"#,
            r#"{"1":"a"}"#,
            r#"{"1":2}"#,
            r#"{"1":"a:1","1":"a:1"}"#,
            r#"[]"#,
        ] {
            assert!(serde_json::from_str::<RealmMap>(text).is_err(), "{text}");
        }
        let escaped: RealmMap = serde_json::from_str(r#"{"\u0031":"\u0061:1"}"#).unwrap();
        assert_eq!(escaped.get(1), Some(&name("a:1")));
    }
}
