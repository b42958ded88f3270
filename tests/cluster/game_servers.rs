//! Game servers as the examples deploy them, rolled out under the hands of their players.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use game_gateway::sdk::client::{Client, Event, Options, Outgoing};
use serde_json::{Value, json};
use testkit_cluster::Cluster;
use tokio::task::JoinSet;

use crate::play::{Players, SERVICE, Summary};
use crate::stage::{self, RELEASE, gateways, players_port};
use crate::support::process::Process;
use crate::support::wire::{get, metric, soon};

/// Players whose sessions can be resumed, and of a match.
const PLAYERS: u64 = 60;
const MATCH: u64 = 10;
/// Players whose sessions cannot.
const PLAIN: u64 = 6;

/// Starts a cluster, unless headless Services have no names here.
fn start() -> Option<Cluster> {
    let cluster = stage::start();
    if !cluster.has_names {
        println!("skipped: port 53 is for root only");
        return None;
    }
    Some(cluster)
}

/// Applies `examples/{name}.yaml`. Its pause between two pods is the gateways' interval of look-ups, both shorter here.
async fn deploy(cluster: &Cluster, name: &str) {
    let file = stage::example(&format!("{name}.yaml"));
    let text = std::fs::read_to_string(file).expect("the example");
    let shorter = text.replace("minReadySeconds: 15", "minReadySeconds: 2");
    assert_ne!(text, shorter);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("example.yaml");
    std::fs::write(&file, shorter).expect("written");
    cluster
        .must("kubectl", &format!("apply --filename {}", file.display()))
        .await;
    let status = format!("rollout status deployment/{name} --timeout 60s");
    cluster.must("kubectl", &status).await;
}

/// Installs two gateways whose rule names that headless Service.
async fn install_gateways(cluster: &Cluster, servers: &str) {
    let values = json!({
        "replicaCount": 2,
        "config": {
            "gateway": { "workers": 1 },
            "backend": { "resolve_interval": "1s" },
            "log": { "format": "text" },
        },
        "readinessProbe": { "periodSeconds": 1 },
        "routes": { "rules": { SERVICE: {
            // So a match is at one server, and goes to another one as a whole.
            "strategy": "consistent_hash", "hash_key": "realm_id",
            "endpoints": [format!("{servers}:9001")],
        } } },
    });
    let file = cluster.file("values.json", &values);
    let install = format!(
        "install {RELEASE} game-gateway --values {} --wait --timeout 60s",
        file.display()
    );
    cluster.must("helm4", &install).await;
}

/// Returns the names of a Deployment's pods that are not terminating.
fn pods_of(cluster: &Cluster, name: &str) -> Vec<String> {
    let (mut pods, _) = cluster.store.list("pods", None);
    pods.retain(|pod| {
        pod["metadata"]["labels"]["app"] == name && pod["metadata"]["deletionTimestamp"].is_null()
    });
    let name = |pod: &Arc<Value>| pod["metadata"]["name"].as_str().unwrap_or("").to_owned();
    pods.iter().map(name).collect()
}

/// Replaces every pod of a Deployment, and asserts that each old one has ended by itself, without a session.
async fn roll_out(cluster: &Cluster, name: &str, replicas: usize) {
    let old = pods_of(cluster, name);
    assert_eq!(old.len(), replicas, "{old:?}");
    for command in ["restart", "status --timeout=60s"] {
        let rollout = format!("rollout {command} deployment/{name}");
        cluster.must("kubectl", &rollout).await;
    }
    let ended = |cluster: &Cluster| {
        let ends = cluster.journal.ends().into_iter();
        ends.filter(|end| old.contains(&end.pod))
            .collect::<Vec<_>>()
    };
    cluster
        .until(&format!("{old:?} are gone"), |cluster| {
            ended(cluster).len() == replicas
        })
        .await;
    for end in ended(cluster) {
        let log = cluster.journal.log_of(&end.pod);
        let by_itself = (end.code, end.killed, end.hook_failed) == (Some(0), false, false);
        assert!(
            by_itself && log.contains("0 sessions cut off\n"),
            "{end:?}\n{}",
            cluster.report()
        );
    }
    assert!(
        pods_of(cluster, name).iter().all(|pod| !old.contains(pod)),
        "{}",
        cluster.report()
    );
}

/// Sums a metric over all gateways.
async fn of_gateways(cluster: &Cluster, name: &str) -> u64 {
    let mut sum = 0;
    for pod in gateways(cluster) {
        let address = pod["status"]["podIP"].as_str();
        let address = address.and_then(|ip| ip.parse::<IpAddr>().ok());
        let admin = SocketAddr::new(address.expect("an address"), 9090);
        sum += metric(&get(admin, "/metrics").await.1, name);
    }
    sum
}

