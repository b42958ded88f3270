//! What all pods get, those that are no gateways as well: the Job that writes routes, the test, the echo
//! backend, the trial Redis.

use serde_json::{Value, json};

use crate::guards::refused;
use crate::tools::{every_part, find, object, objects, objects_with, pods};

fn trial() -> Value {
    json!({
        "echo": {"enabled": true}, "redis": {"enabled": true}, "routes": {"source": "redis"},
    })
}

/// Adds values to others; both are maps.
fn with(base: Value, more: &Value) -> Value {
    let (Value::Object(mut all), Some(more)) = (base, more.as_object()) else {
        panic!("no maps");
    };
    for (key, value) in more {
        let entry = all.remove(key).filter(Value::is_object);
        let value = entry.map_or(value.clone(), |old| with(old, value));
        all.insert(key.clone(), value);
    }
    Value::Object(all)
}

#[test]
fn every_pod_gets_what_a_gateway_gets() {
    let node = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["{{ .Release.Name }}"]}]},
    ]}});
    let common = json!({
        "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["redis"]}],
        "dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.53"]},
        "extraEnvVars": [{"name": "REGION", "value": "eu"}],
        "extraEnvVarsCM": "more", "extraEnvVarsSecret": "secrets",
        "podLabels": {"cost": "games"}, "podAnnotations": {"mesh": "on"},
        "affinity": {"nodeAffinity": node},
        "nodeSelector": {"pool": "edge"}, "tolerations": [{"key": "edge", "operator": "Exists"}],
        "priorityClassName": "players",
        "serviceAccount": {"create": false, "name": "ours"},
    });
    for base in [every_part(), trial()] {
        let objects = objects_with(&with(base, &common));
        let all = pods(&objects);
        assert!(all.len() >= 4, "{all:?}");
        for (name, pod) in all {
            let spec = &pod["spec"];
            for field in [
                "hostAliases",
                "dnsConfig",
                "dnsPolicy",
                "nodeSelector",
                "tolerations",
                "priorityClassName",
            ] {
                assert_eq!(spec[field], common[field], "{name}: {field}");
            }
            assert_eq!(spec["serviceAccountName"], "ours", "{name}");
            assert_eq!(pod["metadata"]["labels"]["cost"], "games", "{name}");
            assert_eq!(pod["metadata"]["annotations"]["mesh"], "on", "{name}");
            let place = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                         /nodeSelectorTerms/0/matchExpressions/0/values/0";
            assert_eq!(spec.pointer(place), Some(&json!("gg")), "{name}");
            let container = &spec["containers"][0];
            let env = container["env"].as_array().expect("variables");
            assert!(
                env.iter()
                    .any(|one| one["name"] == "REGION" && one["value"] == "eu"),
                "{name}"
            );
            let from =
                json!([{"configMapRef": {"name": "more"}}, {"secretRef": {"name": "secrets"}}]);
            assert_eq!(container["envFrom"], from, "{name}");
            assert_eq!(
                container["terminationMessagePolicy"], "FallbackToLogsOnError",
                "{name}"
            );
        }
    }
}

/// Gateways that keep away from each other leave a node to the others.
#[test]
fn rules_about_gateways_are_for_gateways() {
    let apart = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}},
    ]}});
    let values = with(every_part(), &json!({"affinity": apart}));
    for (name, pod) in pods(&objects_with(&values)) {
        let is_gateway = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway";
        assert_eq!(pod["spec"].get("affinity").is_some(), is_gateway, "{name}");
    }
}

fn job(objects: &[Value]) -> &Value {
    let mut jobs = objects.iter().filter(|one| one["kind"] == "Job");
    jobs.next().expect("a Job")
}

