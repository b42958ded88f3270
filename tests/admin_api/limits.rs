//! `/api/v1/limits`.

use game_gateway::config;
use serde_json::{Value, json};

use crate::http::{Answer, get, request, send};
use crate::support::wire::{Backend, Gateway, Player, soon};
use crate::terminal::{run, serve};

const LIMITS: &str = "/api/v1/limits";
const PER_IP: &str = "limits.connections_per_ip";

async fn gateway() -> Gateway {
    let backend = Backend::start().await;
    Gateway::start(&backend.routes()).await
}

async fn patch(gateway: &Gateway, body: &str) -> Answer {
    send(gateway.admin, &format!("PATCH {LIMITS}"), body).await
}

async fn limit(gateway: &Gateway, key: &str) -> Value {
    get(gateway.admin, LIMITS).await.json()["limits"][key].clone()
}

async fn values(gateway: &Gateway) -> Value {
    let mut answer = get(gateway.admin, LIMITS).await.json();
    let limits = answer["limits"].as_object_mut().expect("limits");
    limits
        .values_mut()
        .map(|limit| limit["value"].take())
        .collect()
}

#[tokio::test]
async fn seats_are_in_force_as_far_as_there_are_files() {
    let gateway = gateway().await;
    let wanted = 1_000_000_000_000_u64;
    let body = json!({"values": {"listen.max_connections": wanted}});
    let answer = patch(&gateway, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seats = limit(&gateway, "listen.max_connections").await;
    assert_eq!(seats["lowered_by"], "open files", "{seats}");
    let in_force = gateway.metric("game_gateway_connections_limit").await;
    assert_eq!(seats["value"], in_force.to_string(), "{seats}");
    assert_eq!(limit(&gateway, PER_IP).await["lowered_by"], Value::Null);
}

#[tokio::test]
async fn a_change_is_in_force_and_is_taken_back() {
    let gateway = gateway().await;
    let body = json!({"values": {PER_IP: 1, "limits.deny": ["192.0.2.0/24", "198.51.100.7"]},
        "for": "1h", "reason": "flood"});
    let answer = patch(&gateway, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let limit_now = limit(&gateway, PER_IP).await;
    assert_eq!(
        (&limit_now["value"], &limit_now["configured"]),
        (&json!("1"), &json!("0"))
    );
    let change = &limit_now["change"];
    assert_eq!(change["reason"], "flood");
    assert!(
        change["by"]
            .as_str()
            .is_some_and(|by| by.starts_with("127.0.0.1:")),
        "{change}"
    );
    assert!(
        matches!(change["remaining_seconds"].as_u64(), Some(3500..=3600)),
        "{change}"
    );
    let config = get(gateway.admin, "/api/v1/config").await.json();
    assert_eq!(
        (&config[PER_IP]["value"], &config[PER_IP]["changed"]),
        (&json!("1"), &json!(true))
    );
    assert_eq!(config["limits.patience"]["changed"], false);

    let first = Player::connect(&gateway).await;
    gateway.until("game_gateway_connections", |n| n == 1).await;
    let mut second = Player::connect(&gateway).await;
    second.data("game", b"hello").await;
    assert_eq!(second.closed().await.0, 429);
    // Of two of them one is as configured again.
    let answer = patch(&gateway, &json!({"values": {PER_IP: null}}).to_string()).await;
    assert_eq!(answer.json()["limits"][PER_IP]["change"], json!(null));
    assert_eq!(
        limit(&gateway, "limits.deny").await["value"],
        "192.0.2.0/24,198.51.100.7/32"
    );
    let answer = request(gateway.admin, &format!("DELETE {LIMITS}"), &[], "").await;
    assert_eq!(answer.json()["limits"]["limits.deny"]["value"], "");
    drop(first);
}

#[tokio::test]
async fn every_mistake_is_named_and_nothing_changes() {
    let gateway = gateway().await;
    let before = values(&gateway).await;
    for (body, messages) in [
        ("", &["the body is missing"][..]),
        ("{}", &["values: missing"]),
        (r#"{"values": {}}"#, &["values: none are named"]),
        (r#"{"values": null}"#, &["values: not an object"]),
        (
            r#"{"values": ["limits.patience"]}"#,
            &["values: not an object"],
        ),
        (
            r#"{"limits.patience": "1s"}"#,
            &["unknown field `limits.patience`"],
        ),
        (
            r#"{"values": {"limits.patience": true, "limits.deny": [1], "limits.max_bans": -1, "limits.memory": {}}}"#,
            &[
                "limits.patience: `true`",
                "limits.deny: `[1]`",
                "limits.max_bans: `-1`",
                "limits.memory: `{}`",
            ],
        ),
        (
            r#"{"values": {"limits.patience": "soon", "limits.deny": "10.0.0.1/8", "limits.ipv6_prefix": 0,
                "limits.connections_per_ip": 99999999999999999999, "limits.max_bans": 7}}"#,
            &["limits.connections_per_ip: "],
        ),
        (
            r#"{"values": {"limits.patience": "soon", "limits.deny": "10.0.0.1/8", "limits.ipv6_prefix": 0,
                "limits.memory": "1KiB", "limits.max_bans": 7}}"#,
            &[
                "limits.patience: ",
                "limits.deny: ",
                "limits.ipv6_prefix",
                "limits.memory",
            ],
        ),
        (
            r#"{"values": {"limits.nothing": "1", "listen.max_payload": "1", "gateway.id": "x", "admin.token": "y",
                "listen.http.trusted_proxies": "::/0"}}"#,
            &[
                "limits.nothing: ",
                "listen.max_payload: ",
                "gateway.id: ",
                "admin.token: ",
                "listen.http.trusted_proxies: ",
            ],
        ),
        (
            r#"{"values": {"limits.max_bans": 7}, "for": "0s"}"#,
            &["for: `0s` is no time"],
        ),
        (
            r#"{"values": {"limits.max_bans": 7}, "reason": 7}"#,
            &["reason: `7` is not a text"],
        ),
    ] {
        let said = patch(&gateway, body).await.error(400, "bad_request");
        for message in messages {
            assert!(said.contains(message), "{body}: {said}");
        }
        assert!(!said.contains("limits.max_bans: must"), "{said}");
    }
    assert_eq!(values(&gateway).await, before);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let gateway = gateway().await;
    let before = values(&gateway).await;
    let networks = "10.0.0.0/8,".repeat(2000);
    let huge = json!({"values": {"limits.deny": networks}}).to_string();
    patch(&gateway, &huge).await.error(413, "too_large");
    assert_eq!(values(&gateway).await, before);
}

