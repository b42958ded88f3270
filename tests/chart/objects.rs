//! Properties of single objects: selectors, permissions, omissions.

use std::fs;

use serde_json::{Value, json};

use crate::guards::refused;
use crate::renderings::validated;
use crate::tools::{HELM, find, object, objects, parse, rendered, set_up, set_ups};

const NAME: &str = "gg-game-gateway";

fn pod(objects: &[Value]) -> &Value {
    &object(objects, "Deployment", NAME)["spec"]["template"]["spec"]
}

/// Returns true if a selector's labels are all among a pod's.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().expect("labels");
    selector.iter().all(|(name, value)| labels[name] == *value)
}

/// Redis, the echo backend, the Job and the test are no gateways: nothing that selects gateways
/// selects them, in any set-up.
#[test]
fn only_gateways_are_selected_as_gateways() {
    for (name, file) in set_ups() {
        let objects = parse(&set_up(HELM, &file));
        let service = object(&objects, "Service", NAME);
        let selector = &service["spec"]["selector"];
        let mut gateways = 0;
        for one in &objects {
            let labels = match one["kind"].as_str() {
                Some("Pod") => &one["metadata"]["labels"],
                Some("Deployment" | "DaemonSet" | "Job") => {
                    &one["spec"]["template"]["metadata"]["labels"]
                }
                _ => continue,
            };
            if selects(selector, labels) {
                assert_eq!(one["metadata"]["name"], NAME, "{name}: {one}");
                gateways += 1;
            }
        }
        assert_eq!(gateways, 1, "{name}");
    }
}

/// Selectors can never be changed, so nothing that changes may be in them.
#[test]
fn selectors_have_name_and_instance_only() {
    let objects = objects(&["commonLabels.team=platform", "podLabels.tier=edge"]);
    let deployment = object(&objects, "Deployment", NAME);
    let wanted = json!({
        "app.kubernetes.io/name": "game-gateway",
        "app.kubernetes.io/instance": "gg",
    });
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], wanted);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["team"], "platform");
    assert_eq!(labels["tier"], "edge");
}

/// Names fit Kubernetes' 63 characters, whatever release and overrides are called.
#[test]
fn names_are_as_long_as_they_may_be() {
    let long = "n".repeat(60);
    let trial = [
        "routes.source=redis",
        "redis.enabled=true",
        "echo.enabled=true",
    ];
    for name in ["nameOverride", "fullnameOverride"] {
        let own = format!("{name}={long}");
        for one in objects(&[&trial[..], &[&own]].concat()) {
            let name = one["metadata"]["name"].as_str().expect("a name");
            assert!(name.len() <= 63, "{name}");
            for label in one["metadata"]["labels"]
                .as_object()
                .expect("labels")
                .values()
            {
                assert!(
                    label.as_str().is_some_and(|text| text.len() <= 63),
                    "{label}"
                );
            }
        }
    }
}

/// Labels that users add cannot take a gateway out of its Service.
#[test]
fn labels_of_users_do_not_replace_the_charts() {
    let objects = objects(&[
        "commonLabels.app\\.kubernetes\\.io/name=mine",
        "podLabels.app\\.kubernetes\\.io/instance=mine",
    ]);
    let deployment = object(&objects, "Deployment", NAME);
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert!(selects(selector, labels), "{labels}");
}

#[test]
fn under_an_autoscaler_there_are_no_replicas() {
    let plain = objects(&[]);
    assert_eq!(object(&plain, "Deployment", NAME)["spec"]["replicas"], 2);
    let scaled = objects(&["autoscaling.enabled=true", "autoscaling.targetSessions=100"]);
    let deployment = object(&scaled, "Deployment", NAME);
    assert!(deployment["spec"].get("replicas").is_none());
    let scaler = object(&scaled, "HorizontalPodAutoscaler", NAME);
    let metrics = scaler["spec"]["metrics"].as_array().expect("metrics");
    assert_eq!(metrics.len(), 2);
    assert_eq!(
        metrics[1]["pods"]["metric"]["name"],
        "game_gateway_sessions"
    );
}

