//! The controllers: each looks at what is and does the next step towards what should be.

pub(crate) mod deployment;
mod garbage;
mod job;
mod replica_set;
mod rollout;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::store::{Store, now};

/// Interval of steps that only depend on time.
const TICK: Duration = Duration::from_millis(200);

/// Runs all controllers until the task is aborted.
pub(crate) async fn run(store: Arc<Store>) {
    let mut versions = store.versions();
    loop {
        versions.mark_unchanged();
        garbage::collect(&store);
        replica_set::reconcile(&store);
        deployment::reconcile(&store);
        job::reconcile(&store);
        // Either is a reason to look again; the sender lives as long as the store.
        let _ = tokio::time::timeout(TICK, versions.changed()).await;
    }
}

/// Returns the owner references of an object that `owner` controls.
fn owned_by(owner: &Value) -> Value {
    json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    }])
}

/// Returns the objects that another one owns.
fn owned(store: &Store, plural: &str, owner: &Value) -> Vec<Arc<Value>> {
    let (mut objects, _) = store.list(plural, owner["metadata"]["namespace"].as_str());
    let uid = &owner["metadata"]["uid"];
    objects.retain(|object| object["metadata"]["ownerReferences"][0]["uid"] == *uid);
    objects
}

fn count(value: &Value) -> usize {
    value
        .as_u64()
        .map_or(0, |n| usize::try_from(n).expect("small"))
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or("").to_owned()
}

fn namespace(object: &Value) -> String {
    object["metadata"]["namespace"]
        .as_str()
        .unwrap_or("")
        .to_owned()
}

/// Returns true if a condition is true.
pub fn is_true(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let mut all = conditions.into_iter().flatten();
    all.any(|one| one["type"] == condition && one["status"] == "True")
}

/// Returns a condition of a status, created if there is none.
fn condition<'a>(status: &'a mut Value, kind: &str) -> &'a mut Value {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let conditions = status["conditions"].as_array_mut().expect("made above");
    let place = conditions.iter().position(|one| one["type"] == kind);
    let place = place.unwrap_or_else(|| {
        conditions.push(json!({ "type": kind }));
        conditions.len() - 1
    });
    &mut conditions[place]
}

/// Sets a condition; its time is that of its last change.
pub(crate) fn set_condition(status: &mut Value, kind: &str, holds: bool, reason: &str) {
    let text = if holds { "True" } else { "False" };
    let condition = condition(status, kind);
    if condition["status"] != text {
        condition["lastTransitionTime"] = json!(now());
    }
    condition["status"] = json!(text);
    condition["reason"] = json!(reason);
}
