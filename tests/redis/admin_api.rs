//! Versions of the routing data over the admin API: what is in force, what has changed, and back.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::history::{HISTORY, history, routes, well};
use crate::stage::{
    REALMS, RULES, documented_user, game_at, named, notify, ready, set_rules, until_at,
    until_ready_says, wait_for_subscriber,
};
use crate::support::health::Health;
use crate::support::redis::RedisServer;
use crate::support::wire::{Gateway, ask, get, soon};
use crate::terminal::document;

const TOKENS: &str = r#"[{"name": "wall", "role": "read", "token": "look"},
                         {"name": "anna", "role": "operate", "token": "touch"}]"#;

async fn json_of(gateway: &Gateway, path: &str) -> Value {
    let (status, body) = get(gateway.admin, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

async fn roll_back(gateway: &Gateway, body: &Value) -> (u16, Value) {
    let line = "POST /api/v1/routes/rollback";
    let (status, answer) = ask(gateway.admin, line, &body.to_string()).await;
    (status, serde_json::from_str(&answer).expect("JSON"))
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_default()
}

/// Waits until the routes in force have been told so.
async fn until_recorded(gateway: &Gateway, number: Value) -> Value {
    soon(async {
        loop {
            let routes = json_of(gateway, "/api/v1/routes").await;
            if routes["recorded"]["number"] == number {
                return routes;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_gateway_knows_whose_version_is_in_force_and_what_it_has_changed() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    well(&redis, &["set", "-", "--author", "anna"], &document(a));
    let gateway = ready(&redis.url(), &[]).await;
    wait_for_subscriber(&redis);
    let routes = until_recorded(&gateway, json!(1)).await;
    assert_eq!(routes["recorded"]["author"], "anna");
    assert_eq!(routes["is_current"], true);
    let set = ["set", "-", "--author", "bob", "-m", "season 3"];
    well(&redis, &set, &document(b));
    until_recorded(&gateway, json!(2)).await;
    // In another way: nobody knows who.
    redis.command(&["HSET", REALMS, "2", &a.to_string()]);
    redis.command(&["PUBLISH", &format!("{REALMS}:notify"), "the old script"]);
    let routes = until_recorded(&gateway, Value::Null).await;
    assert_eq!(
        (&routes["realms_total"], &routes["is_current"]),
        (&json!(2), &json!(true))
    );

    let all = json_of(&gateway, "/api/v1/routes/history").await;
    let [third, second, first] = &all["changes"].as_array().expect("changes")[..] else {
        panic!("{all}");
    };
    assert_eq!(
        (&first["because"], &first["difference"]),
        (&json!("connected"), &Value::Null)
    );
    assert_eq!(second["by"], "routes set by bob");
    assert_eq!(
        (&second["recorded"], &second["message"]),
        (&json!(2), &json!("season 3"))
    );
    let rules = &second["difference"]["rules"];
    assert_eq!(
        (&rules["changed"], &rules["first"][0]["name"]),
        (&json!(1), &json!("game"))
    );
    assert_eq!(
        (&third["by"], &third["recorded"]),
        (&json!("the old script"), &Value::Null)
    );
    let added = json!({"kind": "added", "name": "2", "detail": a.to_string()});
    let realms = json!({"added": 1, "removed": 0, "changed": 0, "first": [added]});
    assert_eq!(third["difference"]["realms"], realms);
    let numbers: Vec<&Value> = (0..2).map(|n| &all["versions"][n]["number"]).collect();
    assert_eq!(numbers, [2, 1]);
    let one = json_of(&gateway, "/api/v1/routes/history?limit=1").await;
    assert_eq!(one["changes"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["versions"].as_array().map(Vec::len), Some(1));
    let (status, _) = get(gateway.admin, "/api/v1/routes/history?limit=0").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn what_is_newer_and_refused_is_named_with_its_writer() {
    let a = named("a").await;
    let mut redis = RedisServer::start();
    well(&redis, &["set", "-"], &document(a));
    let gateway = ready(&redis.url(), &[]).await;
    wait_for_subscriber(&redis);
    set_rules(&redis, "not JSON");
    notify(&redis);
    until_ready_says(&gateway, "invalid JSON").await;
    let routes = json_of(&gateway, "/api/v1/routes").await;
    assert_eq!(
        (&routes["is_current"], &routes["error_by"]),
        (&json!(false), &json!("changed"))
    );
    assert_eq!(routes["recorded"]["number"], 1, "still in force");
    redis.stop("KILL");
    until_ready_says(&gateway, "refused").await;
    let routes = json_of(&gateway, "/api/v1/routes").await;
    assert_eq!(routes["is_current"], Value::Null);
    let (status, answer) = roll_back(&gateway, &json!({"version": 1})).await;
    assert_eq!(
        (status, code(&answer)),
        (503, "redis_unavailable"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_operator_puts_a_version_back() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    well(&redis, &["set", "-"], &document(a));
    well(&redis, &["set", "-"], &document(b));
    let gateway = ready(&redis.url(), &[]).await;
    wait_for_subscriber(&redis);
    let (status, answer) = roll_back(&gateway, &json!({"version": 1, "dry_run": true})).await;
    assert_eq!(
        (status, &answer["written"]),
        (200, &Value::Null),
        "{answer}"
    );
    assert_eq!(answer["difference"]["realms"]["changed"], 1);
    assert_eq!(history(&redis)["current"], 2);
    let wish = json!({"version": 1, "message": "wrong host", "if_version": 2});
    let (status, answer) = roll_back(&gateway, &wish).await;
    assert_eq!(
        (status, &answer["written"]["number"]),
        (201, &json!(3)),
        "{answer}"
    );
    until_at(&gateway, "a").await;
    let newest = &history(&redis)["versions"][0];
    assert_eq!(
        (&newest["origin"], &newest["message"]),
        (&json!("rollback"), &json!("wrong host"))
    );
    let author = newest["author"].as_str().expect("an author");
    assert!(
        author.starts_with("127.0.0.1:") && author.ends_with(" over gw-test"),
        "{author}"
    );
    let (status, answer) = roll_back(&gateway, &json!({"version": 1})).await;
    assert_eq!(
        (status, &answer["written"]),
        (200, &Value::Null),
        "nothing to do"
    );

    for (wish, expected, its_code) in [
        (json!({"version": 9}), 404, "not_found"),
        (json!({"version": 2, "if_version": 2}), 409, "conflict"),
        (json!({"version": 0}), 400, "bad_request"),
        (json!({"version": "1"}), 400, "bad_request"),
        (json!({"version": 1, "when": "now"}), 400, "bad_request"),
        (
            json!({"version": 1, "message": "m".repeat(501)}),
            400,
            "bad_request",
        ),
        (json!({}), 400, "bad_request"),
    ] {
        let (status, answer) = roll_back(&gateway, &wish).await;
        assert_eq!(
            (status, code(&answer)),
            (expected, its_code),
            "{wish}: {answer}"
        );
    }
    redis.command(&["SET", &format!("{HISTORY}:2"), "not gzip"]);
    let (status, answer) = roll_back(&gateway, &json!({"version": 2})).await;
    assert_eq!((status, code(&answer)), (409, "conflict"), "{answer}");
    assert_eq!(history(&redis)["current"], 3);
}

#[tokio::test]
async fn a_rollback_takes_a_role_and_rights_in_redis() {
    let a = named("a").await;
    let redis = RedisServer::start();
    well(&redis, &["set", "-"], &document(a));
    well(&redis, &["set", "-"], r#"{"rules":{}}"#);
    redis.command(&documented_user("gateway"));
    let url = redis.url().replace("//", "//gateway:secret@");
    let gateway = ready(&url, &[("admin.tokens", TOKENS)]).await;
    let asked = |token: &'static str| async move {
        let line = "POST /api/v1/routes/rollback";
        with_token(gateway.admin, line, token, r#"{"version": 1}"#).await
    };
    let (wall, anna, nobody) = (asked("look").await, asked("touch").await, asked("x").await);
    assert!(nobody.starts_with("HTTP/1.1 401 "), "{nobody}");
    assert!(wall.starts_with("HTTP/1.1 403 "), "{wall}");
    assert!(
        anna.starts_with("HTTP/1.1 503 ") && anna.contains("NOPERM"),
        "{anna}"
    );
    assert_eq!(history(&redis)["current"], 2);
    // The history is there to be read.
    let shown = with_token(gateway.admin, "GET /api/v1/routes/history", "look", "").await;
    assert!(
        shown.starts_with("HTTP/1.1 200 ") && shown.contains("\"number\":2"),
        "{shown}"
    );
    let mut more = documented_user("gateway");
    more.extend(["~game-gateway:*", "+set", "+del", "+hset", "+publish"]);
    redis.command(&more);
    let anna = with_token(
        gateway.admin,
        "POST /api/v1/routes/rollback",
        "touch",
        r#"{"version": 1}"#,
    )
    .await;
    assert!(anna.starts_with("HTTP/1.1 201 "), "{anna}");
    until_at(&gateway, "a").await;
    let author = history(&redis)["versions"][0]["author"].clone();
    assert!(
        author
            .as_str()
            .is_some_and(|by| by.starts_with("anna at 127.0.0.1:")),
        "{author}"
    );
}

async fn with_token(admin: SocketAddr, line: &str, token: &str, body: &str) -> String {
    let token = format!("Authorization: Bearer {token}\r\n");
    soon(exchange(admin, line, &token, body)).await
}

/// Sends a request; returns all that comes back.
async fn exchange(admin: SocketAddr, line: &str, header: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = tokio::net::TcpStream::connect(admin)
        .await
        .expect("connected");
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn routes_in_a_file_have_a_history_and_no_rollback() {
    let a = named("a").await;
    let gateway = Gateway::start(&format!(r#"{{"rules":{}}}"#, game_at(a))).await;
    let all = json_of(&gateway, "/api/v1/routes/history").await;
    assert_eq!(
        (&all["changes"][0]["because"], &all["versions"]),
        (&json!("start"), &json!([]))
    );
    let (status, answer) = roll_back(&gateway, &json!({"version": 1})).await;
    assert_eq!((status, code(&answer)), (409, "conflict"), "{answer}");
}

/// A large map is compared and put back while `/health` is answered, and an answer has its bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_thousand_realms_are_put_back_without_a_missed_health() {
    let map = |port: u16| {
        let one = |id: u32| format!("\"{id}\":\"10.0.{}.1:{port}\"", id % 200);
        let all: Vec<String> = (1..=300_000).map(one).collect();
        let all = all.join(",");
        format!(r#"{{"rules":{{"game":{{"strategy":"realm_based"}}}},"realms":{{{all}}}}}"#)
    };
    let redis = RedisServer::start();
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("gateway.toml");
    // A debug build on a busy machine sends slowly.
    std::fs::write(&config, "redis.timeout = \"60s\"\n").expect("written");
    let config = config.display().to_string();
    for port in [1, 2] {
        let set = ["set", "-", "--config", &config];
        let (code, _, said) = routes(&redis, &set, &map(port));
        assert_eq!(code, 0, "{said}");
    }
    let keys = [("redis.timeout", "60s"), ("backend.probe_interval", "0s")];
    let gateway = ready(&redis.url(), &keys).await;
    until_recorded(&gateway, json!(2)).await;
    let health = Health::watch(gateway.admin);
    // Not within the time of other answers: that is for small data.
    let limit = std::time::Duration::from_secs(120);
    let line = "POST /api/v1/routes/rollback";
    let rolling = exchange(gateway.admin, line, "", r#"{"version": 1}"#);
    let answer = tokio::time::timeout(limit, rolling)
        .await
        .expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(answer.len() < 64 * 1024, "{} bytes", answer.len());
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let answer: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(answer["difference"]["realms"]["changed"], 300_000);
    until_recorded(&gateway, json!(3)).await;
    let all = json_of(&gateway, "/api/v1/routes/history").await;
    let realms = &all["changes"][0]["difference"]["realms"];
    assert_eq!(
        (&realms["changed"], realms["first"].as_array().map(Vec::len)),
        (&json!(300_000), Some(20))
    );
    let (answers, longest) = health.end().await;
    assert!(answers > 1, "nobody asked");
    println!("{answers} answers of /health, the slowest after {longest:?}");
    assert_eq!(redis.command(&["HGET", REALMS, "1"]).text(), "10.0.1.1:1");
    assert!(
        redis
            .command(&["GET", RULES])
            .text()
            .contains("realm_based")
    );
}