#[test]
fn the_job_has_values_of_its_own() {
    let own = json!({
        "labels": {"kind": "hook"}, "annotations": {"argocd.argoproj.io/hook": "PreSync"},
        "podLabels": {"sidecar.istio.io/inject": "false"}, "podAnnotations": {"mesh": "off"},
        "serviceAccountName": "writer", "priorityClassName": "low",
        "nodeSelector": {"pool": "any"}, "tolerations": [{"operator": "Exists"}],
        "affinity": {"podAffinity": {}}, "hostAliases": [{"ip": "192.0.2.8", "hostnames": ["b"]}],
        "dnsPolicy": "Default", "dnsConfig": {"options": [{"name": "ndots"}]},
        "extraEnvVars": [{"name": "REGION", "value": "us"}],
        "extraEnvVarsCM": "own-map", "extraEnvVarsSecret": "own-secret",
        "extraVolumes": [{"name": "scratch", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        "ttlSecondsAfterFinished": 60, "wait": "5s",
    });
    let values = with(
        every_part(),
        &json!({
            "podLabels": {"sidecar.istio.io/inject": "true"}, "podAnnotations": {"mesh": "on"},
            "extraEnvVars": [{"name": "REGION", "value": "eu"}], "extraEnvVarsCM": "map",
            "extraEnvVarsSecret": "secret", "nodeSelector": {"pool": "edge"},
            "routes": {"job": own},
        }),
    );
    let objects = objects_with(&values);
    let job = job(&objects);
    assert_eq!(job["metadata"]["labels"]["kind"], "hook");
    assert_eq!(
        job["metadata"]["annotations"]["argocd.argoproj.io/hook"],
        "PreSync"
    );
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 60);
    let pod = &job["spec"]["template"];
    assert_eq!(
        pod["metadata"]["labels"]["sidecar.istio.io/inject"],
        "false"
    );
    assert_eq!(pod["metadata"]["annotations"]["mesh"], "off");
    for field in [
        "serviceAccountName",
        "priorityClassName",
        "nodeSelector",
        "tolerations",
        "affinity",
        "hostAliases",
        "dnsPolicy",
        "dnsConfig",
    ] {
        assert_eq!(pod["spec"][field], own[field], "{field}");
    }
    let container = &pod["spec"]["containers"][0];
    let env = container["env"].as_array().expect("variables").iter();
    let regions: Vec<_> = env.filter(|one| one["name"] == "REGION").collect();
    assert_eq!(regions, [&json!({"name": "REGION", "value": "us"})]);
    assert_eq!(container["envFrom"][0]["configMapRef"]["name"], "own-map");
    assert_eq!(container["envFrom"][1]["secretRef"]["name"], "own-secret");
    let arguments = container["args"].as_array().expect("arguments");
    assert!(
        arguments
            .windows(2)
            .any(|pair| pair == [json!("--wait"), json!("5s")])
    );
    let text = pod["spec"].to_string();
    assert_eq!(text.matches("scratch").count(), 3, "{text}");
}

/// The test has an end too, which a sidecar would keep it from.
#[test]
fn the_test_has_labels_of_its_own() {
    let quiet =
        json!({"podLabels": {"sidecar.istio.io/inject": "false"}, "podAnnotations": {"a": "b"}});
    let objects = objects_with(&with(every_part(), &json!({"tests": quiet})));
    let test = object(&objects, "Pod", "gg-game-gateway-test");
    assert_eq!(
        test["metadata"]["labels"]["sidecar.istio.io/inject"],
        "false"
    );
    assert_eq!(test["metadata"]["annotations"]["a"], "b");
    assert_eq!(test["metadata"]["annotations"]["helm.sh/hook"], "test");
}

/// The ServiceAccount of the release is not there when the hook needs one.
#[test]
fn the_hook_brings_its_service_account() {
    let values = with(
        every_part(),
        &json!({"serviceAccount": {"annotations": {"role": "eu"}}}),
    );
    let objects = objects_with(&values);
    let name = job(&objects)["spec"]["template"]["spec"]["serviceAccountName"].clone();
    let account = object(&objects, "ServiceAccount", name.as_str().expect("a name"));
    let annotations = &account["metadata"]["annotations"];
    assert_eq!(
        annotations["helm.sh/hook"],
        "pre-install,pre-upgrade,pre-rollback"
    );
    assert_eq!(annotations["role"], "eu");
    let before = |one: &Value| {
        let weight = one["metadata"]["annotations"]["helm.sh/hook-weight"].as_str();
        weight
            .and_then(|text| text.parse::<i32>().ok())
            .expect("a weight")
    };
    assert!(before(account) < before(job(&objects)));
    // The trial's Job is part of the release.
    let objects = objects_with(&trial());
    assert_eq!(
        job(&objects)["spec"]["template"]["spec"]["serviceAccountName"],
        "gg-game-gateway"
    );
}

/// Helm 4 applies on the server's side, which refuses a list with a name that is there twice.
#[test]
fn no_variable_is_there_twice() {
    let sets = json!({
        "backendAuth": {"token": "t"}, "scaleDown": {"podDeletionCost": {"enabled": true}},
        "containerPorts": {"admin": 9999},
        "externalRedis": {"password": "p", "sentinel": {
            "enabled": true, "hosts": ["s:26379"], "password": "p",
        }},
    });
    for base in [with(every_part(), &sets), trial()] {
        let plain = objects_with(&base);
        let gateway = |objects: &[Value]| {
            let deployment = object(objects, "Deployment", "gg-game-gateway");
            deployment["spec"]["template"]["spec"]["containers"][0]["env"].clone()
        };
        let mut names: Vec<Value> = pods(&plain)
            .iter()
            .filter_map(|(_, pod)| pod["spec"]["containers"][0]["env"].as_array())
            .flatten()
            .map(|one| one["name"].clone())
            .collect();
        names.sort_by_key(ToString::to_string);
        names.dedup();
        assert!(names.len() >= 3, "{names:?}");
        let ours: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "value": "mine"}))
            .collect();
        let objects = objects_with(&with(base, &json!({"extraEnvVars": ours})));
        for (part, pod) in pods(&objects) {
            let env = pod["spec"]["containers"][0]["env"]
                .as_array()
                .expect("variables")
                .clone();
            for one in &env {
                let same = env.iter().filter(|other| other["name"] == one["name"]);
                assert_eq!(same.count(), 1, "{part}: {one}");
                assert_eq!(one["value"], "mine", "{part}");
            }
        }
        // Others of the chart's may refer to the pod's.
        let of_pod = json!({"extraEnvVars": [{"name": "POD_IP", "value": "mine"}]});
        let env = gateway(&objects_with(&of_pod));
        let place = |name: &str| {
            let mut all = env.as_array().expect("variables").iter();
            all.position(|one| one["name"] == name)
        };
        assert!(place("POD_IP") < place("GATEWAY__PEER__ADVERTISE"), "{env}");
        // In the container they are what users have asked for.
        assert!(
            gateway(&objects)
                .to_string()
                .contains("GATEWAY__ADMIN__TOKEN")
        );
    }
}

