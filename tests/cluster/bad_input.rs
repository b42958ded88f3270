//! Bad new versions: each says what is wrong with it, and none takes the good one's place.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;
use testkit_cluster::{Cluster, is_true};

use crate::play::{Players, Server};
use crate::rolling::{exact, names, never_fewer, secrets, values, version};
use crate::stage::{self, RELEASE, gateways, players_port};
use crate::support::redis::free_port;
use crate::support::wire::get;

/// A fault of a version, and the place that reports it.
struct Mistake {
    values: String,
    /// The kubelet, where the container cannot even be started.
    status_says: &'static str,
    log_says: String,
    ready_says: String,
}

fn mistakes() -> Vec<Mistake> {
    let nothing = String::new;
    let port = free_port();
    let redis = format!("127.0.0.1:{port}");
    let no_routes = "echo.enabled=false,routes.rules=null";
    vec![
        Mistake {
            values: "tls.enabled=true,tls.existingSecret=nowhere,\
                     tokenKeys.existingSecret=nowhere,admin.existingSecret=nowhere"
                .to_owned(),
            status_says: "secrets \"nowhere\" not found",
            log_says: nothing(),
            ready_says: nothing(),
        },
        Mistake {
            values: "extraEnvVars[0].name=GATEWAY__LISTEN__SPEED,extraEnvVars[0].value=fast"
                .to_owned(),
            status_says: "CrashLoopBackOff",
            log_says: "GATEWAY__LISTEN__SPEED: unknown key".to_owned(),
            ready_says: nothing(),
        },
        Mistake {
            values: format!(
                "{no_routes},routes.source=redis,routes.write=false,\
                 externalRedis.host=127.0.0.1,externalRedis.port={port}"
            ),
            status_says: "",
            log_says: redis.clone(),
            ready_says: redis,
        },
        Mistake {
            values: format!("{no_routes},routes.existingConfigMap=mistaken"),
            status_says: "",
            log_says: "sideways".to_owned(),
            ready_says: "sideways".to_owned(),
        },
    ]
}

/// Returns the pods that are not those of the good version.
fn newcomers(cluster: &Cluster, good: &[String]) -> Vec<Arc<Value>> {
    let mut pods = gateways(cluster);
    pods.retain(|pod| good.iter().all(|name| pod["metadata"]["name"] != *name));
    pods
}

async fn readiness(pod: &Value) -> (u16, String) {
    let address = pod["status"]["podIP"]
        .as_str()
        .and_then(|text| text.parse::<IpAddr>().ok());
    get(
        SocketAddr::new(address.expect("an address"), 9090),
        "/ready",
    )
    .await
}

async fn is_held(cluster: &Cluster, good: &[String], file: &str, mistake: &Mistake) {
    let upgrade = format!(
        "upgrade {RELEASE} game-gateway --values {file} --set {} --wait --timeout 4s",
        mistake.values
    );
    let said = cluster.run("helm4", &upgrade).await;
    assert!(!said.success, "{upgrade}: {}", said.text);
    cluster
        .until("the new pods say what is wrong", |cluster| {
            let pods = newcomers(cluster, good);
            let says = |pod: &Arc<Value>| {
                let name = pod["metadata"]["name"].as_str().unwrap_or("");
                pod["status"]["containerStatuses"]
                    .to_string()
                    .replace('\\', "")
                    .contains(mistake.status_says)
                    && cluster.journal.log_of(name).contains(&mistake.log_says)
            };
            !pods.is_empty() && pods.iter().all(says)
        })
        .await;
    for pod in newcomers(cluster, good) {
        assert!(!is_true(&pod, "Ready"), "{pod}");
        if !mistake.ready_says.is_empty() {
            let (status, body) = readiness(&pod).await;
            assert_eq!(status, 503, "{body}");
            assert!(body.contains("no routes yet"), "{body}");
            assert!(body.contains(&mistake.ready_says), "{body}");
        }
    }
    let there = gateways(cluster);
    let ready = there.iter().filter(|pod| is_true(pod, "Ready"));
    assert_eq!(ready.count(), good.len(), "{}", cluster.report());
    assert!(good.iter().all(|name| names(cluster).contains(name)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_new_version_never_takes_the_good_ones_place() {
    let (server, cluster) = (Server::start().await, stage::start());
    let file = cluster.file("values.json", &values(&server, 2));
    let file = file.display().to_string();
    let install = format!("install {RELEASE} game-gateway --values {file} --wait --timeout 60s");
    cluster.must("helm4", &install).await;
    let (good, made_up) = (names(&cluster), secrets(&cluster));
    let routes = r#"{"rules":{"game":{"strategy":"sideways","endpoints":["127.0.0.1:1"]}}}"#;
    let literal = format!("--from-literal=routes.json={routes}");
    cluster
        .must("kubectl", &format!("create configmap mistaken {literal}"))
        .await;

    let players = Players::start(players_port(&cluster), 10, 0).await;
    players.hear(50).await;
    let installed = version(&cluster);
    for mistake in mistakes() {
        is_held(&cluster, &good, &file, &mistake).await;
        // Or the good version's pods would lose the keys of their players' tokens.
        assert_eq!(secrets(&cluster), made_up, "{}", mistake.values);
    }
    cluster
        .must(
            "helm4",
            &format!("rollback {RELEASE} 1 --wait --timeout 60s"),
        )
        .await;
    assert_eq!(names(&cluster), good, "{}", cluster.report());
    never_fewer(&cluster, installed, 2);
    players.hear(50).await;
    let summary = players.stop(std::slice::from_ref(&server)).await;
    exact(&summary, 10, &cluster);
    assert!(summary.moves.keys().eq([&0]), "{summary:?}");
}
