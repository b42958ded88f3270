//! ReplicaSets: so many pods, and which of them go first when there are too many.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{count, is_true, name, namespace, owned, owned_by};
use crate::api::discovery::Resource;
use crate::store::{Key, Store, rfc3339};

/// Returns the deletion cost of a pod, set by operators or gateways: the lowest is deleted first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

pub(super) fn reconcile(store: &Store) {
    for set in store.list("replicasets", None).0 {
        let mut pods = active_pods(store, &set);
        let wanted = count(&set["spec"]["replicas"]);
        for _ in pods.len()..wanted {
            start_pod(store, &set);
        }
        if pods.len() > wanted {
            pods.sort_by_cached_key(|pod| deletion_order(pod));
            for pod in &pods[..pods.len() - wanted] {
                // It may have been deleted by another actor already.
                let _ = store.delete(&pod_key(pod), None);
            }
        }
        note_status(store, &set);
    }
}

/// Returns the pods of a set that have neither ended nor are being deleted.
fn active_pods(store: &Store, set: &Value) -> Vec<Arc<Value>> {
    let mut pods = owned(store, "pods", set);
    pods.retain(|pod| {
        let over = matches!(
            pod["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        );
        !over && pod["metadata"]["deletionTimestamp"].is_null()
    });
    pods
}

fn pod_key(pod: &Value) -> Key {
    Key {
        plural: "pods",
        namespace: namespace(pod),
        name: name(pod),
    }
}

fn start_pod(store: &Store, set: &Value) {
    let template = &set["spec"]["template"];
    let mut pod = json!({ "metadata": template["metadata"], "spec": template["spec"] });
    pod["metadata"]["generateName"] = json!(format!("{}-", name(set)));
    pod["metadata"]["ownerReferences"] = owned_by(set);
    let pods = Resource::by_plural("pods").expect("a resource");
    let made = store.create(pods, &namespace(set), pod);
    made.expect("a name that nothing has");
}

/// Returns the sort key of Kubernetes' deletion order: not yet running, not ready, cheaper, ready for a
/// shorter time, younger.
fn deletion_order(pod: &Value) -> (bool, bool, i64, Reverse<String>, Reverse<String>) {
    let cost = pod["metadata"]["annotations"][DELETION_COST].as_str();
    let cost = cost.and_then(|text| text.parse().ok()).unwrap_or(0);
    (
        pod["status"]["phase"] == "Running",
        is_true(pod, "Ready"),
        cost,
        Reverse(ready_since(pod)),
        Reverse(pod["metadata"]["uid"].to_string()),
    )
}

fn ready_since(pod: &Value) -> String {
    let conditions = pod["status"]["conditions"].as_array();
    let mut all = conditions.into_iter().flatten();
    let ready = all.find(|one| one["type"] == "Ready");
    let since = ready.and_then(|ready| ready["lastTransitionTime"].as_str());
    since.unwrap_or("").to_owned()
}

fn note_status(store: &Store, set: &Value) {
    let pods = active_pods(store, set);
    let for_long = Duration::from_secs(set["spec"]["minReadySeconds"].as_u64().unwrap_or(0));
    // Timestamps of one form sort as text.
    let latest = rfc3339(SystemTime::now() - for_long);
    let ready: Vec<_> = pods.iter().filter(|pod| is_true(pod, "Ready")).collect();
    let available = ready
        .iter()
        .filter(|pod| ready_since(pod) <= latest)
        .count();
    let key = Key {
        plural: "replicasets",
        namespace: namespace(set),
        name: name(set),
    };
    // A set that has just been deleted needs no status.
    let _ = store.update(&key, |set| {
        set["status"] = json!({
            "replicas": pods.len(),
            "fullyLabeledReplicas": pods.len(),
            "readyReplicas": ready.len(),
            "availableReplicas": available,
            "observedGeneration": set["metadata"]["generation"],
        });
        Ok(())
    });
}

#[test]
fn the_cheapest_ready_pod_goes_after_those_that_are_not_ready() {
    let pod = |uid: &str, phase: &str, ready: &str, since: &str, cost: &str| {
        json!({
            "metadata": { "uid": uid, "annotations": { DELETION_COST: cost } },
            "status": { "phase": phase, "conditions": [
                { "type": "Ready", "status": ready, "lastTransitionTime": since },
            ] },
        })
    };
    let mut pods = [
        pod("older", "Running", "True", "2026-01-01T00:00:00Z", "7"),
        pod("dear", "Running", "True", "2026-01-03T00:00:00Z", "70"),
        pod("cheap", "Running", "True", "2026-01-01T00:00:00Z", "-1"),
        pod("unready", "Running", "False", "2026-01-01T00:00:00Z", "99"),
        pod("newer", "Running", "True", "2026-01-02T00:00:00Z", "7"),
        pod("pending", "Pending", "False", "", "99"),
    ];
    pods.sort_by_cached_key(deletion_order);
    let order = pods
        .each_ref()
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap_or(""));
    assert_eq!(
        order,
        ["pending", "unready", "cheap", "newer", "older", "dear"]
    );
}
