//! Where gateways run and within what: nodes, memory, a DaemonSet; and the trial's Redis.

use std::process::Command;

use serde_json::{Value, json};
use testkit_process::Process;

use crate::guards::{refused, taken};
use crate::support::redis::{free_port, wait_until};
use crate::tools::{find, object, objects, objects_with, pods};

const NAME: &str = "gg-game-gateway";

/// The scheduler passes over a node that lacks the label of one constraint, for all of them; so none of the
/// defaults may need a label that a node can lack, and zones are a matter of affinity.
#[test]
fn nodes_without_zones_are_spread_over() {
    let objects = objects(&[]);
    let pod = &object(&objects, "Deployment", NAME)["spec"]["template"];
    let constraints = pod["spec"]["topologySpreadConstraints"]
        .as_array()
        .expect("constraints");
    let keys: Vec<_> = constraints.iter().map(|one| &one["topologyKey"]).collect();
    assert_eq!(keys, ["kubernetes.io/hostname"]);
    let place = "/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm";
    let term = pod.pointer(place).expect("a term");
    assert_eq!(term["topologyKey"], "topology.kubernetes.io/zone");
    let selected = term["labelSelector"]["matchLabels"]
        .as_object()
        .expect("labels");
    assert!(!selected.is_empty());
    for (name, value) in selected {
        assert_eq!(pod["metadata"]["labels"][name], *value);
    }
}

const TRIAL: [&str; 3] = [
    "routes.source=redis",
    "redis.enabled=true",
    "echo.enabled=true",
];

/// The trial's Job begins beside its Redis. That each revision has a Job of its own is shown in
/// `tests/cluster/routes.rs`.
#[test]
fn the_trials_job_waits_for_its_redis() {
    let install = objects(&TRIAL);
    let jobs = pods(&install);
    let (_, job) = jobs
        .iter()
        .find(|(name, _)| name.contains("Job"))
        .expect("a Job");
    let arguments = job["spec"]["containers"][0]["args"].to_string();
    assert!(arguments.contains("\"--wait\",\"2m\""), "{arguments}");
}

/// Its container's restart loses nothing: Redis, run as the chart says, has the data again.
#[test]
fn the_trials_redis_remembers_over_a_restart() {
    let objects = objects(&TRIAL);
    let redis =
        &object(&objects, "Deployment", "gg-game-gateway-redis")["spec"]["template"]["spec"];
    assert_eq!(redis["volumes"], json!([{"name": "data", "emptyDir": {}}]));
    let container = &redis["containers"][0];
    let path = container["volumeMounts"][0]["mountPath"]
        .as_str()
        .expect("a path");
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port().to_string();
    let arguments = container["args"].as_array().expect("arguments").iter();
    let arguments: Vec<String> = arguments
        .map(|one| one.as_str().expect("text"))
        .map(|one| match one {
            one if one == path => folder.path().display().to_string(),
            one => one.replace("$(REDIS_PASSWORD)", "sesame"),
        })
        .collect();
    assert!(
        arguments.contains(&folder.path().display().to_string()),
        "{arguments:?}"
    );
    let start = || {
        let mut command = Command::new("redis-server");
        Process::spawn(
            command
                .args(&arguments)
                .args(["--port", &port, "--bind", "127.0.0.1"]),
        )
    };
    let ask = |command: &[&str]| {
        let mut client = Command::new("redis-cli");
        client.args(["-p", &port, "-a", "sesame", "--no-auth-warning"]);
        let said = client.args(command).output().expect("it runs").stdout;
        String::from_utf8_lossy(&said).trim().to_owned()
    };
    let up = || wait_until("Redis answers", || ask(&["PING"]) == "PONG");
    let first = start();
    up();
    assert_eq!(ask(&["SET", "routes", "here"]), "OK");
    first.signal("TERM");
    drop(first);
    let _second = start();
    up();
    assert_eq!(ask(&["GET", "routes"]), "here");
}

/// A Secret that is not there, or lacks the password, stops the pod; going on without one is a decision.
#[test]
fn a_password_that_is_missing_is_not_left_out() {
    let secret = json!({
        "routes": {"source": "redis", "rules": {"game": {"strategy": "realm_based"}}},
        "externalRedis": {"existingSecret": "r", "sentinel": {"enabled": true, "hosts": ["s:26379"]}},
    });
    let objects = objects_with(&secret);
    let text = serde_json::to_string(&objects).expect("JSON");
    assert!(!text.contains("\"optional\""), "{text}");
    let of = |objects: &[Value], name: &str| {
        let all = pods(objects);
        let env = all
            .iter()
            .flat_map(|(_, pod)| pod["spec"]["containers"][0]["env"].as_array());
        env.flatten().filter(|one| one["name"] == name).count()
    };
    for name in [
        "GATEWAY__REDIS__PASSWORD",
        "GATEWAY__REDIS__SENTINEL_PASSWORD",
    ] {
        assert_eq!(of(&objects, name), 2, "{name}: of the gateways and the Job");
    }
    let mut without = secret;
    without["externalRedis"]["existingSecretPasswordKey"] = json!("");
    without["externalRedis"]["sentinel"]["existingSecretPasswordKey"] = json!("");
    let objects = objects_with(&without);
    for name in [
        "GATEWAY__REDIS__PASSWORD",
        "GATEWAY__REDIS__SENTINEL_PASSWORD",
    ] {
        assert_eq!(of(&objects, name), 0, "{name}");
    }
}

