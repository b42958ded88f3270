//! The life of a release: installed, tested, upgraded and rolled back under load, scaled down,
//! uninstalled; and what players notice of it.

use serde_json::{Value, json};
use testkit_cluster::{Cluster, Key, is_true};

use crate::play::{Faults, Players, Server, Summary};
use crate::stage::{self, GATEWAY, RELEASE, gateways, players_port};

const REPLICAS: u64 = 3;

/// Values for a release whose drains are short, with one service.
pub(crate) fn values(server: &Server, replicas: u64) -> Value {
    json!({
        "replicaCount": replicas,
        "config": {
            "gateway": { "workers": 1 },
            "drain": { "window": "6s", "accept_grace": "1s" },
            "log": { "format": "text" },
        },
        "drain": { "preStopSleepSeconds": 2, "marginSeconds": 30 },
        "readinessProbe": { "periodSeconds": 1 },
        "echo": { "enabled": true },
        "routes": { "rules": { "game": {
            "strategy": "round_robin", "endpoints": [server.address().to_string()],
        } } },
    })
}

/// Returns the names of the gateways' pods.
pub(crate) fn names(cluster: &Cluster) -> Vec<String> {
    let pods = gateways(cluster);
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or("").to_owned();
    pods.iter().map(|pod| name(pod)).collect()
}

/// Waits until these pods are gone, the last of their processes included.
async fn gone(cluster: &Cluster, old: &[String]) {
    cluster
        .until(&format!("{old:?} are gone"), |cluster| {
            let ends = cluster.journal.ends();
            old.iter()
                .all(|name| ends.iter().any(|end| end.pod == *name))
        })
        .await;
}

/// Asserts that every gateway that was told to end did so in time, by itself and without an error.
fn ended_well(cluster: &Cluster) {
    for end in cluster
        .journal
        .ends()
        .iter()
        .filter(|end| !end.pod.contains("-echo-"))
    {
        assert!(
            end.code == Some(0) && !end.killed,
            "{end:?}\n{}",
            cluster.report()
        );
    }
}

/// Asserts that since this version there were never fewer available gateways than asked for.
pub(crate) fn never_fewer(cluster: &Cluster, since: usize, least: u64) {
    let changes = cluster.store.changes_after(since);
    let mut looked = 0;
    for change in &changes {
        if change.key.plural == "deployments" && change.key.name == GATEWAY {
            let available = change.object["status"]["availableReplicas"].as_u64();
            assert!(
                available.is_some_and(|n| n >= least),
                "{}",
                change.object["status"]
            );
            looked += 1;
        }
    }
    assert!(looked > 0, "nothing has changed");
}

/// Returns the secrets that the chart has generated; once generated, they must stay.
pub(crate) fn secrets(cluster: &Cluster) -> Value {
    let key = Key {
        plural: "secrets",
        namespace: "default".to_owned(),
        name: GATEWAY.to_owned(),
    };
    let secret = cluster.store.get(&key).expect("the chart's Secret");
    assert!(secret["data"]["token-keys"].is_string(), "{secret}");
    secret["data"].clone()
}

pub(crate) fn version(cluster: &Cluster) -> usize {
    *cluster.store.versions().borrow()
}

/// Asserts that nothing is missing, duplicated or late, and that no player was told of a gap or an error.
pub(crate) fn exact(summary: &Summary, sessions: usize, cluster: &Cluster) {
    honest(summary, sessions, cluster);
    let told = (summary.gaps, summary.told, summary.errors);
    assert_eq!(told, (0, 0, 0), "{}", cluster.report());
}

/// Asserts the same, except that players may have been told of gaps.
fn honest(summary: &Summary, sessions: usize, cluster: &Cluster) {
    eprintln!(
        "{} sessions; moves of each, and how many: {:?}; told of gaps {} times, {} frames; \
         moves of players that cannot resume: {:?}",
        summary.sessions, summary.moves, summary.gaps, summary.told, summary.plain
    );
    assert_eq!(summary.sessions, sessions);
    assert_eq!(summary.faults, Faults::default(), "{}", cluster.report());
}