async fn until_there_are(cluster: &Cluster, sessions: u64) {
    soon(async {
        while of_gateways(cluster, "game_gateway_sessions").await < sessions {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

/// Asserts that sessions have gone on elsewhere at least so often.
async fn all_moved(cluster: &Cluster, sessions: u64) {
    let moved = of_gateways(cluster, "game_gateway_moves_total{code=\"0\"}").await;
    eprintln!("{moved} moves");
    assert!(moved >= sessions, "{moved}: {}", cluster.report());
}

/// Starts players of matches, who compare at the end what their server knows of them with what they know.
fn play(address: SocketAddr) -> Process {
    let (sessions, size) = (PLAYERS.to_string(), MATCH.to_string());
    let mut load = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    load.args(["loadtest", "--expect-moves", "--json", "--service", SERVICE])
        .args(["--target", &address.to_string(), "--sessions", &sessions])
        .args(["--match-size", &size, "--transport", "tcp,websocket"])
        .args(["--connect-rate", "60/s", "--think", "200ms"])
        .args(["--warmup", "0ms", "--duration", "10m", "--grace", "30s"]);
    Process::spawn(&mut load)
}

/// Ends the load; asserts that nobody has noticed anything.
async fn nobody_noticed(mut load: Process, plain: Players) {
    load.signal("INT");
    let status = load.wait_for_exit();
    let output = load.output();
    let mut lines = output.lines();
    let report = lines.find_map(|line| serde_json::from_str::<Value>(line).ok());
    let report = report.expect("its report");
    eprintln!("{report}");
    assert!(status.success(), "{report:#}");
    for name in [
        "lost",
        "doubled",
        "reordered",
        "corrupted",
        "told",
        "gaps",
        "errors",
        "states_different",
    ] {
        assert_eq!(report[name], 0, "{name}: {report:#}");
    }
    assert_eq!(report["states_same"], PLAYERS, "{report:#}");
    assert_eq!(report["sent"], report["answered"]);
    assert_ne!(report["pushes"], 0);
    let Summary { plain, .. } = plain.stop(&[]).await;
    assert!(
        plain.iter().all(|p| (p.moves, p.told, p.cut) == (0, 0, 0)),
        "{plain:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_moves_every_match() {
    let Some(cluster) = start() else { return };
    deploy(&cluster, "game-server").await;
    install_gateways(&cluster, "game-server").await;
    let address = players_port(&cluster);
    // The others find it as soon as these are there.
    let plain = Players::start(address, 0, PLAIN).await;
    let load = play(address);
    until_there_are(&cluster, PLAYERS + PLAIN).await;
    plain.hear(10 * PLAIN).await;
    roll_out(&cluster, "game-server", 3).await;
    // Everybody was at one of them.
    all_moved(&cluster, PLAYERS + PLAIN).await;
    plain.hear(10 * PLAIN).await;
    nobody_noticed(load, plain).await;
}

/// Asks `backend.py` again and again how many frames it has had of this session, wherever it is.
async fn count(address: SocketAddr, told_to_stop: Arc<AtomicBool>, counted: Arc<AtomicU64>) {
    let client = Client::connect(address, Options::default()).await;
    let (mut client, to) = (client.expect("connected"), Outgoing::to(SERVICE));
    let mut number = 0_u64;
    while !told_to_stop.load(Ordering::Relaxed) {
        client.send(&to, "count").await.expect("sent");
        number += 1;
        match soon(client.next()).await.expect("an event") {
            Event::Data(data) => assert_eq!(data.payload, number.to_string().as_bytes()),
            other => panic!("{other:?}"),
        }
        counted.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_of_the_python_backend_forgets_nothing() {
    let Some(cluster) = start() else { return };
    let file = stage::example("backend.py");
    let configmap = format!("create configmap backend --from-file {}", file.display());
    cluster.must("kubectl", &configmap).await;
    deploy(&cluster, "backend").await;
    install_gateways(&cluster, "backend").await;
    let address = players_port(&cluster);
    // A Service learns a moment late that its pods are ready.
    drop(Players::start(address, 0, 0).await);
    let (stop, counted) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut players = JoinSet::new();
    for _ in 0..MATCH {
        players.spawn(count(address, Arc::clone(&stop), Arc::clone(&counted)));
    }
    until_there_are(&cluster, MATCH).await;
    roll_out(&cluster, "backend", 2).await;
    all_moved(&cluster, MATCH).await;
    let goal = counted.load(Ordering::Relaxed) + 10 * MATCH;
    cluster
        .until("they go on", |_| counted.load(Ordering::Relaxed) >= goal)
        .await;
    stop.store(true, Ordering::Relaxed);
    players.join_all().await;
}
