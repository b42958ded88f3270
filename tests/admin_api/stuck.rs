//! One worker holds its thread: everything is answered all the same.

use std::sync::{Arc, Barrier};

use game_gateway::supervision::Fault;
use serde_json::json;

use crate::http::{get, request};
use crate::support::wire::{Backend, Gateway, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_answered_without_a_worker_that_is_stuck() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| config.gateway.workers = 2).await;
    let at = gateway.admin;
    let barrier = Arc::new(Barrier::new(2));
    let stall = Fault::Stall(Arc::clone(&barrier));
    gateway.inspector().inject("worker-1", stall);

    get(at, "/health").await.error(503, "unhealthy");
    for path in [
        "/ready",
        "/metrics",
        "/api/v1/info",
        "/api/v1/actors",
        "/api/v1/actors?kind=worker",
        "/api/v1/actors/worker-1",
        "/api/v1/backends",
        "/api/v1/routes",
        "/api/v1/routes/resolve?service=game",
        "/api/v1/drain",
        "/api/v1/config",
    ] {
        assert_eq!(get(at, path).await.status, 200, "{path}");
    }
    let stuck = get(at, "/api/v1/actors/worker-1").await.json();
    assert_eq!(
        (&stuck["responding"], &stuck["detail"]),
        (&json!(false), &json!(null))
    );
    let sessions = get(at, "/api/v1/sessions").await.json();
    assert_eq!(sessions["silent_workers"], json!([1]));
    // Nobody can say whether an id is known to the registry that does not answer.
    let mut codes = Vec::new();
    for id in 1..40 {
        let line = format!("DELETE /api/v1/sessions/{id}");
        let answer = request(at, &line, &[], "").await;
        codes.push(answer.status);
        if answer.status == 503 {
            let said = answer.error(503, "timeout");
            assert_eq!(said, "worker 1 has not answered in time");
            break;
        }
        answer.error(404, "not_found");
    }
    assert!(codes.ends_with(&[503]), "{codes:?}");

    barrier.wait();
    soon(async {
        while get(at, "/health").await.status != 200 {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}
