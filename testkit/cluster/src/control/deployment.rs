//! Deployments: a ReplicaSet for each template, the newest grown and the others shrunk as pods
//! become available, and a status that tells who waits for the end of it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::rollout::{Plan, Set};
use super::{condition, count, name, namespace, owned, owned_by, set_condition};
use crate::api::discovery::Resource;
use crate::store::{Key, Store, metadata, now, rfc3339};

const REVISION: &str = "deployment.kubernetes.io/revision";
const HASH: &str = "pod-template-hash";

pub(super) fn reconcile(store: &Store) {
    for deployment in store.list("deployments", None).0 {
        let new = newest_set(store, &deployment);
        let mut old = owned(store, "replicasets", &deployment);
        old.retain(|set| name(set) != name(&new));
        old.sort_by_key(|set| revision(set));
        scale(store, &deployment, &new, &old);
        forget_oldest(store, &deployment, &old);
        note_status(store, &deployment, &name(&new));
    }
}

fn revision(object: &Value) -> u64 {
    let text = object["metadata"]["annotations"][REVISION].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn key(plural: &'static str, object: &Value) -> Key {
    Key {
        plural,
        namespace: namespace(object),
        name: name(object),
    }
}

/// Returns the set of the Deployment's template, created if there is none. One that was there before
/// others (a rollback) becomes the newest.
fn newest_set(store: &Store, deployment: &Value) -> Arc<Value> {
    let template = &deployment["spec"]["template"];
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    let hash = format!("{:010x}", hasher.finish() >> 24);
    let set_name = format!("{}-{hash}", name(deployment));
    let sets = owned(store, "replicasets", deployment);
    let newest = sets.iter().map(|set| revision(set)).max().unwrap_or(0);
    let there = sets.iter().find(|set| name(set) == set_name);
    let number = match there {
        Some(set) if revision(set) == newest => newest,
        _ => newest + 1,
    };
    let set = match there {
        Some(set) => annotate(store, &key("replicasets", set), number),
        None => {
            let mut set = json!({
                "metadata": {
                    "name": set_name,
                    "labels": template["metadata"]["labels"],
                    "annotations": { REVISION: number.to_string() },
                    "ownerReferences": owned_by(deployment),
                },
                "spec": {
                    "replicas": 0,
                    "minReadySeconds": deployment["spec"]["minReadySeconds"],
                    "selector": deployment["spec"]["selector"],
                    "template": template,
                },
            });
            set["metadata"]["labels"][HASH] = json!(hash);
            set["spec"]["selector"]["matchLabels"][HASH] = json!(hash);
            set["spec"]["template"]["metadata"]["labels"][HASH] = json!(hash);
            let sets = Resource::by_plural("replicasets").expect("a resource");
            store.create(sets, &namespace(deployment), set).ok()
        }
    };
    annotate(store, &key("deployments", deployment), number);
    set.expect("only the controllers take sets away")
}

fn annotate(store: &Store, key: &Key, number: u64) -> Option<Arc<Value>> {
    let changed = store.update(key, |object| {
        let metadata = metadata(object);
        let annotations = metadata.entry("annotations").or_insert(Value::Null);
        annotations[REVISION] = json!(number.to_string());
        Ok(())
    });
    changed.ok()
}

fn scale(store: &Store, deployment: &Value, new: &Value, old: &[Arc<Value>]) {
    let set = |set: &Value| Set {
        wanted: count(&set["spec"]["replicas"]),
        available: count(&set["status"]["availableReplicas"]),
    };
    let now_new = set(new);
    let now_old: Vec<Set> = old.iter().map(|one| set(one)).collect();
    let plan = Plan::of(deployment);
    let recreate = deployment["spec"]["strategy"]["type"] == "Recreate";
    let (next_new, next_old) = if recreate {
        let left: usize = old.iter().map(|set| owned(store, "pods", set).len()).sum();
        let next = if left == 0 {
            plan.replicas
        } else {
            now_new.wanted
        };
        (next, vec![0; old.len()])
    } else {
        (
            plan.next_new(now_new, &now_old),
            plan.next_old(now_new, &now_old),
        )
    };
    set_replicas(store, new, next_new);
    for (set, next) in old.iter().zip(next_old) {
        set_replicas(store, set, next);
    }
}

fn set_replicas(store: &Store, set: &Value, replicas: usize) {
    let changed = store.update(&key("replicasets", set), |set| {
        set["spec"]["replicas"] = json!(replicas);
        Ok(())
    });
    changed.expect("only the controllers take sets away");
}

/// Sets without pods are kept for rollbacks, so many of them.
fn forget_oldest(store: &Store, deployment: &Value, old: &[Arc<Value>]) {
    let limit = count(&deployment["spec"]["revisionHistoryLimit"]);
    let empty =
        |set: &&Arc<Value>| set["spec"]["replicas"] == 0 && owned(store, "pods", set).is_empty();
    let empty: Vec<_> = old.iter().filter(empty).collect();
    for set in &empty[..empty.len().saturating_sub(limit)] {
        let _ = store.remove(&key("replicasets", set));
    }
}

fn note_status(store: &Store, deployment: &Value, newest: &str) {
    let sets = owned(store, "replicasets", deployment);
    let sum = |field: &str| {
        sets.iter()
            .map(|set| count(&set["status"][field]))
            .sum::<usize>()
    };
    let new = sets.iter().find(|set| name(set) == newest);
    let updated = new.map_or(0, |set| count(&set["status"]["replicas"]));
    let updated_available = new.map_or(0, |set| count(&set["status"]["availableReplicas"]));
    let (total, ready, available) = (
        sum("replicas"),
        sum("readyReplicas"),
        sum("availableReplicas"),
    );
    let plan = Plan::of(deployment);
    let enough = available + plan.unavailable >= plan.replicas;
    let done = [total, updated, updated_available]
        .iter()
        .all(|count| *count == plan.replicas);
    // The state that was read, not a newer one: that is handled in the next round.
    let observed = &deployment["metadata"]["generation"];
    let patience =
        Duration::from_secs(count(&deployment["spec"]["progressDeadlineSeconds"]) as u64);
    // The deployment may have been deleted since.
    let _ = store.update(&key("deployments", deployment), |deployment| {
        let status = &mut deployment["status"];
        let progressed = status["updatedReplicas"] != updated
            || status["availableReplicas"] != available
            || status["observedGeneration"] != *observed;
        status["observedGeneration"] = observed.clone();
        status["replicas"] = json!(total);
        status["updatedReplicas"] = json!(updated);
        status["readyReplicas"] = json!(ready);
        status["availableReplicas"] = json!(available);
        status["unavailableReplicas"] = json!(plan.replicas.saturating_sub(available));
        let reason = if enough {
            "MinimumReplicasAvailable"
        } else {
            "MinimumReplicasUnavailable"
        };
        set_condition(status, "Available", enough, reason);
        note_progress(status, done, progressed, patience);
        Ok(())
    });
}

fn note_progress(status: &mut Value, done: bool, progressed: bool, patience: Duration) {
    if done {
        set_condition(status, "Progressing", true, "NewReplicaSetAvailable");
        return;
    }
    let progressing = condition(status, "Progressing");
    if progressed {
        progressing["lastUpdateTime"] = json!(now());
        set_condition(status, "Progressing", true, "ReplicaSetUpdated");
        return;
    }
    let latest = rfc3339(SystemTime::now() - patience);
    if progressing["lastUpdateTime"]
        .as_str()
        .is_some_and(|since| since <= latest.as_str())
    {
        set_condition(status, "Progressing", false, "ProgressDeadlineExceeded");
    }
}