fn budget(limit: &Value, config: &Value) -> Option<u64> {
    let objects = objects_with(&json!({
        "resources": {"limits": {"memory": limit}}, "config": {"limits": config},
    }));
    let map = object(&objects, "ConfigMap", NAME);
    let toml = map["data"]["game-gateway.toml"].as_str().expect("text");
    let line = toml
        .lines()
        .find_map(|line| line.strip_prefix("memory = "))?;
    Some(line.parse().expect("a number"))
}

/// A gateway may take what its configuration allows; what does not fit into the limit is not rendered.
#[test]
fn memory_stays_within_its_limit() {
    let none = json!({});
    for (limit, wanted) in [
        (json!("64Mi"), Some(16 << 20)),
        (json!(67_108_864), Some(16 << 20)),
        (json!("0.125Gi"), Some(32 << 20)),
        (json!("100M"), Some(25_000_000)),
        (json!("1e8"), Some(25_000_000)),
        (json!("256Mi"), None),
        (json!("2Gi"), None),
    ] {
        assert_eq!(budget(&limit, &none), wanted, "{limit}");
    }
    let given = json!({"memory": 19_922_944});
    assert_eq!(budget(&json!("64Mi"), &given), Some(19 << 20));
    let limit = "resources.limits.memory=64Mi";
    refused(
        &[limit, "config.limits.memory=20MiB"],
        "the kernel would kill it",
    );
    refused(&["resources.limits.memory=16Mi"], "at least 32Mi");
    refused(
        &["resources.limits.memory=64 MB"],
        "resources.limits.memory: invalid size",
    );
    let variable = "extraEnvVars[0].name=GATEWAY__LIMITS__MEMORY";
    refused(&[limit, variable], "would override");
    taken(&[variable]);
}

#[test]
fn a_daemon_set_has_one_gateway_on_each_node() {
    let on = "kind=DaemonSet";
    let rendered = objects(&[on, "hostNetwork=true"]);
    assert!(find(&rendered, "Deployment", NAME).is_none());
    // Evictions of a DaemonSet's pods are not asked for.
    assert!(find(&rendered, "PodDisruptionBudget", NAME).is_none());
    let set = &object(&rendered, "DaemonSet", NAME)["spec"];
    let rolling =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}});
    assert_eq!(set["updateStrategy"], rolling);
    let pod = &set["template"]["spec"];
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(pod["dnsPolicy"], "ClusterFirstWithHostNet");
    assert!(pod.get("topologySpreadConstraints").is_none());
    let same = objects(&["hostNetwork=true"]);
    let deployment = &object(&same, "Deployment", NAME)["spec"]["template"]["spec"];
    assert_eq!(pod["containers"], deployment["containers"]);
    // Two gateways with the same ports are never on one node.
    let strategy = &object(&same, "Deployment", NAME)["spec"]["strategy"];
    assert_eq!(*strategy, rolling);
    let surging = objects(&[on]);
    let strategy = &object(&surging, "DaemonSet", NAME)["spec"]["updateStrategy"]["rollingUpdate"];
    assert_eq!(*strategy, json!({"maxSurge": "100%", "maxUnavailable": 0}));

    refused(&[on, "replicaCount=3"], "one gateway on each node");
    refused(
        &[on, "autoscaling.enabled=true"],
        "one gateway on each node",
    );
    refused(
        &[on, "scaleDown.podDeletionCost.enabled=true"],
        "never scaled down",
    );
    refused(
        &[on, "updateStrategy.type=Recreate"],
        "is for kind=Deployment",
    );
    refused(&["updateStrategy.type=OnDelete"], "is for kind=DaemonSet");
    let surge = "updateStrategy.rollingUpdate.maxSurge=1";
    refused(&[on, "hostNetwork=true", surge], "no maxSurge");
    let both = "updateStrategy.rollingUpdate.maxUnavailable=1";
    refused(&[on, surge, both], "maxSurge or maxUnavailable");
}
