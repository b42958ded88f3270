//! Names: whatever releases, namespaces and Secrets are called, they are text in YAML and labels in DNS.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::tools::{
    HELM, HELMS, chart, every_part, object, objects_with, output, parse, release, run, tool,
    values_file,
};

/// Words that YAML takes for something else than text, all of them names that Helm and Kubernetes allow.
const ODD: [&str; 7] = ["no", "1e3", "123", "null", "true", "0x1f", "1-2"];

/// Returns every string, number and flag of an object below a key that holds a name or a reference to one.
fn references<'a>(of: &'a Value, found: &mut Vec<(&'a str, &'a Value)>) {
    const KEYS: [&str; 14] = [
        "name",
        "namespace",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/name",
        "secretName",
        "key",
        "serviceAccountName",
        "priorityClassName",
        "schedulerName",
        "runtimeClassName",
        "image",
        "clusterIP",
        "helm.sh/chart",
        "loadBalancerClass",
    ];
    match of {
        Value::Object(map) => {
            for (key, value) in map {
                if KEYS.contains(&key.as_str()) && !value.is_object() && !value.is_array() {
                    found.push((key, value));
                }
                references(value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|one| references(one, found)),
        _ => {}
    }
}

fn all_are_text(objects: &[Value], what: &str) {
    let mut found = Vec::new();
    objects.iter().for_each(|one| references(one, &mut found));
    assert!(!found.is_empty());
    for (key, value) in found {
        assert!(value.is_string(), "{what}: {key} is {value}");
    }
}

#[test]
fn releases_and_namespaces_that_look_like_something_else_stay_text() {
    let values = values_file(&every_part());
    for helm in HELMS {
        for name in ODD {
            let mut command = release(helm, name, name, &chart());
            let rendering = output(command.arg("--values").arg(values.path()));
            let objects = parse(&rendering);
            all_are_text(&objects, name);
            for one in &objects {
                assert_eq!(one["metadata"]["namespace"], name);
                let labels = &one["metadata"]["labels"];
                assert_eq!(labels["app.kubernetes.io/instance"], name);
            }
        }
    }
}

/// The same of all names that users give.
#[test]
fn names_in_values_that_look_like_something_else_stay_text() {
    let odd = "1e3";
    let mut values = every_part();
    let more = json!({
        "namespaceOverride": odd,
        "global": {"imagePullSecrets": [odd]},
        "image": {"pullSecrets": ["123"], "registry": "", "repository": "no"},
        "admin": {"existingSecret": odd, "existingSecretTokenKey": odd},
        "tokenKeys": {"existingSecret": odd, "existingSecretKey": odd},
        "backendAuth": {"existingSecret": odd, "existingSecretTokenKey": odd},
        "tls": {"enabled": true, "existingSecret": odd, "extraSecrets": ["no"], "clientCaSecret": odd},
        "backendTls": {"enabled": true, "existingSecret": odd},
        "serviceAccount": {"create": false, "name": odd},
        "priorityClassName": odd, "schedulerName": odd, "runtimeClassName": odd,
        "extraEnvVarsCM": odd, "extraEnvVarsSecret": odd,
        "service": {"type": "LoadBalancer", "loadBalancerClass": odd},
        "metrics": {
            "serviceMonitor": {"enabled": true, "namespace": odd, "jobLabel": odd},
            "prometheusRule": {"enabled": true, "namespace": odd},
        },
    });
    let map = values.as_object_mut().expect("a map");
    map.extend(more.as_object().expect("a map").clone());
    map["externalRedis"] = json!({
        "host": "redis", "existingSecret": odd, "existingSecretPasswordKey": odd,
        "tls": {"enabled": true, "existingSecret": odd},
    });
    all_are_text(&objects_with(&values), odd);
    let file = values_file(&json!({"routes": {"existingConfigMap": odd}}));
    let said = output(
        release(HELM, "gg", "games", &chart())
            .arg("--values")
            .arg(file.path()),
    );
    all_are_text(&parse(&said), odd);
}

/// Returns the names of all objects of a release, and those of its Services.
fn names(release_name: &str, values: &Value) -> (BTreeSet<String>, Vec<String>) {
    let file = values_file(values);
    let mut command = release(HELM, release_name, "games", &chart());
    let objects = parse(&output(command.arg("--values").arg(file.path())));
    let name = |one: &Value| one["metadata"]["name"].as_str().expect("text").to_owned();
    let services = objects.iter().filter(|one| one["kind"] == "Service");
    (
        objects.iter().map(name).collect(),
        services.map(name).collect(),
    )
}

fn is_label(name: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(good)
        && !name.ends_with('-')
}

/// Helm lets releases have dots and begin with digits; DNS does not let Services.
#[test]
fn services_have_names_that_dns_takes() {
    let longest = format!("{}-x", "n".repeat(51));
    for name in ["a.b", "1e3", "7.of.9", "game-gateway.eu", longest.as_str()] {
        let (all, services) = names(name, &every_part());
        assert!(services.len() >= 3, "{services:?}");
        for service in &services {
            assert!(is_label(service), "{name}: {service}");
        }
        assert!(all.iter().all(|one| one.len() <= 63), "{name}: {all:?}");
    }
}

/// Two releases are never one, however alike their names are after what had to be changed in them.
#[test]
fn releases_that_are_alike_have_names_of_their_own() {
    let alike = |end: &str| format!("{}{end}", "n".repeat(50));
    let pairs = [
        (alike("-a"), alike("-b")),
        ("a.b".to_owned(), "a-b".to_owned()),
        ("1x".to_owned(), "g1x".to_owned()),
    ];
    for (one, other) in pairs {
        let (names_of_one, _) = names(&one, &every_part());
        let (names_of_other, _) = names(&other, &every_part());
        let both: Vec<_> = names_of_one.intersection(&names_of_other).collect();
        assert!(both.is_empty(), "{one} and {other}: {both:?}");
    }
    let labels = |end: &str| {
        let objects =
            objects_with(&json!({"nameOverride": alike(end), "fullnameOverride": "same"}));
        let service = object(&objects, "Service", "same");
        service["metadata"]["labels"]["app.kubernetes.io/name"].clone()
    };
    assert_ne!(labels("-a"), labels("-b"));
    // What fits is left alone.
    assert!(
        names("gateway", &json!({}))
            .0
            .contains("gateway-game-gateway")
    );
}

#[test]
fn an_override_that_is_no_name_is_refused_by_a_sentence() {
    for (key, wrong) in [
        ("fullnameOverride", "Game_Gateway"),
        ("fullnameOverride", "-gateway"),
        ("nameOverride", "My Gateway"),
    ] {
        let file = values_file(&json!({key: wrong}));
        for helm in HELMS {
            let mut command = release(helm, "gg", "games", &chart());
            let (taken, said) = run(command.arg("--values").arg(file.path()));
            assert!(!taken, "{helm} takes {wrong}");
            assert!(said.contains("lower-case letters"), "{helm}: {said}");
            assert!(said.contains(key), "{helm}: {said}");
        }
    }
}

/// A parent chart with the chart in it twice, the second time under another name.
fn parent(values: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let dependency =
        json!({"name": "game-gateway", "version": "0.1.0", "condition": "game-gateway.enabled"});
    let second = json!({
        "name": "game-gateway", "alias": "second", "version": "0.1.0", "condition": "second.enabled",
    });
    let metadata = json!({
        "apiVersion": "v2", "name": "studio", "version": "1.0.0", "dependencies": [dependency, second],
    });
    fs::write(folder.path().join("Chart.yaml"), metadata.to_string()).expect("written");
    fs::write(folder.path().join("values.yaml"), values.to_string()).expect("written");
    let mut package = tool(HELM);
    package.arg("package").arg(chart()).arg("--destination");
    output(package.arg(folder.path().join("charts")));
    folder
}

/// Renders it with more values, by one of the Helms.
fn as_subchart(helm: &str, defaults: &Value, given: &Value) -> Vec<Value> {
    let folder = parent(defaults);
    let file = values_file(given);
    let mut command = release(helm, "st", "games", folder.path());
    parse(&output(command.arg("--values").arg(file.path())))
}

#[test]
fn a_parent_switches_it_on_and_off() {
    let both = json!({"game-gateway": {"enabled": true}, "second": {"enabled": true}});
    let one = json!({"second": {"enabled": false}});
    let none = json!({"game-gateway": {"enabled": false}, "second": {"enabled": false}});
    for helm in HELMS {
        let deployments = |given: &Value| {
            let objects = as_subchart(helm, &both, given);
            let all = objects.iter().filter(|one| one["kind"] == "Deployment");
            all.map(|one| one["metadata"]["name"].as_str().expect("text").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(deployments(&json!({})), ["st-game-gateway", "st-second"]);
        assert_eq!(deployments(&one), ["st-game-gateway"]);
        assert!(deployments(&none).is_empty());
    }
}

/// The parent's globals are its own: of this chart's concern are two of them, in more than one form.
#[test]
fn globals_of_any_shape() {
    let defaults = json!({"second": {"enabled": false}});
    let cases = [
        (
            json!([{"name": "a"}, "b", {"name": "a"}]),
            json!([{"name": "a"}, {"name": "b"}]),
        ),
        (json!("a"), json!([{"name": "a"}])),
        (json!(null), Value::Null),
        (json!([7, null, {}]), Value::Null),
    ];
    for helm in HELMS {
        for (given, wanted) in &cases {
            let global = json!({
                "imagePullSecrets": given, "imageRegistry": null, "storageClass": {"a": [1]},
                "security": {"allowInsecureImages": true}, "postgresql": [true],
            });
            let objects = as_subchart(helm, &defaults, &json!({"global": global}));
            let deployment = object(&objects, "Deployment", "st-game-gateway");
            let secrets = &deployment["spec"]["template"]["spec"]["imagePullSecrets"];
            assert_eq!(secrets, wanted, "{helm}: {given}");
        }
    }
}

/// A parent takes values away with null, in its own values.yaml as in what is given to it.
#[test]
fn null_takes_a_value_of_a_subchart_away() {
    let nulls = json!({
        "livenessProbe": null, "topologySpreadConstraints": null, "metrics": null,
        "autoscaling": null, "resources": null, "networkPolicy": null, "replicaCount": null,
        "podSecurityContext": {"runAsUser": null}, "commonLabels": {"team": null, "tier": "edge"},
        "startupProbe": {"periodSeconds": null}, "config": {"log": null},
    });
    let off = json!({"enabled": false});
    let both = json!({"game-gateway": nulls, "second": off});
    let neither = json!({"second": off});
    for helm in HELMS {
        for (defaults, given) in [(&both, &neither), (&neither, &both)] {
            let objects = as_subchart(helm, defaults, given);
            // Helm 4 itself passes over nulls of a values.yaml where nothing else is given.
            if helm == "helm4" && given == &neither {
                continue;
            }
            let text = serde_json::to_string(&objects).expect("JSON");
            assert!(!text.contains("null"), "{helm}: {text}");
            assert!(
                !text.contains("NetworkPolicy") && !text.contains("team"),
                "{helm}"
            );
            let pod =
                &object(&objects, "Deployment", "st-game-gateway")["spec"]["template"]["spec"];
            let container = &pod["containers"][0];
            assert!(container.get("livenessProbe").is_none(), "{helm}");
            assert!(container.get("resources").is_none(), "{helm}");
            assert!(
                container["startupProbe"].get("periodSeconds").is_none(),
                "{helm}"
            );
            assert!(pod["securityContext"].get("runAsUser").is_none(), "{helm}");
            assert_eq!(pod["securityContext"]["runAsGroup"], 65532, "{helm}");
        }
    }
}
