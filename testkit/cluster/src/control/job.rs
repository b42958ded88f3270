//! Jobs: a pod until one has succeeded, or too many have failed.

use serde_json::{Value, json};

use super::{count, is_true, name, namespace, owned, owned_by, set_condition};
use crate::api::discovery::Resource;
use crate::store::{Key, Store, now};

pub(super) fn reconcile(store: &Store) {
    for job in store.list("jobs", None).0 {
        if is_true(&job, "Complete") || is_true(&job, "Failed") {
            continue;
        }
        let pods = owned(store, "pods", &job);
        let in_phase = |phase: &str| {
            pods.iter()
                .filter(|p| p["status"]["phase"] == phase)
                .count()
        };
        let (succeeded, failed) = (in_phase("Succeeded"), in_phase("Failed"));
        let lost = failed > count(&job["spec"]["backoffLimit"]);
        let active = pods.len() - succeeded - failed;
        if succeeded == 0 && !lost && active == 0 {
            start_pod(store, &job);
        }
        let key = Key {
            plural: "jobs",
            namespace: namespace(&job),
            name: name(&job),
        };
        // A job that has just been deleted needs no status.
        let _ = store.update(&key, |job| {
            let status = &mut job["status"];
            status["active"] = json!(active);
            status["succeeded"] = json!(succeeded);
            status["failed"] = json!(failed);
            if status["startTime"].is_null() {
                status["startTime"] = json!(now());
            }
            if succeeded > 0 {
                status["completionTime"] = json!(now());
                set_condition(status, "Complete", true, "CompletionsReached");
            } else if lost {
                set_condition(status, "Failed", true, "BackoffLimitExceeded");
            }
            Ok(())
        });
    }
}

fn start_pod(store: &Store, job: &Value) {
    let template = &job["spec"]["template"];
    let mut pod = json!({ "metadata": template["metadata"], "spec": template["spec"] });
    let metadata = &mut pod["metadata"];
    metadata["generateName"] = json!(format!("{}-", name(job)));
    metadata["ownerReferences"] = owned_by(job);
    metadata["labels"]["job-name"] = json!(name(job));
    metadata["labels"]["batch.kubernetes.io/job-name"] = json!(name(job));
    let pods = Resource::by_plural("pods").expect("a resource");
    let made = store.create(pods, &namespace(job), pod);
    made.expect("a name that nothing has");
}
