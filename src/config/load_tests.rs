//! Good and bad configurations.

use super::*;
use proptest::prelude::*;
use std::io::Write;

fn load_text(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let environment = environment
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()));
    let name = file.path().display().to_string();
    load(Some(file.path()), environment).map_err(|mistakes| {
        mistakes
            .iter()
            .map(|m| m.to_string().replace(&name, "FILE"))
            .collect()
    })
}

fn mistakes(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    load_text(text, environment).unwrap_err()
}

#[test]
fn the_defaults_are_good() {
    let config = load(None, std::iter::empty()).unwrap();
    assert!(!config.gateway.id.is_empty());
    let expected = Config {
        gateway: config.gateway.clone(),
        ..Config::default()
    };
    assert_eq!(config, expected);
}

#[test]
fn file_then_environment() {
    let text = "[listen]\nmax_payload = \"128KiB\"\naddress = \"[::1]:7\"\n[session]\ntrust_client_ids = true\nmax_services = 3\n";
    let environment = [
        ("GATEWAY__LISTEN__MAX_PAYLOAD", "1000"),
        ("GATEWAY__GATEWAY__ID", "gw-1"),
        ("POD_NAME", "pod"),
        ("OTHER", "x"),
    ];
    let config = load_text(text, &environment).unwrap();
    assert_eq!(config.listen.max_payload, 1000);
    assert_eq!(config.listen.address, "[::1]:7".parse().unwrap());
    assert_eq!(
        (config.session.trust_client_ids, config.session.max_services),
        (true, 3)
    );
    assert_eq!(config.gateway.id, "gw-1");
    assert_eq!(
        load_text("", &[("POD_NAME", "pod")]).unwrap().gateway.id,
        "pod"
    );
}