#[test]
fn what_is_there_twice_is_refused_by_name() {
    let name = "extraEnvVars[0].name=A";
    refused(
        &[name, "extraEnvVars[1].name=A"],
        "extraEnvVars: A is there twice",
    );
    let window = ["routes.job.extraEnvVars[0].name=GATEWAY__DRAIN__WINDOW"];
    refused(
        &window,
        "routes.job.extraEnvVars: GATEWAY__DRAIN__WINDOW would override",
    );
    for (set, says) in [
        (
            "extraVolumes[0].name=config",
            "extraVolumes: name config is the chart's own",
        ),
        (
            "extraVolumeMounts[0].mountPath=/etc/game-gateway/routes",
            "extraVolumeMounts: mountPath",
        ),
        (
            "sidecars[0].name=game-gateway",
            "sidecars: name game-gateway",
        ),
        (
            "service.extraPorts[0].port=7000",
            "service.extraPorts: port 7000",
        ),
        (
            "extraContainerPorts[0].containerPort=9090",
            "extraContainerPorts: containerPort 9090",
        ),
        (
            "routes.job.extraVolumes[0].name=routes-job",
            "routes.job.extraVolumes: name",
        ),
    ] {
        refused(&[set], says);
    }
}

/// A user's annotation of the same name does not make a map with a key that is there twice.
#[test]
fn the_charts_checksums_stay_its_own() {
    let set = [
        "podAnnotations.checksum/config=mine",
        "commonAnnotations.checksum/secrets=mine",
    ];
    let objects = objects(&set);
    let pod = &object(&objects, "Deployment", "gg-game-gateway")["spec"]["template"];
    for name in ["checksum/config", "checksum/secrets"] {
        assert_ne!(pod["metadata"]["annotations"][name], "mine");
    }
}

/// A failed hook leaves its Job and nothing else; what can never succeed is not tried again.
#[test]
fn the_job_fails_at_once_where_trying_again_is_useless() {
    let objects = objects_with(&with(
        every_part(),
        &json!({"externalRedis": {"password": "p"}}),
    ));
    let name = "gg-game-gateway-routes-job";
    for kind in ["ConfigMap", "Secret", "ServiceAccount"] {
        let annotations = &object(&objects, kind, name)["metadata"]["annotations"];
        let policy = annotations["helm.sh/hook-delete-policy"]
            .as_str()
            .expect("text");
        assert!(
            policy.contains("hook-failed") && policy.contains("hook-succeeded"),
            "{kind}: {policy}"
        );
    }
    let job = object(&objects, "Job", name);
    let annotations = &job["metadata"]["annotations"];
    assert_eq!(annotations["helm.sh/hook-output-log-policy"], "hook-failed");
    assert_eq!(
        annotations["helm.sh/hook-delete-policy"],
        "before-hook-creation,hook-succeeded"
    );
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 86400);
    let rules = &job["spec"]["podFailurePolicy"]["rules"];
    assert_eq!(rules[1]["action"], "FailJob");
    let final_codes = rules[1]["onExitCodes"]["values"].as_array().expect("codes");
    assert_eq!(*final_codes, [json!(1), json!(2)]);
    assert!(find(&objects, "Job", name).is_some());
}
