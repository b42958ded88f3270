//! `/api/v1/refusals`: why players are turned away.

use game_gateway::codec::client::Header;
use serde_json::{Value, json};

use crate::http::{get, request};
use crate::support::wire::{Backend, Gateway, Player};
use crate::terminal::serve;

const ROUTES: &str = r#"{"rules": {"zone": {"strategy": "realm_based"},
    "closed": {"strategy": "round_robin", "endpoints": ["127.0.0.1:1"], "require_bind": true}}, "realms": {}}"#;

async fn groups(gateway: &Gateway, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/refusals{query}");
    let mut page = get(gateway.admin, &path).await.json();
    let groups = page["refusals"].take();
    let Value::Array(groups) = groups else {
        panic!("{page}");
    };
    groups
}

/// Sends a frame that is refused; returns the player's port.
async fn refused(player: &mut Player, service: &str, realm_id: u32, user_id: u64, code: u16) {
    let header = Header {
        realm_id,
        user_id,
        ..Header::default()
    };
    player.send(header, service, b"hello").await;
    assert_eq!(player.error().await.0, code);
}

#[tokio::test]
async fn why_do_users_of_realm_7_get_404() {
    let gateway = Gateway::start(ROUTES).await;
    assert_eq!(groups(&gateway, "").await, [] as [Value; 0]);
    let mut first = Player::connect(&gateway).await;
    let mut last = Player::connect(&gateway).await;
    refused(&mut first, "zone", 7, 4711, 404).await;
    refused(&mut first, "zone", 7, 4711, 404).await;
    refused(&mut last, "zone", 7, 4712, 404).await;
    refused(&mut last, "closed", 7, 4712, 401).await;
    let mut other = Player::connect(&gateway).await;
    refused(&mut other, "zone", 8, 9, 404).await;
    let found = groups(&gateway, "?realm_id=7&code=404").await;
    let [group] = &found[..] else {
        panic!("{found:?}");
    };
    let client = format!("127.0.0.1:{}", last.local_port());
    for (member, expected) in [
        ("code", json!(404)),
        ("reason", json!("no such realm")),
        ("service", json!("zone")),
        ("realm_id", json!(7)),
        ("count", json!(3)),
        ("last_user_id", json!("4712")),
        ("last_client", json!(client)),
    ] {
        assert_eq!(group[member], expected, "{member}");
    }
    let second = |member: &str| group[member].as_u64().expect("seconds");
    assert!(second("first_seconds") > 1_700_000_000);
    assert!(second("last_seconds") >= second("first_seconds"));
    for (query, count) in [
        ("", 3),
        ("?service=zone", 2),
        ("?service=closed", 1),
        ("?code=404", 2),
        ("?realm_id=8", 1),
        ("?realm_id=0", 0),
        ("?code=500", 0),
        ("?limit=1", 1),
    ] {
        assert_eq!(groups(&gateway, query).await.len(), count, "{query}");
    }
    let page = get(gateway.admin, "/api/v1/refusals?limit=1").await.json();
    assert_eq!(
        (&page["groups"], &page["forgotten_groups"]),
        (&json!(3), &json!(0))
    );
}

