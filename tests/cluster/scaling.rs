//! Somebody else than the chart says how many pods there are: by hand, or an autoscaler.

use serde_json::{Value, json};
use testkit_cluster::Cluster;

use crate::play::Server;
use crate::rolling::{names, values};
use crate::stage::{self, GATEWAY, RELEASE};

/// Installs a release and scales it to three with `kubectl scale`.
async fn scaled(cluster: &Cluster, values: &Value) {
    let file = cluster.file("values.json", values);
    let install = format!(
        "install {RELEASE} game-gateway --values {} --wait",
        file.display()
    );
    cluster.must("helm4", &install).await;
    let scale = format!("scale deployment/{GATEWAY} --replicas 3");
    cluster.must("kubectl", &scale).await;
    let wait = format!("rollout status deployment/{GATEWAY} --timeout 60s");
    cluster.must("kubectl", &wait).await;
    assert_eq!(names(cluster).len(), 3);
}

const UPGRADE: &str = "upgrade game game-gateway --reuse-values \
     --set config.session.idle_timeout=4m --wait --timeout 60s";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_would_undo_it_is_refused() {
    let (server, cluster) = (Server::start().await, stage::start());
    scaled(&cluster, &values(&server, 1)).await;
    let pods = names(&cluster);
    let said = cluster.run("helm4", UPGRADE).await;
    assert!(!said.success, "{}", said.text);
    assert!(said.text.contains(".spec.replicas"), "{}", said.text);
    assert_eq!(names(&cluster), pods, "no pod was touched");
    // The operator requests the undo explicitly.
    cluster
        .must("helm4", &format!("{UPGRADE} --force-conflicts"))
        .await;
    assert_eq!(names(&cluster).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_an_autoscaler_keeps_its_count() {
    let (server, cluster) = (Server::start().await, stage::start());
    let mut values = values(&server, 1);
    values["replicaCount"] = json!("");
    values["autoscaling"] = json!({ "enabled": true, "minReplicas": 1, "maxReplicas": 5 });
    scaled(&cluster, &values).await;
    let pods = names(&cluster);
    cluster.must("helm4", UPGRADE).await;
    let new = names(&cluster);
    assert_eq!(new.len(), 3);
    assert!(new.iter().all(|name| !pods.contains(name)), "{new:?}");
}

/// Without the field Kubernetes would take one gateway, and the others would drain. Scaled by hand is as
/// scaled by an autoscaler.
async fn keeps_its_gateways(helm: &str) {
    let (server, cluster) = (Server::start().await, stage::start());
    let file = cluster.file("values.json", &values(&server, 2));
    let install = format!(
        "install {RELEASE} game-gateway --values {} --wait",
        file.display()
    );
    cluster.must(helm, &install).await;
    let pods = names(&cluster);
    let on = format!(
        "upgrade {RELEASE} game-gateway --reuse-values --wait --timeout 60s \
         --set-string replicaCount= --set autoscaling.enabled=true,autoscaling.maxReplicas=5"
    );
    cluster.must(helm, &on).await;
    assert_eq!(names(&cluster), pods, "{}", cluster.report());
    // The same again, before an autoscaler has changed anything: the number is still Helm's.
    cluster.must(helm, &on).await;
    assert_eq!(names(&cluster), pods, "{}", cluster.report());
    let scale = format!("scale deployment/{GATEWAY} --replicas 3");
    cluster.must("kubectl", &scale).await;
    let wait = format!("rollout status deployment/{GATEWAY} --timeout 60s");
    cluster.must("kubectl", &wait).await;
    let pods = names(&cluster);
    assert_eq!(pods.len(), 3);
    cluster.must(helm, &on).await;
    assert_eq!(names(&cluster), pods, "{}", cluster.report());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_the_autoscaler_on_keeps_the_gateways_with_helm_4() {
    keeps_its_gateways("helm4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_the_autoscaler_on_keeps_the_gateways_with_helm_3() {
    keeps_its_gateways("helm3").await;
}
