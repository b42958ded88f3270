//! Services, addresses of both families, and the traffic that is allowed.

use serde_json::{Value, json};

use crate::guards::{refused, taken};
use crate::tools::{object, objects, objects_with, pods};

const NAME: &str = "gg-game-gateway";

fn toml(objects: &[Value]) -> &str {
    let map = object(objects, "ConfigMap", NAME);
    map["data"]["game-gateway.toml"].as_str().expect("text")
}

/// A socket of `[::]` takes both families, one of `0.0.0.0` nothing of IPv6.
#[test]
fn who_asks_for_ipv6_is_heard_over_ipv6() {
    for set in [
        "service.ipFamilies={IPv6}",
        "service.ipFamilies={IPv4,IPv6}",
        "service.ipFamilyPolicy=PreferDualStack",
        "service.ipFamilyPolicy=RequireDualStack",
    ] {
        let objects = objects(&[set, "echo.enabled=true"]);
        for address in ["[::]:7000", "[::]:7001", "[::]:9090"] {
            let line = format!("address = \"{address}\"");
            assert!(toml(&objects).contains(&line), "{set}: {}", toml(&objects));
        }
        let echo = &object(&objects, "Deployment", "gg-game-gateway-echo")["spec"]["template"];
        assert_eq!(
            echo["spec"]["containers"][0]["args"][2], "[::]:7100",
            "{set}"
        );
    }
    let plain = objects(&[
        "service.ipFamilyPolicy=SingleStack",
        "service.ipFamilies={IPv4}",
    ]);
    assert!(toml(&plain).contains("0.0.0.0:7000"), "{}", toml(&plain));
    for section in [
        "listen.address=0.0.0.0:7000",
        "admin.address=0.0.0.0:9090",
        "peer.address=0.0.0.0:7001",
    ] {
        let set = format!("config.{section}");
        refused(
            &[&set, "service.ipFamilies={IPv6}"],
            "which nothing reaches over IPv6",
        );
    }
    taken(&[
        "config.listen.address=[::]:7000",
        "service.ipFamilies={IPv6}",
    ]);
}

#[test]
fn addresses_of_ipv6_get_their_brackets() {
    for (host, wanted) in [
        ("fd00::7", "redis://[fd00::7]:6379/0"),
        ("[fd00::7]", "redis://[fd00::7]:6379/0"),
        ("192.0.2.7", "redis://192.0.2.7:6379/0"),
    ] {
        let objects = objects_with(&json!({
            "routes": {"source": "redis"}, "externalRedis": {"host": host},
        }));
        assert!(
            toml(&objects).contains(wanted),
            "{host}: {}",
            toml(&objects)
        );
    }
    let port = ["routes.source=redis", "externalRedis.host=redis:6380"];
    refused(&port, "the port goes into externalRedis.port");
    let peers = objects(&["peer.advertiseHost=fd00::1"]);
    let env = pods(&peers)[0].1["spec"]["containers"][0]["env"].to_string();
    assert!(env.contains("[fd00::1]:7001"), "{env}");
    let sentinels = |host: &str| {
        let hosts = format!("externalRedis.sentinel.hosts={{{host}}}");
        [
            "routes.source=redis".to_owned(),
            "externalRedis.sentinel.enabled=true".to_owned(),
            hosts,
        ]
    };
    let bare = sentinels("fd00::7:26379");
    let bare: Vec<&str> = bare.iter().map(String::as_str).collect();
    refused(&bare, "goes in brackets");
    let right = sentinels("[fd00::7]:26379");
    let right: Vec<&str> = right.iter().map(String::as_str).collect();
    taken(&right);
}

#[test]
fn the_players_service_has_every_field() {
    let fields = json!({
        "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30123,
        "internalTrafficPolicy": "Local", "trafficDistribution": "PreferClose",
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
        "externalIPs": ["192.0.2.1"],
    });
    let objects = objects_with(&json!({"service": fields}));
    let spec = &object(&objects, "Service", NAME)["spec"];
    for (field, value) in fields.as_object().expect("a map") {
        assert_eq!(spec[field], *value, "{field}");
    }
    refused(
        &["service.healthCheckNodePort=30123"],
        "needs service.type=LoadBalancer",
    );
    let timeout = "service.sessionAffinityConfig.clientIP.timeoutSeconds=60";
    refused(&[timeout], "needs service.sessionAffinity=ClientIP");
}