#[test]
fn keda_scales_in_place_of_the_autoscaler() {
    let set = [
        "autoscaling.enabled=true,autoscaling.keda.enabled=true,autoscaling.targetSessions=100",
        "autoscaling.keda.prometheusAddress=http://prometheus:9090",
        "autoscaling.keda.authenticationRef=prometheus",
    ];
    let scaled = objects(&set);
    let deployment = object(&scaled, "Deployment", NAME);
    assert!(deployment["spec"].get("replicas").is_none());
    assert!(
        !scaled
            .iter()
            .any(|one| one["kind"] == "HorizontalPodAutoscaler")
    );
    let scaler = object(&scaled, "ScaledObject", NAME);
    let triggers = scaler["spec"]["triggers"].as_array().expect("triggers");
    let kinds: Vec<_> = triggers.iter().map(|one| &one["type"]).collect();
    assert_eq!(kinds, ["cpu", "prometheus"]);
    let query =
        "sum(game_gateway_sessions{namespace=\"games\", service=\"gg-game-gateway-admin\"})";
    assert_eq!(triggers[1]["metadata"]["query"], query);
    assert_eq!(triggers[1]["metadata"]["threshold"], "100");
    valid(&set);
    let keda = "autoscaling.enabled=true,autoscaling.keda.enabled=true";
    refused(
        &[keda, "autoscaling.targetSessions=1"],
        "autoscaling.keda.prometheusAddress",
    );
    refused(
        &["autoscaling.keda.enabled=true"],
        "autoscaling.keda.enabled needs autoscaling.enabled",
    );
}

#[test]
fn a_gateway_of_the_cluster_may_bring_the_players() {
    let set = [
        "tcpRoute.enabled=true,tcpRoute.parentRefs[0].name=public,tcpRoute.parentRefs[0].sectionName=game",
    ];
    let objects = objects(&set);
    let route = object(&objects, "TCPRoute", NAME);
    let to = &route["spec"]["rules"][0]["backendRefs"][0];
    let service = object(&objects, "Service", to["name"].as_str().expect("a name"));
    assert_eq!(to["port"], service["spec"]["ports"][0]["port"]);
    assert_eq!(route["spec"]["parentRefs"][0]["sectionName"], "game");
    valid(&set);
    refused(&["tcpRoute.enabled=true"], "tcpRoute.parentRefs");
}

/// Asserts that Kubernetes knows every object, and takes it.
fn valid(set: &[&str]) {
    let arguments: Vec<&str> = set.iter().flat_map(|one| ["--set", *one]).collect();
    let rendering = rendered(HELM, &arguments);
    let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("a file");
    fs::write(file.path(), &rendering).expect("written");
    assert_eq!(validated("1.30", file.path()), parse(&rendering).len());
}

/// The sleep before SIGTERM, the window after it, and the margin.
#[test]
fn the_grace_period_follows_from_the_drain_window() {
    for (window, grace) in [("30s", 40), ("2m", 130), ("1h", 3610), ("1500ms", 12)] {
        let objects = objects(&[&format!("config.drain.window={window}")]);
        assert_eq!(pod(&objects)["terminationGracePeriodSeconds"], grace);
    }
    let slept = objects(&["drain.preStopSleepSeconds=20"]);
    let pod_of = pod(&slept);
    assert_eq!(pod_of["terminationGracePeriodSeconds"], 60);
    let container = &pod_of["containers"][0];
    assert_eq!(container["lifecycle"]["preStop"]["sleep"]["seconds"], 20);
    // The grace for balancers is a part of the drain, so that SIGTERM comes at once.
    assert!(
        pod(&objects(&[]))["containers"][0]
            .get("lifecycle")
            .is_none()
    );
}

/// All new pods are there before an old one drains.
#[test]
fn upgrades_surge_by_default() {
    let objects = objects(&[]);
    let strategy = &object(&objects, "Deployment", NAME)["spec"]["strategy"]["rollingUpdate"];
    assert_eq!(*strategy, json!({"maxSurge": "100%", "maxUnavailable": 0}));
}

/// Routes are watched, so they restart nobody; neither does another version of the chart.
#[test]
fn only_what_needs_a_restart_restarts() {
    let template = |set: &[&str]| {
        let objects = objects(set);
        object(&objects, "Deployment", NAME)["spec"]["template"].clone()
    };
    let before = template(&[]);
    assert!(before["metadata"]["labels"].get("helm.sh/chart").is_none());
    let routed = template(&[
        "routes.rules.game.strategy=realm_based",
        "routes.realms.1=game:1",
    ]);
    assert_eq!(before, routed);
    assert_ne!(before, template(&["config.drain.window=31s"]));
    assert_ne!(before, template(&["admin.token=another"]));
}

#[test]
fn nobody_has_a_token_that_needs_none() {
    let plain = objects(&[]);
    let account = object(&plain, "ServiceAccount", NAME);
    assert_eq!(account["automountServiceAccountToken"], false);
    assert_eq!(pod(&plain)["automountServiceAccountToken"], false);
    assert!(find(&plain, "Role", NAME).is_none());
    assert!(find(&plain, "RoleBinding", NAME).is_none());
}

