//! Defaults and immutable fields of the API server, as far as the controllers here and the tools that
//! wait for them need them.

use serde_json::{Value, json};

use crate::store::Refusal;

/// Fills in what a writer may leave out.
pub(crate) fn fill_in(plural: &str, object: &mut Value) {
    match plural {
        "deployments" => {
            fill(&mut object["spec"], "replicas", json!(1));
            fill(&mut object["spec"], "progressDeadlineSeconds", json!(600));
            fill(&mut object["spec"], "revisionHistoryLimit", json!(10));
            fill(
                &mut object["spec"],
                "strategy",
                json!({ "type": "RollingUpdate" }),
            );
            let strategy = &mut object["spec"]["strategy"];
            if strategy["type"] == "RollingUpdate" {
                fill(strategy, "rollingUpdate", json!({}));
                let rolling = &mut strategy["rollingUpdate"];
                fill(rolling, "maxSurge", json!("25%"));
                fill(rolling, "maxUnavailable", json!("25%"));
            }
        }
        "services" => {
            fill(&mut object["spec"], "type", json!("ClusterIP"));
            let ports = object["spec"]["ports"].as_array_mut();
            for port in ports.into_iter().flatten() {
                fill(port, "protocol", json!("TCP"));
                let number = port["port"].clone();
                fill(port, "targetPort", number);
            }
        }
        "jobs" => {
            fill(&mut object["spec"], "backoffLimit", json!(6));
            fill(&mut object["spec"], "completions", json!(1));
        }
        "pods" => fill(&mut object["spec"], "restartPolicy", json!("Always")),
        _ => {}
    }
}

fn fill(object: &mut Value, field: &str, value: Value) {
    if object[field].is_null() {
        object[field] = value;
    }
}

/// Refuses a change of what must stay.
pub(crate) fn refuse_changes(plural: &str, old: &Value, new: &Value) -> Result<(), Refusal> {
    let fixed: &[&str] = match plural {
        "deployments" => &["/spec/selector"],
        "jobs" => &["/spec/template", "/spec/selector"],
        _ => &[],
    };
    match fixed
        .iter()
        .find(|path| old.pointer(path) != new.pointer(path))
    {
        Some(path) => {
            let field = path[1..].replace('/', ".");
            Err(Refusal::Invalid(format!("{field}: field is immutable")))
        }
        None => Ok(()),
    }
}
