//! What a container is given to do before it gets SIGTERM.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use super::probes::Question;

/// A `preStop`.
#[derive(Debug, Clone)]
pub(super) enum PreStop {
    Nothing,
    Sleep(Duration),
    /// A request, over when it is answered: whatever the answer is, SIGTERM is next.
    Ask(Question),
}

impl PreStop {
    /// Reads the container's, or says why it is not played here.
    pub(super) fn of(pod: &Value, address: Ipv4Addr) -> Result<PreStop, String> {
        let hook = &pod["spec"]["containers"][0]["lifecycle"]["preStop"];
        if hook.is_null() {
            return Ok(PreStop::Nothing);
        }
        if let Some(seconds) = hook["sleep"]["seconds"].as_u64() {
            return Ok(PreStop::Sleep(Duration::from_secs(seconds)));
        }
        if hook["httpGet"].is_object() {
            return Ok(PreStop::Ask(Question::of(hook, pod, address)));
        }
        Err(format!("a preStop that is not played here: {hook}"))
    }

    /// Does it, for as long as that takes; returns false where the request has failed.
    pub(super) async fn run(&self) -> bool {
        match self {
            PreStop::Nothing => true,
            PreStop::Sleep(time) => {
                tokio::time::sleep(*time).await;
                true
            }
            PreStop::Ask(question) => question.answered().await.is_ok_and(|good| good),
        }
    }
}

#[test]
fn what_is_not_played_is_refused() {
    let pod = |hook: Value| {
        serde_json::json!({ "spec": { "containers": [{
            "ports": [{ "name": "control", "containerPort": 8080 }],
            "lifecycle": { "preStop": hook },
        }] } })
    };
    let of = |hook| PreStop::of(&pod(hook), Ipv4Addr::LOCALHOST);
    assert!(matches!(of(Value::Null), Ok(PreStop::Nothing)));
    let ask = of(serde_json::json!({ "httpGet": { "path": "/leave", "port": "control" } }));
    assert!(matches!(ask, Ok(PreStop::Ask(_))), "{ask:?}");
    let why = of(serde_json::json!({ "exec": { "command": ["true"] } })).expect_err("refused");
    assert!(why.contains("not played here"), "{why}");
}
