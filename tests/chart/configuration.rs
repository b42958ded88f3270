//! The TOML that the chart writes, given to the gateway that reads it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use game_gateway::config::Config;
use game_gateway::config::keys::{Effect, Field, KEYS, Key};
use serde_json::{Map, Value, json};

use crate::authority::Authority;
use crate::tools::{HELM, object, objects, parse, rendered, run, set_up, set_ups};

/// Where things are in a container.
const FOLDER: &str = "/etc/game-gateway";
/// What a Secret holds here, long enough for every purpose.
const SECRET: &str = "a-secret-that-is-long-enough-for-everything";
/// Keys that have values of their own in the chart, and are refused below `config`.
const CHARTS_OWN: [&str; 19] = [
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
    "listen.address",
    "kubernetes.pod_deletion_cost",
];

/// A gateway's container as a folder: its mounts, and its environment.
struct Container {
    folder: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

impl Container {
    fn of(objects: &[Value]) -> Container {
        let deployment = object(objects, "Deployment", "gg-game-gateway");
        let pod = &deployment["spec"]["template"]["spec"];
        let folder = tempfile::tempdir().expect("a folder");
        for volume in pod["volumes"].as_array().expect("volumes") {
            let name = volume["name"].as_str().expect("a name");
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("made");
            if let Some(name) = volume["configMap"]["name"].as_str() {
                mount_config_map(objects, name, &path, folder.path());
            } else {
                mount_secret(&path);
            }
        }
        Container {
            environment: environment(&pod["containers"][0]["env"]),
            folder,
        }
    }

    /// What `game-gateway check` says of it.
    fn check(&self) -> (bool, String) {
        let mut check = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
        check.env_clear().envs(&self.environment);
        let file = self.folder.path().join("config/game-gateway.toml");
        run(check.args(["check", "--config"]).arg(file))
    }
}

/// The files of a ConfigMap, with paths of the container turned into paths of this folder.
fn mount_config_map(objects: &[Value], name: &str, path: &Path, root: &Path) {
    let Some(map) = crate::tools::find(objects, "ConfigMap", name) else {
        // One that exists already, as values say.
        fs::write(path.join("routes.json"), r#"{"rules": {}}"#).expect("written");
        return;
    };
    for (file, text) in map["data"].as_object().expect("data") {
        let text = text.as_str().expect("text");
        let text = without_later_keys(text).replace(FOLDER, &root.display().to_string());
        fs::write(path.join(file), text).expect("written");
    }
}

/// A Secret with every file that a gateway may look for.
fn mount_secret(path: &Path) {
    let authority = Authority::new();
    let issued = authority.issue("gateway", "DNS:play.example.com");
    for (from, to) in [
        (authority.ca(), "ca.crt"),
        (issued.certificate, "tls.crt"),
        (issued.key, "tls.key"),
    ] {
        fs::copy(from, path.join(to)).expect("copied");
    }
    fs::write(path.join("token-keys"), SECRET).expect("written");
}

/// A container's variables, as a kubelet would set them.
fn environment(entries: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in entries.as_array().expect("variables") {
        let name = entry["name"].as_str().expect("a name").to_owned();
        let value = match entry["value"].as_str() {
            Some(text) => text.replace("$(POD_IP)", "10.0.0.1"),
            None if entry["valueFrom"]["secretKeyRef"].is_object() => SECRET.to_owned(),
            None => "gg-game-gateway-0".to_owned(),
        };
        if name != "GATEWAY__PEER__ADVERTISE" || sets("peer.advertise") {
            all.insert(name, value);
        }
    }
    all
}

/// Whether setting this key does anything in this version.
fn sets(name: &str) -> bool {
    let key = KEYS.iter().find(|key| key.name == name);
    key.is_some_and(|key| matches!(key.effect, Effect::Sets(_)))
}

/// The chart is ahead of the program in these; no other key is left out.
fn is_later(name: &str) -> bool {
    let later = ["peer.address", "kubernetes.pod_deletion_cost"];
    later.contains(&name) && !sets(name)
}

fn without_later_keys(toml: &str) -> String {
    let mut section = String::new();
    let mut kept = String::new();
    for line in toml.lines() {
        let header = line.strip_prefix('[').and_then(|l| l.strip_suffix(']'));
        if let Some(name) = header {
            name.clone_into(&mut section);
        }
        let key = line.split(" = ").next().unwrap_or_default();
        let of_section = |key: &&Key| key.name.starts_with(&format!("{section}."));
        let unknown = header.is_some() && !KEYS.iter().any(|key| of_section(&key));
        if !unknown && !is_later(&format!("{section}.{key}")) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Of each set-up everything is taken but Redis, which is not there.
#[test]
fn the_gateway_takes_what_the_chart_writes() {
    for (name, file) in set_ups() {
        let container = Container::of(&parse(&set_up(HELM, &file)));
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
    let (good, said) = Container::of(&parse(&set_up(HELM, &file))).check();
    assert!(good, "{said}");
    assert!(said.contains("2 services, 2 realms"), "{said}");
}

/// A mistake in the routes is found by the gateway, and not by chance passed by the chart.
#[test]
fn a_mistake_in_the_routes_is_named() {
    let container = Container::of(&objects(&[
        "routes.rules.chat.strategy=consistent_hash",
        "routes.rules.chat.endpoints={chat:0}",
    ]));
    let (good, said) = container.check();
    assert!(!good && said.contains("routes.json"), "{said}");
}

/// Every key's default as a value of the chart.
fn default_value(field: Field<'_>) -> Value {
    let is_number = field.is_number();
    let is_list = matches!(
        field,
        Field::Paths(_) | Field::Networks(_) | Field::Origins(_)
    );
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
        let Effect::Sets(field) = key.effect else {
            continue;
        };
        let links_tls = key.name.starts_with("backend.tls.");
        if links_tls || CHARTS_OWN.contains(&key.name) {
            continue;
        }
        let mut defaults = Config::default();
        let value = match key.name {
            // The chart's own default: pods are asked by others.
            "admin.address" => json!("0.0.0.0:9090"),
            "peer.address" => json!("0.0.0.0:7001"),
            _ => default_value(field(&mut defaults)),
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
    let (good, said) = Container::of(&objects).check();
    assert!(good, "{said}");
}

/// Numbers stay whole and texts stay texts on their way through YAML and Go's templates.
#[test]
fn values_keep_their_types() {
    let objects = objects(&[
        "config.session.replay_total=268435456",
        "config.session.outbound_queue=2MiB",
        "config.session.trust_client_ids=true",
        "config.log.level=info\\,game_gateway=debug",
        "config.redis.prefix=a \"quoted\" <name>: \\\\",
    ]);
    let map = object(&objects, "ConfigMap", "gg-game-gateway");
    let toml = map["data"]["game-gateway.toml"].as_str().expect("text");
    for line in [
        "replay_total = 268435456",
        "outbound_queue = \"2MiB\"",
        "trust_client_ids = true",
        "level = \"info,game_gateway=debug\"",
        "prefix = \"a \\\"quoted\\\" <name>: \\\\\"",
    ] {
        assert!(toml.contains(line), "no {line} in\n{toml}");
    }
}