#[tokio::test]
async fn it_takes_the_role_to_operate() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        let tokens = r#"[{"name": "eve", "role": "read", "token": "eve-secret"},
            {"name": "olga", "role": "operate", "token": "olga-secret"}]"#;
        config.admin.tokens = tokens.parse().expect("tokens");
    })
    .await;
    let ask = async |method: &str, name: &str, body: &str| {
        let authorization = format!("Authorization: Bearer {name}-secret");
        let headers = [&*authorization, "Content-Type: application/json"];
        request(gateway.admin, &format!("{method} {LIMITS}"), &headers, body).await
    };
    let body = r#"{"values": {"limits.max_bans": 7}}"#;
    for (method, body) in [("GET", ""), ("PATCH", body), ("DELETE", "")] {
        ask(method, "nobody", body).await.error(401, "unauthorized");
    }
    ask("PATCH", "eve", body).await.error(403, "forbidden");
    ask("DELETE", "eve", "").await.error(403, "forbidden");
    assert_eq!(
        ask("GET", "eve", "").await.json()["limits"]["limits.max_bans"]["value"],
        "4096"
    );
    let answer = ask("PATCH", "olga", body).await.json();
    let by = answer["limits"]["limits.max_bans"]["change"]["by"]
        .as_str()
        .expect("who");
    assert!(by.starts_with("olga at 127.0.0.1:"), "{by}");
}

