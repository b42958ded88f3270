//! A cluster with the program and the chart under test, and the parts of a release in it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use testkit_cluster::{Cluster, Key, Setup};

/// The one release of a test.
pub(crate) const RELEASE: &str = "game";
/// The chart's name for its objects in a release of that name.
pub(crate) const GATEWAY: &str = "game-game-gateway";

/// Starts a cluster whose images hold this build of the program.
pub(crate) fn start() -> Cluster {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Cluster::start(Setup {
        program: env!("CARGO_BIN_EXE_game-gateway").into(),
        tools: root.join("target/chart-tools/bin"),
        directory: root.join("helm"),
    })
}

/// Returns the path of an example.
pub(crate) fn example(name: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    examples.join(name)
}

/// Returns the gateway's pods that are not terminating, by their names.
pub(crate) fn gateways(cluster: &Cluster) -> Vec<Arc<Value>> {
    let (mut pods, _) = cluster.store.list("pods", None);
    pods.retain(|pod| {
        let labels = &pod["metadata"]["labels"];
        labels["app.kubernetes.io/component"] == "gateway"
            && pod["metadata"]["deletionTimestamp"].is_null()
    });
    pods
}

/// Returns the address of the Service that players connect to.
pub(crate) fn players_port(cluster: &Cluster) -> SocketAddr {
    let key = Key {
        plural: "services",
        namespace: "default".to_owned(),
        name: GATEWAY.to_owned(),
    };
    let service = cluster.store.get(&key).expect("the players' Service");
    let address = service["spec"]["clusterIP"]
        .as_str()
        .and_then(|text| text.parse::<IpAddr>().ok());
    (address.expect("an address"), 7000).into()
}