#[test]
fn every_mistake_at_once_with_its_place() {
    let text = "[listen]\nmax_payloat = 1\nmax_payload = \"20MiB\"\n\n[backend]\nconnect_timeout = 2\n[nonsense]\nx = 1\n";
    let found = mistakes(
        text,
        &[
            ("GATEWAY__SESSION__MAX_SERVICES", "many"),
            ("GATEWAY__NO__SUCH", "1"),
        ],
    );
    let expected = [
        "FILE:2: listen.max_payloat: unknown key; did you mean listen.max_payload?",
        "FILE:6: backend.connect_timeout: unexpected value of type integer",
        "FILE:7: nonsense: unknown key",
        "environment: GATEWAY__SESSION__MAX_SERVICES: invalid number `many`, expected a whole number",
        "environment: GATEWAY__NO__SUCH: unknown key",
        "listen.max_payload: must be 1 byte to 16MiB",
        "backend.max_link_payload and listen.max_payload: the first must be at least the second: a link must be able to carry any payload of a client",
        "session.outbound_queue and listen.max_payload: the first must be at least the second plus 4KiB: the queue must hold one frame of maximum size",
    ];
    for line in expected {
        assert!(
            found.iter().any(|f| f == line),
            "{line}\nnot in\n{}",
            found.join("\n")
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn each_bad_value_has_its_sentence() {
    let check = |text: &str, expected: &str| assert_eq!(mistakes(text, &[]), [expected], "{text}");
    check(
        "gateway.id = \"a:b\"",
        "gateway.id: must be 1 to 255 printable ASCII characters without spaces and colons",
    );
    check(
        "gateway.workers = 2000",
        "gateway.workers: must be at most 1024",
    );
    check(
        "gateway.workers = -1",
        "FILE:1: gateway.workers: invalid number `-1`, expected a whole number",
    );
    check(
        "listen.address = \"here\"",
        "FILE:1: listen.address: invalid socket address `here`, expected e.g. 0.0.0.0:7000 or [::]:7000",
    );
    check(
        "listen.max_connections = 0",
        "listen.max_connections: must be at least 1",
    );
    check(
        "listen.sniff_timeout = \"0s\"",
        "listen.sniff_timeout: must be longer than 0",
    );
    check(
        "listen.sniff_timeout = \"soon\"",
        "FILE:1: listen.sniff_timeout: invalid duration `soon`, expected e.g. 500ms, 30s, 5m or 1h",
    );
    check(
        "session.trust_client_ids = \"yes\"",
        "FILE:1: session.trust_client_ids: invalid boolean `yes`, expected true or false",
    );
    check(
        "session.max_services = 256",
        "FILE:1: session.max_services: number 256 too large, limit 255",
    );
    check(
        "admin.address = \"127.0.0.1:7000\"",
        "listen.address and admin.address: must not use the same port",
    );
    check(
        "admin.token = \"\"",
        "admin.token: must not be empty; omit the key instead",
    );
    check(
        "log.format = \"xml\"",
        "FILE:1: log.format: `xml` is neither `text` nor `json`",
    );
    check(
        "routes.source = \"etcd\"",
        "FILE:1: routes.source: `etcd` is neither `file` nor `redis`",
    );
    check(
        "limits.ipv6_prefix = 129",
        "limits.ipv6_prefix: must be 1 to 128",
    );
    assert_eq!(mistakes("log.level = \"a=b=c\"", &[]).len(), 1);
    assert_eq!(mistakes("limits.max_bans = 65537", &[]).len(), 1);
    check(
        "log.level = \"infoo\"",
        "log.level: invalid level `infoo`, expected off, error, warn, info, debug, trace",
    );
    check(
        "log.level = \"info,mine\"",
        "log.level: invalid level `mine`, expected off, error, warn, info, debug, trace",
    );
    let syntax = mistakes("[listen\naddress = 1", &[]);
    assert!(syntax[0].starts_with("FILE:1: "), "{syntax:?}");
}

#[test]
fn keys_of_tokens_are_checked_and_not_shown() {
    let good = "0123456789abcdef0123456789abcdef";
    let set = format!("session.token_keys = [\"{good}\", \"{good}-older\"]");
    let config = load_text(&set, &[]).unwrap();
    assert_eq!(config.session.token_keys.len(), 2);
    assert!(!format!("{config:?}").contains(good));
    let short = mistakes("session.token_keys = \"short\"", &[]);
    assert!(
        short[0].contains("key 1 too short: 5 bytes, expected at least 32"),
        "{short:?}"
    );
    let both = format!("{set}\nsession.token_keys_file = \"keys\"");
    assert!(mistakes(&both, &[])[0].contains("mutually exclusive: set only one of them"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let found = load(Some(Path::new("/no/such.toml")), std::iter::empty()).unwrap_err();
    assert!(
        found[0]
            .to_string()
            .starts_with("/no/such.toml: cannot be read: "),
        "{}",
        found[0]
    );
}

#[test]
fn secrets_are_not_shown() {
    let config = load_text("admin.token = \"hunter2\"", &[]).unwrap();
    assert_eq!(config.admin.token.as_ref().unwrap().expose(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_dead_path_is_noticed_by_a_kernel_that_counts_in_seconds() {
    for bad in ["999ms", "61m"] {
        let text = format!("listen.dead_after = \"{bad}\"");
        let expected = "listen.dead_after: must be 0 (off), or 1s to 1h";
        assert_eq!(mistakes(&text, &[]), [expected], "{bad}");
    }
    for good in ["0s", "1s", "1h"] {
        let text = format!("listen.dead_after = \"{good}\"");
        assert!(load_text(&text, &[]).is_ok(), "{good}");
    }
}

#[test]
fn keys_of_tls_go_together() {
    let check = |text: &str, expected: &str| assert_eq!(mistakes(text, &[]), [expected], "{text}");
    check(
        "listen.tls.certificate = \"x.pem\"",
        "listen.tls.certificate and listen.tls.key: there must be one key for each certificate, in the same order",
    );
    check(
        "[listen.tls]\ncertificate = [\"a.pem\", \"b.pem\"]\nkey = [\"a.key\"]",
        "listen.tls.certificate and listen.tls.key: there must be one key for each certificate, in the same order",
    );
    check(
        "listen.tls.client_ca = \"x.pem\"",
        "listen.tls.client_ca and listen.tls.certificate: the first requires the second: TLS is disabled without a certificate",
    );
    check(
        "listen.tls.required = true",
        "listen.tls.required and listen.tls.certificate: the first requires the second: TLS is disabled without a certificate",
    );
    check(
        "listen.tls.max_handshakes = 0",
        "listen.tls.max_handshakes: must be at least 1",
    );
    check(
        "backend.tls.ca = \"x.pem\"",
        "backend.tls.ca and backend.tls.enabled: the first requires the second to be true",
    );
    check(
        "[backend.tls]\nenabled = true\nkey = \"x.key\"",
        "backend.tls.certificate and backend.tls.key: must be set together",
    );
    let text = "[listen.tls]\ncertificate = [\"a.pem\", \"b.pem\"]\nkey = [\"a.key\", \"b.key\"]";
    let tls = load_text(text, &[]).unwrap().listen.tls;
    assert_eq!(
        (tls.certificate.len(), tls.key.to_string().as_str()),
        (2, "a.key,b.key")
    );
}

#[test]
fn keys_of_the_peer_channel_go_together() {
    let keys = "session.token_keys = \"0123456789abcdef0123456789abcdef\"\n";
    for (text, begin) in [
        (
            "peer.address = \"127.0.0.1\"".to_owned(),
            "FILE:1: peer.address: invalid socket address `127.0.0.1`",
        ),
        (
            "peer.address = \"127.0.0.1:7001\"".to_owned(),
            "peer.address and session.token_keys: the first requires the second or session.token_keys_file",
        ),
        (
            "peer.advertise = \"10.0.0.1:7001\"".to_owned(),
            "peer.advertise and peer.address: the first requires the second, the address to listen on",
        ),
        (
            "peer.gateways = [\"gw-peers:7001\"]".to_owned(),
            "peer.gateways and peer.address: the first requires the second",
        ),
        (
            format!("{keys}peer.address = \"0.0.0.0:7001\""),
            "peer.advertise and peer.address: 0.0.0.0 is not reachable from other gateways",
        ),
    ] {
        let mistake = mistakes(&text, &[]).swap_remove(0);
        assert!(mistake.starts_with(begin), "{mistake}");
    }
}

/// Returns other settings that a key requires.
fn companions(key: &str) -> Vec<(&'static str, &'static str)> {
    const FILES: [(&str, &str); 6] = [
        ("listen.tls.", "GATEWAY__LISTEN__TLS__CERTIFICATE"),
        ("listen.tls.", "GATEWAY__LISTEN__TLS__KEY"),
        ("backend.tls.", "GATEWAY__BACKEND__TLS__CERTIFICATE"),
        ("backend.tls.", "GATEWAY__BACKEND__TLS__KEY"),
        ("admin.tls.", "GATEWAY__ADMIN__TLS__CERTIFICATE"),
        ("admin.tls.", "GATEWAY__ADMIN__TLS__KEY"),
    ];
    if key.starts_with("peer.") {
        const SECRET: &str = "0123456789abcdef0123456789abcdef";
        let keys = ("GATEWAY__SESSION__TOKEN_KEYS", SECRET);
        return vec![keys, ("GATEWAY__PEER__ADDRESS", "127.0.0.1:1")];
    }
    let with = |keys| key.starts_with(keys) && key != "backend.tls.enabled";
    let files = FILES.iter().filter(|(keys, _)| with(*keys));
    let enabled = with("backend.tls.").then_some(("GATEWAY__BACKEND__TLS__ENABLED", "true"));
    files.map(|(_, file)| (*file, "x")).chain(enabled).collect()
}

#[test]
fn every_key_can_be_set_from_file_and_environment() {
    let networks = [
        "listen.proxy_protocol_from",
        "listen.http.trusted_proxies",
        "limits.allow",
        "limits.deny",
    ];
    for key in &KEYS {
        let text = match (key.field)(&mut Config::default()).show() {
            shown if !shown.is_empty() => shown,
            _ if key.name.ends_with("allowed_origins") => "https://play.example.com,*".to_owned(),
            _ if key.name == "session.token_keys" => "k".repeat(32),
            _ if key.name == "admin.tokens" => "[]".to_owned(),
            _ if key.name == "session.max_suspended" => "7".to_owned(),
            _ if key.name == "limits.memory" => "1GiB".to_owned(),
            _ if key.name == "otlp.endpoint" => "http://collector:4318".to_owned(),
            _ if key.name.starts_with("otlp.") => "name=value".to_owned(),
            _ if key.name.starts_with("peer.") => "127.0.0.1:1".to_owned(),
            _ if networks.contains(&key.name) => "10.0.0.0/8,::1".to_owned(),
            _ => "x".to_owned(),
        };
        let variable = format!(
            "{PREFIX}{}",
            key.name.replace('.', "__").to_ascii_uppercase()
        );
        let mut environment = companions(key.name);
        load_text(&format!("{} = '{text}'", key.name), &environment)
            .unwrap_or_else(|m| panic!("{}: {m:?}", key.name));
        environment.push((&variable, &text));
        load_text("", &environment).unwrap_or_else(|m| panic!("{}: {m:?}", key.name));
    }
}

/// The example and the document list exactly the keys that there are, with their defaults.
#[test]
fn the_documents_list_every_key_with_its_default() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    let example = std::fs::read_to_string(root.join("config/game-gateway.toml")).unwrap();
    let rows: Vec<&str> = document
        .lines()
        .filter_map(|l| l.strip_prefix("| `"))
        .collect();
    for key in &KEYS {
        let row = rows
            .iter()
            .find(|row| row.starts_with(&format!("{}`", key.name)));
        let row =
            row.unwrap_or_else(|| panic!("docs/configuration.md has no row for {}", key.name));
        let leaf = key.name.rsplit('.').next().unwrap();
        assert!(
            example.contains(&format!("# {leaf} = ")),
            "config/game-gateway.toml has no {}",
            key.name
        );
        let default = (key.field)(&mut Config::default()).show();
        if !default.is_empty() {
            assert!(
                row.contains(&format!("| `{default}` |")),
                "{}: default {default} not in: {row}",
                key.name
            );
            assert!(example.contains(&default), "{default} not in the example");
        }
        assert_eq!(row.contains(" Live."), key.is_live, "{row}");
    }
    assert_eq!(
        rows.len(),
        KEYS.len(),
        "docs/configuration.md has rows for keys that do not exist"
    );
}

/// With every `# key = value` line uncommented the example is a valid file.
#[test]
fn the_example_uncommented_is_the_default() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(root.join("config/game-gateway.toml")).unwrap();
    load_text(&example, &[]).unwrap();
    let set = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if rest.contains(" = ") => rest.to_owned(),
        _ => line.to_owned(),
    };
    let text: Vec<String> = example.lines().map(set).collect();
    let config = load_text(&text.join("\n"), &[]).unwrap();
    assert_eq!(config.listen, Config::default().listen);
    assert_eq!(config.drain, Config::default().drain);
    assert_eq!(config.log, Config::default().log);
}

proptest! {
    #[test]
    fn any_text_never_panics(text in "[a-z.=\\[\\]\"' \n0-9#é]{0,200}") {
        let _ = load_text(&text, &[]);
    }
}
