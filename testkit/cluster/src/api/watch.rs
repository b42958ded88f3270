//! Watches: a stream of changes, one JSON document a line.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

use super::Query;
use super::discovery::Resource;
use crate::selector::selects;
use crate::store::Store;

/// The objects that a request means.
pub(super) struct Selection {
    pub(super) plural: &'static str,
    /// Empty: all.
    pub(super) namespace: String,
    pub(super) labels: String,
    pub(super) fields: String,
}

impl Selection {
    /// Returns the current objects and their version.
    pub(super) fn list(&self, store: &Store) -> (Vec<Arc<Value>>, usize) {
        let namespace = Some(self.namespace.as_str()).filter(|name| !name.is_empty());
        let (mut objects, version) = store.list(self.plural, namespace);
        objects.retain(|object| selects(&self.labels, &self.fields, object));
        (objects, version)
    }

    /// Returns the events that made the versions after this one.
    fn events_after(&self, store: &Store, version: usize) -> (Vec<Bytes>, usize) {
        let changes = store.changes_after(version);
        let newest = version + changes.len();
        let mine = changes.iter().filter(|change| {
            change.key.plural == self.plural
                && (self.namespace.is_empty() || change.key.namespace == self.namespace)
                && selects(&self.labels, &self.fields, &change.object)
        });
        let events = mine.map(|change| event(change.what, &change.object));
        (events.collect(), newest)
    }
}

/// Starts at the version that the client has seen; else with what is there, and with a bookmark
/// behind that where the client wants one.
pub(super) fn stream(
    store: &Arc<Store>,
    selection: Selection,
    resource: &Resource,
    query: &Query,
) -> HttpResponse {
    let asked = |name: &str| query.get(name).map_or("", String::as_str);
    let bookmark = asked("sendInitialEvents") == "true";
    let seen = asked("resourceVersion").parse().unwrap_or(0);
    let mut waiting = VecDeque::new();
    let mut version = seen;
    if seen == 0 || bookmark {
        let (objects, shown) = selection.list(store);
        waiting.extend(objects.iter().map(|object| event("ADDED", object)));
        version = shown;
    }
    if bookmark {
        waiting.push_back(event(
            "BOOKMARK",
            &json!({
                "kind": resource.kind, "apiVersion": resource.api_version(),
                "metadata": {
                    "resourceVersion": version.to_string(),
                    "annotations": { "k8s.io/initial-events-end": "true" },
                },
            }),
        ));
    }
    let versions = store.versions();
    let state = (store.clone(), selection, versions, version, waiting);
    let events = stream::unfold(state, |mut state| async move {
        loop {
            let (store, selection, versions, version, waiting) = &mut state;
            if let Some(event) = waiting.pop_front() {
                return Some((Ok::<_, Infallible>(event), state));
            }
            let seen = *version;
            versions.wait_for(|newest| *newest > seen).await.ok()?;
            let (events, newest) = selection.events_after(store, *version);
            waiting.extend(events);
            *version = newest;
        }
    });
    HttpResponse::Ok()
        .content_type("application/json")
        .streaming(events)
}

fn event(what: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({ "type": what, "object": object })))
}