#[test]
fn the_deletion_cost_brings_its_rights_and_its_key() {
    let objects = objects(&["scaleDown.podDeletionCost.enabled=true"]);
    assert_eq!(pod(&objects)["automountServiceAccountToken"], true);
    let rules = &object(&objects, "Role", NAME)["rules"];
    let wanted = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "patch"]}]);
    assert_eq!(*rules, wanted);
    let binding = object(&objects, "RoleBinding", NAME);
    assert_eq!(binding["subjects"][0]["name"], NAME);
    let map = object(&objects, "ConfigMap", NAME);
    let toml = map["data"]["game-gateway.toml"].as_str().expect("text");
    assert!(
        toml.contains("[kubernetes]\npod_deletion_cost = true"),
        "{toml}"
    );
}

/// The peer port is for gateways of this release alone; players come from everywhere.
#[test]
fn the_network_policy_keeps_the_peer_port() {
    let objects = objects(&[]);
    let policy = object(&objects, "NetworkPolicy", NAME);
    let ingress = policy["spec"]["ingress"].as_array().expect("rules");
    let rule = |port: u16| {
        let mut rules = ingress.iter().filter(|one| one["ports"][0]["port"] == port);
        let rule = rules.next().expect("a rule");
        assert!(rules.next().is_none(), "two rules for {port}");
        rule
    };
    let peers = json!([{"podSelector": policy["spec"]["podSelector"]}]);
    assert_eq!(rule(7001)["from"], peers);
    assert!(rule(7000).get("from").is_none());
    assert_eq!(rule(9090)["from"], json!([{"podSelector": {}}]));
}

#[test]
fn without_peers_there_is_no_peer_port() {
    let objects = objects(&["peer.enabled=false"]);
    assert!(find(&objects, "Service", "gg-game-gateway-peers").is_none());
    let all = serde_json::to_string(&objects).expect("JSON");
    assert!(!all.contains("7001"), "{all}");
}

/// A gateway that drains still hands over, and is still looked at.
#[test]
fn peers_and_admins_reach_gateways_that_are_not_ready() {
    let objects = objects(&[]);
    for name in ["gg-game-gateway-peers", "gg-game-gateway-admin"] {
        let service = object(&objects, "Service", name);
        assert_eq!(service["spec"]["publishNotReadyAddresses"], true, "{name}");
    }
    let players = object(&objects, "Service", NAME);
    assert!(players["spec"].get("publishNotReadyAddresses").is_none());
}

/// Given Secrets take the place of all of the chart's.
#[test]
fn existing_secrets_leave_none_to_make() {
    let objects = objects(&[
        "admin.existingSecret=a",
        "tokenKeys.existingSecret=t",
        "backendAuth.existingSecret=b",
        "routes.source=redis",
        "externalRedis.host=redis",
        "externalRedis.existingSecret=r",
        "tls.enabled=true",
        "tls.existingSecret=c",
    ]);
    assert!(objects.iter().all(|one| one["kind"] != "Secret"));
    let environment = pod(&objects)["containers"][0]["env"].to_string();
    for name in ["\"a\"", "\"b\"", "\"r\""] {
        assert!(environment.contains(&format!("\"name\":{name}")), "{name}");
    }
}

/// Your Redis gets the routes before a pod is touched; the trial Redis is part of the release, so
/// a hook would wait for it for ever.
#[test]
fn routes_are_written_by_a_hook_where_redis_is_there_before() {
    let hook = |objects: &[Value]| {
        let mut jobs = objects.iter().filter(|one| one["kind"] == "Job");
        let job = jobs.next().expect("a Job").clone();
        job["metadata"]["annotations"]["helm.sh/hook"].clone()
    };
    let rule = "routes.rules.game.strategy=realm_based";
    let yours = ["routes.source=redis", "externalRedis.host=redis", rule];
    assert_eq!(
        hook(&objects(&yours)),
        "pre-install,pre-upgrade,pre-rollback"
    );
    let trial = ["routes.source=redis", "redis.enabled=true", rule];
    assert!(hook(&objects(&trial)).is_null());
    let unwritten = ["routes.source=redis", "externalRedis.host=redis"];
    assert!(objects(&unwritten).iter().all(|one| one["kind"] != "Job"));
}

/// Pods pass the strictest of Kubernetes' standards.
#[test]
fn pods_are_restricted() {
    for (name, file) in set_ups() {
        for one in parse(&set_up(HELM, &file)) {
            let pod = match one["kind"].as_str() {
                Some("Pod") => &one["spec"],
                Some("Deployment" | "DaemonSet" | "Job") => &one["spec"]["template"]["spec"],
                _ => continue,
            };
            assert_eq!(
                pod["securityContext"]["runAsNonRoot"], true,
                "{name}: {one}"
            );
            let seccomp = &pod["securityContext"]["seccompProfile"]["type"];
            assert_eq!(*seccomp, "RuntimeDefault", "{name}: {one}");
            for container in pod["containers"].as_array().expect("containers") {
                let rights = &container["securityContext"];
                assert_eq!(rights["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(rights["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(rights["capabilities"]["drop"], json!(["ALL"]), "{name}");
            }
        }
    }
}