#[tokio::test]
async fn connections_and_http_requests_are_refused_too() {
    let gateway = Gateway::start_with(ROUTES, |config| {
        config.limits.connections_per_ip = 1;
    })
    .await;
    let mut player = Player::connect(&gateway).await;
    player.raw(b"\xa7\x47\x07").await;
    assert_eq!(player.closed().await.0, 400);
    drop(player);
    gateway
        .until("game_gateway_connections", |open| open == 0)
        .await;
    for (line, status) in [
        ("POST /zone", 404),
        ("POST /no/service", 404),
        ("GET /zone", 405),
    ] {
        let answer = request(gateway.players, line, &["X-Realm-Id: 7"], "x").await;
        assert_eq!(answer.status, status, "{line}");
        gateway
            .until("game_gateway_connections", |open| open == 0)
            .await;
    }
    let first = Player::connect(&gateway).await;
    gateway
        .until("game_gateway_connections", |open| open == 1)
        .await;
    let mut second = Player::connect(&gateway).await;
    second.data("zone", b"hello").await;
    assert_eq!(second.closed().await.0, 429);
    drop(first);
    let found = groups(&gateway, "").await;
    for (code, reason, service, realm) in [
        (400, "bad_version", "", 0),
        (404, "no such realm", "zone", 7),
        (404, "the path is not the name of a service", "", 0),
        (405, "not for this method", "", 0),
        (429, "address_rate", "", 0),
    ] {
        let is_it = |group: &&Value| {
            group["code"] == code
                && group["reason"] == reason
                && group["service"] == service
                && group["realm_id"] == realm
        };
        let group = found.iter().find(is_it);
        let group = group.unwrap_or_else(|| panic!("no {code} {reason}: {found:?}"));
        assert_eq!(group["count"], 1, "{group}");
    }
    assert_eq!(found.len(), 5, "{found:?}");
}

/// A service name for each frame makes no entry for each, and what gives way is counted.
#[tokio::test]
async fn a_flood_of_names_is_bounded() {
    let gateway = Gateway::start(ROUTES).await;
    let (turns, names) = (100_u64, 7_u64);
    for turn in 0..turns {
        let mut player = Player::connect(&gateway).await;
        for name in 0..names {
            refused(&mut player, &format!("x{turn}-{name}"), 0, 0, 404).await;
        }
    }
    let mut player = Player::connect(&gateway).await;
    refused(&mut player, "zone", 7, 4711, 404).await;
    let page = get(gateway.admin, "/api/v1/refusals?limit=1000").await;
    let page = page.json();
    let listed = page["refusals"].as_array().expect("groups");
    assert_eq!(listed.len() as u64, page["groups"]);
    assert!(listed.len() < 300, "{}", listed.len());
    let counts = listed.iter().map(|group| group["count"].as_u64());
    let counted: u64 = counts.map(|count| count.expect("a count")).sum();
    let forgotten = page["forgotten_refusals"].as_u64().expect("a count");
    assert_eq!(counted + forgotten, turns * names + 1);
    assert!(listed.iter().any(|group| group["realm_id"] == 7));
    let newest = groups(&gateway, "?realm_id=7&limit=1").await;
    assert_eq!(newest[0]["last_user_id"], "4711");
    let memory = get(gateway.admin, "/api/v1/memory").await.json();
    let held = memory["parts"]["history"].as_u64().expect("bytes");
    assert!((1..256 * 1024).contains(&held), "{held}");
}

#[tokio::test]
async fn refusals_from_a_terminal() {
    let served = serve("", ROUTES);
    assert!(served.says(&["refusals"]).starts_with("CODE "));
    let mut player = Player::connect_to(served.players).await;
    refused(&mut player, "zone", 7, 4711, 404).await;
    let table = served.says(&["refusals", "--realm-id", "7", "--code", "404"]);
    let row = table.lines().nth(1).expect("a row");
    assert!(
        row.contains("no such realm") && row.contains("4711"),
        "{table}"
    );
    let none = served.json(&["refusals", "--service", "closed", "--limit", "3"]);
    assert_eq!(none["refusals"], json!([]));
    let said = served.fails(&["refusals", "--service", "NO"]);
    assert!(said.starts_with("service: `NO` is not"), "{said}");
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached_is_a_refusal() {
    let backend = Backend::start().await;
    let routes = backend.routes();
    drop(backend);
    let gateway = Gateway::start(&routes).await;
    let mut player = Player::connect(&gateway).await;
    refused(&mut player, "game", 0, 4711, 502).await;
    let found = groups(&gateway, "?code=502&service=game").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["last_user_id"], "4711");
}
