//! The TOML that the chart writes, given to the gateway that reads it.

use std::fs;

use game_gateway::config::Config;
use game_gateway::config::keys::{Field, KEYS};
use serde_json::{Map, Value, json};

use crate::container::{Container, SECRET};
use crate::guards::refused;
use crate::support::redis::RedisServer;
use crate::tools::{HELM, object, objects, parse, rendered, set_up, set_ups};

/// Keys that have values of their own in the chart, and are refused below `config`.
const CHARTS_OWN: [&str; 23] = [
    "gateway.id",
    "listen.tls.certificate",
    "listen.tls.key",
    "listen.tls.client_ca",
    "listen.tls.required",
    "routes.source",
    "routes.file",
    "redis.url",
    "redis.username",
    "redis.password",
    "redis.sentinel_password",
    "redis.ca",
    "session.token_keys",
    "session.token_keys_file",
    "backend.token",
    "peer.advertise",
    "admin.token",
    "admin.tls.certificate",
    "admin.tls.key",
    "admin.tls.client_ca",
    "listen.address",
    "kubernetes.pod_deletion_cost",
    "otlp.headers",
];

/// Of each set-up everything is taken but Redis, which is not there.
#[test]
fn the_gateway_takes_what_the_chart_writes() {
    for (name, file) in set_ups() {
        let container = Container::of_gateway(&parse(&set_up(HELM, &file)));
        let (_, said) = container.check();
        assert!(said.contains("ok: configuration: "), "{name}: {said}");
        let mistakes = said.lines().filter(|line| line.starts_with("mistake: "));
        let other: Vec<_> = mistakes.filter(|line| !line.contains("redis")).collect();
        assert!(other.is_empty(), "{name}: {other:?}");
    }
}

/// The routes as well: what is written as values arrives as it was meant.
#[test]
fn the_gateway_takes_the_routes() {
    let (_, file) = set_ups()
        .into_iter()
        .find(|(name, _)| name == "tls")
        .expect("tls");
    let (good, said) = Container::of_gateway(&parse(&set_up(HELM, &file))).check();
    assert!(good, "{said}");
    assert!(said.contains("2 services, 2 realms"), "{said}");
}

/// A mistake in the routes is found by the gateway, and not by chance passed by the chart.
#[test]
fn a_mistake_in_the_routes_is_named() {
    let container = Container::of_gateway(&objects(&[
        "routes.rules.chat.strategy=consistent_hash",
        "routes.rules.chat.endpoints={chat:0}",
    ]));
    let (good, said) = container.check();
    assert!(!good && said.contains("routes.json"), "{said}");
}

/// Returns every key's default as a value of the chart.
fn default_value(field: Field<'_>) -> Value {
    let is_number = field.is_number();
    let is_list = matches!(
        field,
        Field::Paths(_) | Field::HostPorts(_) | Field::Networks(_) | Field::Origins(_)
    );
    if let Field::OptionalSize(_) | Field::OptionalCount(_) = field {
        return json!(67_108_864);
    }
    let is_flag = matches!(field, Field::Flag(_));
    let text = field.show();
    match text.parse::<u64>() {
        Ok(number) if is_number => json!(number),
        _ if is_list => json!([]),
        _ if is_flag => json!(text == "true"),
        _ => json!(text),
    }
}

/// Puts a value at `listen.tls.required` into maps within maps.
fn put(values: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            values.insert(name.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = values.entry(section).or_insert_with(|| json!({}));
            put(inner.as_object_mut().expect("a section"), rest, value);
        }
    }
}

