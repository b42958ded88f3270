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
    values["routes"]["job"] = json!({ "backoffLimit": 0, "wait": "0" });
    values["externalRedis"] = json!({ "host": "127.0.0.1", "port": redis.port });
    let file = cluster.file("values.json", &values);
    let file = file.display();
    let install = format!("install {RELEASE} game-gateway --values {file} --wait --timeout 60s");
    cluster.must("helm4", &install).await;
    let pods = names(&cluster);
    let players = Players::start(players_port(&cluster), 2, 0).await;
    players.hear(10).await;

    let elsewhere = format!("externalRedis.port={}", free_port());
    let refused = "routes.rules.game.endpoints={nowhere}";
    for (helm, mistake) in [
        ("helm4", elsewhere.as_str()),
        ("helm4", refused),
        ("helm3", &elsewhere),
    ] {
        let upgrade = format!("upgrade {RELEASE} game-gateway --values {file} --set {mistake}");
        let said = cluster.run(helm, &upgrade).await;
        assert!(!said.success, "{upgrade}: {}", said.text);
        assert_eq!(names(&cluster), pods, "no pod was touched");
        // Helm 4 prints what the Job has said.
        let shown = said.text.contains("game-gateway routes: redis: ");
        let expected = helm == "helm4" && mistake != refused;
        assert_eq!(shown, expected, "{helm}: {}", said.text);
        // The Job is there to be looked at; what it used, passwords among it, is not. Helm 3 deletes that
        // before the next hook.
        let left = of_the_hook(&cluster);
        assert!(left.contains(&"jobs"), "{helm} {upgrade}: {left:?}");
        assert!(helm == "helm3" || left == ["jobs"], "{upgrade}: {left:?}");
    }
    let upgrade = format!("upgrade {RELEASE} game-gateway --values {file} --wait --timeout 60s");
    cluster.must("helm3", &upgrade).await;
    assert!(
        of_the_hook(&cluster).is_empty(),
        "{:?}",
        of_the_hook(&cluster)
    );
    assert_eq!(names(&cluster), pods, "no pod was touched");
    players.hear(10).await;
    let summary = players.stop(std::slice::from_ref(&server)).await;
    assert!(summary.moves.keys().eq([&0]), "{summary:?}");
}

/// Returns the kinds of what there is of the hook, without the pods of its Job.
fn of_the_hook(cluster: &Cluster) -> Vec<&'static str> {
    let all = cluster.store.all().into_iter().map(|(key, _)| key);
    let hooks = all.filter(|key| key.name == "game-game-gateway-routes-job");
    hooks.map(|key| key.plural).collect()
}

/// Helm leaves a Job alone that is as it was, but the trial's Redis may have forgotten what it wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_revision_of_a_trial_writes_its_routes() {
    let cluster = stage::start();
    let trial = "--set routes.source=redis,redis.enabled=true,echo.enabled=true";
    let jobs = || -> Vec<String> {
        let (jobs, _) = cluster.store.list("jobs", None);
        let name =
            |job: &serde_json::Value| job["metadata"]["name"].as_str().unwrap_or("").to_owned();
        jobs.iter().map(|job| name(job)).collect()
    };
    let mut seen = Vec::new();
    let install = format!("install {RELEASE} game-gateway {trial}");
    let upgrade = format!("upgrade {RELEASE} game-gateway --reuse-values");
    for (helm, command) in [
        ("helm4", &install),
        ("helm4", &upgrade),
        ("helm4", &upgrade),
    ] {
        cluster.must(helm, command).await;
        let now = jobs();
        assert_eq!(now.len(), 1, "{now:?}");
        assert!(!seen.contains(&now[0]), "{now:?} was there before");
        seen.extend(now);
    }
    // What the templates make of the values stays theirs.
    let said = cluster.run("helm4", &format!("get values {RELEASE}")).await;
    assert!(said.text.contains("redis"), "{}", said.text);
    assert!(!said.text.contains("prepared"), "{}", said.text);
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