/// Prometheus finds the admin Service by a label that users cannot replace.
#[test]
fn the_admin_service_has_labels_and_ranges() {
    let objects = objects_with(&json!({
        "service": {"labels": {"app.kubernetes.io/component": "admin", "exposed": "true"}},
        "admin": {"service": {
            "type": "LoadBalancer", "loadBalancerClass": "internal", "nodePorts": {"admin": 30090},
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "labels": {"team": "ops", "app.kubernetes.io/component": "mine"},
        }},
    }));
    let service = object(&objects, "Service", "gg-game-gateway-admin");
    assert_eq!(
        service["spec"]["loadBalancerSourceRanges"],
        json!(["10.0.0.0/8"])
    );
    assert_eq!(service["spec"]["loadBalancerClass"], "internal");
    assert_eq!(service["spec"]["ports"][0]["nodePort"], 30090);
    assert_eq!(service["metadata"]["labels"]["team"], "ops");
    assert_eq!(
        service["metadata"]["labels"]["app.kubernetes.io/component"],
        "admin"
    );
    let players = object(&objects, "Service", NAME);
    assert_eq!(
        players["metadata"]["labels"]["app.kubernetes.io/component"],
        "gateway"
    );
    assert_eq!(players["metadata"]["labels"]["exposed"], "true");
}

/// What the chart itself makes gateways talk to is allowed where other traffic is not.
#[test]
fn what_is_switched_on_may_be_reached() {
    let ports = |set: &[&str]| {
        let objects = objects(&[&["networkPolicy.allowExternalEgress=false"], set].concat());
        let egress = object(&objects, "NetworkPolicy", NAME)["spec"]["egress"].clone();
        let rules = egress.as_array().expect("rules").clone();
        let ports = rules
            .iter()
            .flat_map(|rule| rule["ports"].as_array().expect("ports").clone());
        ports
            .map(|one| one["port"].as_u64().expect("a number"))
            .collect::<Vec<_>>()
    };
    assert_eq!(ports(&[]), [53, 53, 7001]);
    let cost = "scaleDown.podDeletionCost.enabled=true";
    assert_eq!(ports(&[cost]), [53, 53, 7001, 443, 6443]);
    let own = "networkPolicy.apiServerPorts={16443}";
    assert_eq!(ports(&[cost, own]), [53, 53, 7001, 16443]);
    let redis = [
        "routes.source=redis",
        "externalRedis.host=r",
        "externalRedis.port=6380",
    ];
    assert_eq!(ports(&redis), [53, 53, 7001, 6380]);
    let sentinel = [
        "routes.source=redis",
        "externalRedis.sentinel.enabled=true",
        "externalRedis.sentinel.hosts={a:26379,b:26379,c:26380}",
    ];
    assert_eq!(ports(&sentinel), [53, 53, 7001, 6379, 26379, 26380]);
}

#[test]
fn containers_have_every_field() {
    let objects = objects_with(&json!({
        "startupProbe": {"initialDelaySeconds": 3, "terminationGracePeriodSeconds": 9},
        "livenessProbe": {"initialDelaySeconds": 4, "terminationGracePeriodSeconds": 10},
        "readinessProbe": {"initialDelaySeconds": 5, "successThreshold": 2},
        "lifecycleHooks": {"postStart": {"sleep": {"seconds": 1}}},
        "drain": {"preStopSleepSeconds": 5},
        "extraArgs": ["--{{ .Release.Name }}"],
        "extraContainerPorts": [{"name": "more", "containerPort": 7777}],
    }));
    let container = &pods(&objects)[0].1["spec"]["containers"][0];
    assert_eq!(container["startupProbe"]["initialDelaySeconds"], 3);
    assert_eq!(
        container["startupProbe"]["terminationGracePeriodSeconds"],
        9
    );
    assert_eq!(
        container["livenessProbe"]["terminationGracePeriodSeconds"],
        10
    );
    assert_eq!(container["readinessProbe"]["successThreshold"], 2);
    // The sleep before SIGTERM stays beside a hook of another kind.
    let lifecycle = json!({
        "postStart": {"sleep": {"seconds": 1}}, "preStop": {"sleep": {"seconds": 5}},
    });
    assert_eq!(container["lifecycle"], lifecycle);
    assert_eq!(container["args"][3], "--gg");
    assert_eq!(container["ports"][3]["containerPort"], 7777);
    let own = json!({"preStop": {"httpGet": {"path": "/", "port": "admin"}}});
    let objects = objects_with(&json!({"lifecycleHooks": own}));
    assert_eq!(
        pods(&objects)[0].1["spec"]["containers"][0]["lifecycle"],
        own
    );
}
