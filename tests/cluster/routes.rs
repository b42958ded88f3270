//! Routes that the chart brings: through Redis by a hook Job, and in a file that pods watch.

use serde_json::json;
use testkit_cluster::Cluster;

use crate::play::{Players, Server};
use crate::rolling::{names, values};
use crate::stage::{self, RELEASE, players_port};
use crate::support::redis::{RedisServer, free_port};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_writes_them_to_redis_and_stops_an_upgrade_where_it_cannot() {
    let (server, cluster) = (Server::start().await, stage::start());
    let redis = RedisServer::start();
    let mut values = values(&server, 1);
    values["routes"]["source"] = json!("redis");
    values["routes"]["job"] = json!({ "backoffLimit": 0 });
    values["externalRedis"] = json!({ "host": "127.0.0.1", "port": redis.port });
    let file = cluster.file("values.json", &values);
    let file = file.display();
    let install = format!("install {RELEASE} game-gateway --values {file} --wait --timeout 60s");
    cluster.must("helm4", &install).await;
    let pods = names(&cluster);
    let players = Players::start(players_port(&cluster), 2, 0).await;
    players.hear(10).await;

    let elsewhere = format!("externalRedis.port={}", free_port());
    for mistake in [elsewhere.as_str(), "routes.rules.game.endpoints={nowhere}"] {
        let upgrade = format!("upgrade {RELEASE} game-gateway --values {file} --set {mistake}");
        let said = cluster.run("helm4", &upgrade).await;
        assert!(!said.success, "{upgrade}: {}", said.text);
        assert_eq!(names(&cluster), pods, "no pod was touched");
    }
    players.hear(10).await;
    let summary = players.stop(std::slice::from_ref(&server)).await;
    assert!(summary.moves.keys().eq([&0]), "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_in_force_without_a_new_pod() {
    let (first, second) = (Server::start().await, Server::start().await);
    let cluster = stage::start();
    let file = cluster.file("values.json", &values(&first, 1));
    let install = format!(
        "install {RELEASE} game-gateway --values {} --wait",
        file.display()
    );
    cluster.must("helm4", &install).await;
    let pods = names(&cluster);
    let file = cluster.file("values.json", &values(&second, 1));
    let upgrade = format!(
        "upgrade {RELEASE} game-gateway --values {} --wait",
        file.display()
    );
    cluster.must("helm4", &upgrade).await;
    let in_force = |cluster: &Cluster| {
        let log = cluster.journal.log_of(&pods[0]);
        log.matches("routes in force").count()
    };
    cluster
        .until("the new routes are in force", |cluster| {
            in_force(cluster) == 2
        })
        .await;
    assert_eq!(names(&cluster), pods);
    // New sessions use the second server; there they are added up.
    let players = Players::start(players_port(&cluster), 2, 0).await;
    players.hear(10).await;
    assert_eq!(
        players.stop(std::slice::from_ref(&second)).await.sessions,
        2
    );
}
