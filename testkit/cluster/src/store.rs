//! The storage of the API server: objects with versions, and the log of all changes since the start.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::api::discovery::Resource;
use crate::defaults;

/// The identity of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its resource's plural, such as `pods`; no two resources here share one.
    pub plural: &'static str,
    /// Empty for what has no namespace.
    pub namespace: String,
    /// Unique within its resource and namespace.
    pub name: String,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub struct Change {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub what: &'static str,
    /// The object's identity.
    pub key: Key,
    /// The object after the change; before it, where it was deleted.
    pub object: Arc<Value>,
}

/// Why a request was refused; becomes a `Status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound(String),
    AlreadyExists(String),
    Conflict(String),
    Invalid(String),
    Unsupported(String),
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Arc<Value>>,
    /// The n-th change made version n.
    log: Vec<Change>,
    uids: u64,
    /// By uid and field manager: what that one applied last.
    applied: HashMap<(String, String), Value>,
}

/// All objects. Readers look; writers change under one lock, and every change wakes who waits.
pub struct Store {
    state: Mutex<State>,
    version: watch::Sender<usize>,
}

impl Store {
    pub(crate) fn new() -> Store {
        let store = Store {
            state: Mutex::default(),
            version: watch::Sender::new(0),
        };
        for name in ["default", "kube-system"] {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": name }, "status": { "phase": "Active" },
            });
            let resource = Resource::by_plural("namespaces").expect("a resource");
            store.create(resource, "", namespace).expect("a namespace");
        }
        store
    }

    /// Returns a receiver of the current version and each newer one.
    pub fn versions(&self) -> watch::Receiver<usize> {
        self.version.subscribe()
    }

    /// Returns the changes that made the versions after `version`.
    pub fn changes_after(&self, version: usize) -> Vec<Change> {
        let state = self.lock();
        state.log[version.min(state.log.len())..].to_vec()
    }

    /// Returns an object.
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.lock().objects.get(key).cloned()
    }

    /// Returns all objects of a resource, in one namespace or in all, and the version that this shows.
    pub fn list(&self, plural: &str, namespace: Option<&str>) -> (Vec<Arc<Value>>, usize) {
        let state = self.lock();
        let wanted = |key: &Key| {
            key.plural == plural && namespace.is_none_or(|namespace| key.namespace == namespace)
        };
        let all = state.objects.iter().filter(|(key, _)| wanted(key));
        (all.map(|(_, o)| o.clone()).collect(), state.log.len())
    }

    /// Returns every object.
    pub fn all(&self) -> Vec<(Key, Arc<Value>)> {
        let state = self.lock();
        let all = state.objects.iter();
        all.map(|(key, o)| (key.clone(), o.clone())).collect()
    }

    pub(crate) fn create(
        &self,
        resource: &Resource,
        namespace: &str,
        mut object: Value,
    ) -> Result<Arc<Value>, Refusal> {
        let mut state = self.lock();
        state.uids += 1;
        let uid = state.uids;
        let metadata = metadata(&mut object);
        if let Some(prefix) = metadata.get("generateName").and_then(Value::as_str) {
            let name = json!(format!("{prefix}{uid:05}"));
            metadata.entry("name").or_insert(name);
        }
        let name = metadata.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| Refusal::Invalid("metadata.name is missing".to_owned()))?;
        let key = Key {
            plural: resource.plural,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        if state.objects.contains_key(&key) {
            let what = format!("{} {:?} already exists", key.plural, key.name);
            return Err(Refusal::AlreadyExists(what));
        }
        if resource.namespaced {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        let uid = format!("00000000-0000-4000-8000-{uid:012}");
        metadata.insert("uid".to_owned(), json!(uid));
        metadata.insert("creationTimestamp".to_owned(), json!(now()));
        metadata.insert("generation".to_owned(), json!(1));
        object["apiVersion"] = json!(resource.api_version());
        object["kind"] = json!(resource.kind);
        defaults::fill_in(resource.plural, &mut object);
        Ok(self.keep(&mut state, key, "ADDED", object))
    }

    /// Changes one object. Who it is stays; a changed `spec` is a new generation; nothing changed is
    /// no new version.
    pub(crate) fn update(
        &self,
        key: &Key,
        change: impl FnOnce(&mut Value) -> Result<(), Refusal>,
    ) -> Result<Arc<Value>, Refusal> {
        let mut state = self.lock();
        let live = state.objects.get(key).cloned();
        let live = live.ok_or_else(|| not_found(key))?;
        let mut object = Value::clone(&live);
        change(&mut object)?;
        let generation = live["metadata"]["generation"].as_u64().unwrap_or(1);
        let kept = [
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "generation",
            "resourceVersion",
        ];
        let metadata = metadata(&mut object);
        for field in kept {
            match live["metadata"].get(field) {
                Some(value) => drop(metadata.insert(field.to_owned(), value.clone())),
                None => drop(metadata.remove(field)),
            }
        }
        defaults::fill_in(key.plural, &mut object);
        defaults::refuse_changes(key.plural, &live, &object)?;
        if object == *live {
            return Ok(live);
        }
        if object["spec"] != live["spec"] {
            object["metadata"]["generation"] = json!(generation + 1);
        }
        Ok(self.keep(&mut state, key.clone(), "MODIFIED", object))
    }

    /// Deletes as a client asks: a pod gets its time to end, everything else is gone at once.
    pub(crate) fn delete(&self, key: &Key, grace: Option<u64>) -> Result<Arc<Value>, Refusal> {
        if key.plural != "pods" || grace == Some(0) {
            return self.remove(key);
        }
        self.update(key, |pod| {
            let own = pod["spec"]["terminationGracePeriodSeconds"].as_u64();
            let grace = grace.or(own).unwrap_or(30);
            let metadata = metadata(pod);
            if !metadata.contains_key("deletionTimestamp") {
                metadata.insert("deletionTimestamp".to_owned(), json!(now()));
                metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
            }
            Ok(())
        })
    }

    /// Takes an object out.
    pub(crate) fn remove(&self, key: &Key) -> Result<Arc<Value>, Refusal> {
        let mut state = self.lock();
        let gone = state.objects.remove(key).ok_or_else(|| not_found(key))?;
        let mut last = Value::clone(&gone);
        last["metadata"]["resourceVersion"] = json!((state.log.len() + 1).to_string());
        let last = Arc::new(last);
        self.note(&mut state, key.clone(), "DELETED", last.clone());
        Ok(last)
    }

    /// Returns the last configuration that a field manager applied to the object with this uid.
    pub(crate) fn applied(&self, uid: &str, by: &str) -> Option<Value> {
        let state = self.lock();
        let found = state.applied.get(&(uid.to_owned(), by.to_owned()));
        found.cloned()
    }

    pub(crate) fn note_applied(&self, uid: &str, by: &str, what: Value) {
        let who = (uid.to_owned(), by.to_owned());
        self.lock().applied.insert(who, what);
    }

    /// Makes a field one that no manager has applied.
    pub(crate) fn disown(&self, uid: &str, parent: &str, field: &str) {
        let mut state = self.lock();
        let all = state.applied.iter_mut();
        let of_it = all.filter(|((of, _), _)| of == uid);
        for object in of_it.filter_map(|(_, what)| what.pointer_mut(parent)?.as_object_mut()) {
            object.remove(field);
        }
    }

    fn keep(
        &self,
        state: &mut State,
        key: Key,
        what: &'static str,
        mut object: Value,
    ) -> Arc<Value> {
        let version = (state.log.len() + 1).to_string();
        object["metadata"]["resourceVersion"] = json!(version);
        let object = Arc::new(object);
        state.objects.insert(key.clone(), object.clone());
        self.note(state, key, what, object.clone());
        object
    }

    fn note(&self, state: &mut State, key: Key, what: &'static str, object: Arc<Value>) {
        state.log.push(Change { what, key, object });
        self.version.send_replace(state.log.len());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_found(key: &Key) -> Refusal {
    Refusal::NotFound(format!("{} {:?} not found", key.plural, key.name))
}

/// Returns an object's metadata, created if it has none.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().expect("made above")
}

/// This moment as Kubernetes writes it.
pub(crate) fn now() -> String {
    rfc3339(SystemTime::now())
}

/// Formats a time as Kubernetes does, in UTC.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH);
    timestamp(since.expect("after 1970").as_secs())
}

/// Seconds since 1970 as RFC 3339.
fn timestamp(seconds: u64) -> String {
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!(
        "{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
        days + 1
    )
}

#[test]
fn timestamps_are_what_a_calendar_says() {
    let cases = [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_735_689_599, "2024-12-31T23:59:59Z"),
        (1_795_423_482, "2026-11-23T08:44:42Z"),
    ];
    for (seconds, text) in cases {
        assert_eq!(timestamp(seconds), text);
    }
}