/// Uninstalls, and asserts that nothing of the release is left.
async fn uninstall(cluster: &Cluster, helm: &str) {
    let players = players_port(cluster);
    cluster
        .must(helm, &format!("uninstall {RELEASE} --wait --timeout 60s"))
        .await;
    let left = |cluster: &Cluster| -> Vec<Key> {
        let all = cluster.store.all().into_iter().map(|(key, _)| key);
        all.filter(|key| key.plural != "namespaces").collect()
    };
    cluster
        .until("nothing is left", |cluster| left(cluster).is_empty())
        .await;
    cluster
        .until("the Service's address is closed", |_| {
            std::net::TcpStream::connect(players).is_err()
        })
        .await;
    ended_well(cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_lives_and_its_players_play_on() {
    let (server, cluster) = (Server::start().await, stage::start());
    let file = cluster.file("values.json", &values(&server, REPLICAS));
    let file = file.display();
    let install = format!("install {RELEASE} game-gateway --values {file} --wait --timeout 60s");
    cluster.must("helm4", &install).await;
    let first = names(&cluster);
    assert_eq!(first.len() as u64, REPLICAS);
    assert!(gateways(&cluster).iter().all(|pod| is_true(pod, "Ready")));
    let tested = cluster
        .run("helm4", &format!("test {RELEASE} --logs --timeout 30s"))
        .await;
    assert!(tested.success, "{}", tested.text);
    assert!(tested.text.contains("POD LOGS"), "{}", tested.text);

    let players = Players::start(players_port(&cluster), 100, 20).await;
    players.hear(1000).await;
    let (installed, made) = (version(&cluster), secrets(&cluster));
    let changed = "--reuse-values --set config.session.idle_timeout=4m --wait --timeout 60s";
    cluster
        .must(
            "helm4",
            &format!("upgrade {RELEASE} game-gateway {changed}"),
        )
        .await;
    cluster
        .must(
            "kubectl",
            &format!("rollout status deployment/{GATEWAY} --timeout 30s"),
        )
        .await;
    gone(&cluster, &first).await;
    let second = names(&cluster);
    assert!(
        second.iter().all(|name| !first.contains(name)),
        "{second:?}"
    );
    players.hear(1000).await;

    cluster
        .must(
            "helm4",
            &format!("rollback {RELEASE} 1 --wait --timeout 60s"),
        )
        .await;
    gone(&cluster, &second).await;
    players.hear(1000).await;
    never_fewer(&cluster, installed, REPLICAS);
    assert_eq!(secrets(&cluster), made);

    let third = names(&cluster);
    for (pod, cost) in third.iter().zip(["7", "3", "9"]) {
        let cost = format!("controller.kubernetes.io/pod-deletion-cost={cost}");
        cluster
            .must("kubectl", &format!("annotate pod {pod} {cost}"))
            .await;
    }
    let scale = format!("scale deployment/{GATEWAY} --replicas {}", REPLICAS - 1);
    cluster.must("kubectl", &scale).await;
    gone(&cluster, &third[1..2]).await;
    assert_eq!(names(&cluster), [third[0].clone(), third[2].clone()]);
    players.hear(1000).await;

    let summary = players.stop(std::slice::from_ref(&server)).await;
    exact(&summary, 100, &cluster);
    // Two rollouts take every gateway away, each with everyone on it.
    assert!(
        summary.moves.keys().all(|moves| *moves >= 2),
        "{:?}",
        summary.moves
    );
    uninstall(&cluster, "helm4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_3_can_do_the_same() {
    let (server, cluster) = (Server::start().await, stage::start());
    let file = cluster.file("values.json", &values(&server, 2));
    let file = file.display();
    let install = format!("install {RELEASE} game-gateway --values {file} --wait --timeout 60s");
    cluster.must("helm3", &install).await;
    let first = names(&cluster);
    cluster
        .must("helm3", &format!("test {RELEASE} --timeout 30s"))
        .await;
    let players = Players::start(players_port(&cluster), 20, 4).await;
    players.hear(200).await;
    let (installed, made) = (version(&cluster), secrets(&cluster));
    let changed = "--reuse-values --set config.session.idle_timeout=4m --wait --timeout 60s";
    cluster
        .must(
            "helm3",
            &format!("upgrade {RELEASE} game-gateway {changed}"),
        )
        .await;
    gone(&cluster, &first).await;
    never_fewer(&cluster, installed, 2);
    assert_eq!(secrets(&cluster), made);
    players.hear(200).await;
    exact(
        &players.stop(std::slice::from_ref(&server)).await,
        20,
        &cluster,
    );
    uninstall(&cluster, "helm3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_peer_channel_players_are_told_of_a_gap() {
    let (server, cluster) = (Server::start().await, stage::start());
    let mut values = values(&server, 2);
    values["peer"] = json!({ "enabled": false });
    let file = cluster.file("values.json", &values);
    let file = file.display();
    let install = format!("install {RELEASE} game-gateway --values {file} --wait --timeout 60s");
    cluster.must("helm4", &install).await;
    let first = names(&cluster);
    let players = Players::start(players_port(&cluster), 20, 0).await;
    players.hear(200).await;
    let changed = "--reuse-values --set config.session.idle_timeout=4m --wait --timeout 60s";
    cluster
        .must(
            "helm4",
            &format!("upgrade {RELEASE} game-gateway {changed}"),
        )
        .await;
    gone(&cluster, &first).await;
    players.hear(200).await;
    let summary = players.stop(std::slice::from_ref(&server)).await;
    honest(&summary, 20, &cluster);
    let moves: u64 = summary
        .moves
        .iter()
        .map(|(moves, of)| moves * *of as u64)
        .sum();
    assert_eq!(summary.gaps, moves, "each move is one");
    ended_well(&cluster);
}