#[test]
fn every_key_of_the_program_can_be_set() {
    let mut config = Map::new();
    let mut names = Vec::new();
    for key in &KEYS {
        let links_tls = key.name.starts_with("backend.tls.");
        if links_tls || CHARTS_OWN.contains(&key.name) {
            continue;
        }
        let mut defaults = Config::default();
        let value = match key.name {
            // The chart's own default: pods are asked by others.
            "admin.address" => json!("0.0.0.0:9090"),
            "peer.address" => json!("0.0.0.0:7001"),
            "admin.tokens" => json!([]),
            _ => default_value((key.field)(&mut defaults)),
        };
        put(&mut config, key.name, value);
        names.push(key.name);
    }
    let values = tempfile::NamedTempFile::new().expect("a file");
    fs::write(values.path(), json!({"config": config}).to_string()).expect("written");
    let rendering = rendered(HELM, &["--values", &values.path().display().to_string()]);
    let objects = parse(&rendering);
    let map = object(&objects, "ConfigMap", "gg-game-gateway");
    let toml = map["data"]["game-gateway.toml"].as_str().expect("text");
    for name in &names {
        let (section, leaf) = name.rsplit_once('.').expect("a section");
        let mut lines = toml
            .lines()
            .skip_while(|line| *line != format!("[{section}]"))
            .take_while(|line| !line.is_empty());
        let there = lines.any(|line| line.starts_with(&format!("{leaf} = ")));
        assert!(there, "{name} is not in\n{toml}");
    }
    let (good, said) = Container::of_gateway(&objects).check();
    assert!(good, "{said}");
}

/// Numbers stay whole and texts stay texts on their way through YAML and Go's templates.
#[test]
fn values_keep_their_types() {
    let objects = objects(&[
        "config.limits.memory=268435456",
        "config.session.outbound_queue=2MiB",
        "config.session.trust_client_ids=true",
        "config.log.level=info\\,game_gateway=debug",
        "config.otlp.sample=0.05",
        "config.redis.prefix=a \"quoted\" <name>: \\\\",
    ]);
    let map = object(&objects, "ConfigMap", "gg-game-gateway");
    let toml = map["data"]["game-gateway.toml"].as_str().expect("text");
    for line in [
        "memory = 268435456",
        "outbound_queue = \"2MiB\"",
        "trust_client_ids = true",
        "level = \"info,game_gateway=debug\"",
        "prefix = \"a \\\"quoted\\\" <name>: \\\\\"",
    ] {
        assert!(toml.contains(line), "no {line} in\n{toml}");
    }
}

/// Named tokens come from files, which a volume brings: their values would stand in a ConfigMap.
#[test]
fn named_tokens_reach_the_program() {
    let one = |key: &str, value: &str| format!("config.admin.tokens[0].{key}={value}");
    let (name, role) = (one("name", "ops"), one("role", "read"));
    let file = one("file", "/run/secrets/none/ops");
    let (good, said) = Container::of_gateway(&objects(&[&name, &role, &file])).check();
    let expected = "admin.tokens: `ops`: /run/secrets/none/ops: cannot be read";
    assert!(!good && said.contains(expected), "{said}");
    refused(&[&name, &role, &file, &one("token", "sesame")], "token");
}

/// The Job that writes routes to Redis does so, with the password that is given as a value.
#[test]
fn the_job_writes_the_routes() {
    let server = RedisServer::start_with_password(SECRET, "");
    let objects = objects(&[
        "routes.source=redis",
        "routes.rules.game.strategy=realm_based",
        "routes.realms.7=game-7:9300",
        "externalRedis.host=127.0.0.1",
        "externalRedis.password=given",
        "config.redis.prefix=eu:",
        &format!("externalRedis.port={}", server.port),
    ]);
    let job = object(&objects, "Job", "gg-game-gateway-routes-job");
    let (good, said) = Container::of(&objects, &job["spec"]["template"]["spec"]).run();
    assert!(good, "{said}");
    let rules = server.command(&["GET", "eu:routing:rules"]);
    assert!(rules.text().contains("realm_based"), "{rules:?}");
    let realm = server.command(&["HGET", "eu:realm:mapping", "7"]);
    assert_eq!(realm.text(), "game-7:9300");
}