#[tokio::test]
async fn a_change_ends_by_itself_and_the_file_wins_for_what_it_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("gateway.toml");
    std::fs::write(&file, "").expect("written");
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        let loaded = config::load(Some(&file), std::iter::empty()).expect("it is good");
        config.file = loaded.file;
    })
    .await;
    let answer = patch(
        &gateway,
        r#"{"values": {"limits.max_bans": 7}, "for": "1ms"}"#,
    )
    .await;
    assert_eq!(answer.status, 200);
    soon(async {
        while limit(&gateway, "limits.max_bans").await["value"] != "4096" {
            crate::support::wire::look_again().await;
        }
    })
    .await;

    let body = json!({"values": {PER_IP: 5, "limits.max_bans": 7}});
    assert_eq!(patch(&gateway, &body.to_string()).await.status, 200);
    std::fs::write(&file, format!("{PER_IP} = 3")).expect("written");
    gateway.reload();
    soon(async {
        while limit(&gateway, PER_IP).await["configured"] != "3" {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    let file_won = limit(&gateway, PER_IP).await;
    assert_eq!(
        (&file_won["value"], &file_won["change"]),
        (&json!("3"), &json!(null))
    );
    assert_eq!(limit(&gateway, "limits.max_bans").await["value"], "7");
}

#[test]
fn the_command_shows_changes_and_takes_back() {
    let tokens = r#"admin.tokens = [{name = "eve", role = "read", token = "eve-secret"},
        {name = "olga", role = "operate", token = "olga-secret"}]"#;
    let served = serve(tokens, r#"{"rules": {}}"#);
    let limits = |name: &str, words: &[&str]| {
        let (url, token) = (served.url(), format!("{name}-secret"));
        run(&[&["--url", &url, "--token", &token, "limits"], words].concat())
    };
    let row = |name: &str| {
        let (code, table, said) = limits(name, &[]);
        assert_eq!(code, 0, "{said}");
        let row = table.lines().find(|line| line.starts_with(PER_IP));
        let cells = row.expect("a row").split_whitespace().map(str::to_owned);
        cells.skip(1).collect::<Vec<_>>()
    };
    assert_eq!(row("eve"), ["0", "0", "-", "-", "-"]);
    let per_ip = format!("{PER_IP}=20");
    for words in [&[&*per_ip][..], &["--reset"]] {
        let (code, out, said) = limits("eve", words);
        assert_eq!((code, &*out), (1, ""), "{said}");
        assert!(said.contains("(403)"), "{said}");
    }
    let (code, table, said) = limits(
        "olga",
        &[
            &per_ip,
            "limits.patience=3s",
            "--for",
            "1h",
            "--reason",
            "a flood",
        ],
    );
    assert_eq!(code, 0, "{said}");
    assert!(
        table.starts_with("KEY ") && table.contains("olga at 127.0.0.1:"),
        "{table}"
    );
    assert!(table.contains("a flood"), "{table}");
    assert_eq!(row("eve")[..2], ["20", "0"]);
    let (code, _, said) = limits(
        "olga",
        &[
            "limits.patience=soon",
            "limits.nothing=1",
            "limits.max_bans=9",
        ],
    );
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(
        said.contains("limits.patience: ") && said.contains("limits.nothing: "),
        "{said}"
    );
    let (code, table, said) = limits("olga", &[&format!("{PER_IP}=")]);
    assert_eq!(code, 0, "{said}");
    assert!(table.contains("3s") && !table.contains(" 9 "), "{table}");
    assert_eq!(row("eve"), ["0", "0", "-", "-", "-"]);
    let (code, table, said) = limits("olga", &["--reset"]);
    assert_eq!(code, 0, "{said}");
    assert!(!table.contains("olga"), "{table}");
}

#[test]
fn bad_usage_of_the_command_is_2() {
    for words in [
        &["limits.max_bans"][..],
        &["--for", "1h"],
        &["--reason", "x"],
        &["limits.max_bans=7", "--reset"],
        &["limits.max_bans=7", "--for", "soon"],
        &["limits.max_bans=7", "--watch"],
    ] {
        let (code, out, said) = run(&[&["limits"], words].concat());
        assert_eq!((code, &*out), (2, ""), "{words:?}: {said}");
    }
}
