//! The answers of each endpoint, as far as they do not depend on sessions.

use std::time::Duration;

use game_gateway::config::Secret;
use game_gateway::session::trace_id::TraceId;
use serde_json::json;

use crate::http::{get, request};
use crate::support::wire::{Backend, Gateway, Player};

/// GET requests that a gateway answers with 200 right after its start.
const PATHS: [&str; 16] = [
    "/",
    "/health",
    "/ready",
    "/metrics",
    "/api/v1/info",
    "/api/v1/actors",
    "/api/v1/actors?kind=link&limit=1000&cursor=1",
    "/api/v1/sessions?limit=1&service=game&realm_id=4294967295&user_id=18446744073709551615\
     &backend=[::1]:9&transport=tcp&state=active&bound=false&address=192.0.2.0/24",
    "/api/v1/top-talkers?by=user&sort=frames_in&limit=1000",
    "/api/v1/refusals?limit=1&code=0&service=game&realm_id=4294967295",
    "/api/v1/backends",
    "/api/v1/routes",
    "/api/v1/drain",
    "/api/v1/config",
    "/api/openapi.json",
    "/api/docs/",
];

#[tokio::test]
async fn every_get_is_a_head_too() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    for path in PATHS {
        let answer = get(gateway.admin, path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let head = request(gateway.admin, &format!("HEAD {path}"), &[], "").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-type"), answer.header("content-type"));
    }
}

#[tokio::test]
async fn probes_metrics_and_info() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let at = gateway.admin;
    let ready = json!({"ready": true, "reasons": [], "routes_error": null});
    assert_eq!(get(at, "/ready").await.json(), ready);
    assert_eq!(get(at, "/health").await.json(), json!({"status": "ok"}));
    let info = get(at, "/api/v1/info").await.json();
    assert_eq!(info["gateway_id"], "gw-test");
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&info["state"], &info["workers"]),
        (&json!("serving"), &json!(1))
    );
    assert!(info["start_time_seconds"].as_u64() > Some(1_700_000_000));
    let metrics = get(at, "/metrics").await.body;
    let families = metrics
        .lines()
        .filter(|line| line.starts_with("# TYPE game_gateway_"));
    assert!(families.count() >= 20);
}

#[tokio::test]
async fn lists_have_their_members() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let at = gateway.admin;
    let actors = get(at, "/api/v1/actors").await.json();
    assert!(
        actors["kinds"].is_array() && actors.get("tree").is_some(),
        "{actors}"
    );
    let links = get(at, "/api/v1/actors?kind=link").await.json();
    assert!(
        links["actors"].is_array() && links.get("next_cursor").is_some(),
        "{links}"
    );
    let sessions = get(at, "/api/v1/sessions").await.json();
    assert_eq!(sessions["next_cursor"], json!(null));
    assert_eq!(
        (&sessions["sessions"], &sessions["silent_workers"]),
        (&json!([]), &json!([]))
    );
    assert!(get(at, "/api/v1/backends").await.json()["backends"].is_array());
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let at = gateway.admin;
    for (line, message) in [
        (
            "GET /api/v1/actors/link-4711",
            "there is no actor link-4711",
        ),
        ("GET /api/v1/sessions/7", "there is no session 7"),
        ("DELETE /api/v1/sessions/7", "there is no session 7"),
        ("GET /api/v1/sessions/gw-test:7", "there is no session 7"),
        ("GET /api/v1/sessions/gw-test%3A7", "there is no session 7"),
        (
            "GET /api/v1/sessions/gw-2:7",
            "session 7 is on gateway gw-2; this one is gw-test",
        ),
        (
            "DELETE /api/v1/sessions/a%2Fb%25:7",
            "session 7 is on gateway a/b%; this one is gw-test",
        ),
        (
            "GET /api/docs/nothing.css",
            "there is no /api/docs/nothing.css",
        ),
    ] {
        let answer = request(at, line, &[], "").await;
        assert_eq!(answer.error(404, "not_found"), message, "{line}");
    }
}

#[tokio::test]
async fn the_rules_in_force_and_why_newer_ones_are_not() {
    let routes = r#"{"rules": {
        "game": {"strategy": "consistent_hash", "hash_key": "realm_id",
                 "endpoints": ["127.0.0.1:1", {"address": "127.0.0.1:2", "weight": 3}]},
        "zone": {"strategy": "realm_based"}}, "realms": {"7": "127.0.0.1:3"}}"#;
    let gateway = Gateway::start(routes).await;
    let answer = get(gateway.admin, "/api/v1/routes").await.json();
    assert_eq!(
        (&answer["version"], &answer["error"]),
        (&json!(1), &json!(null))
    );
    assert!(
        answer["loaded_at_seconds"]
            .as_u64()
            .is_some_and(|at| at > 1_700_000_000)
    );
    assert!(
        answer["source"]
            .as_str()
            .is_some_and(|s| s.ends_with("routes.json")),
        "{answer}"
    );
    // The form of the file: the same text again is the same rules.
    let again = json!({"rules": answer["rules"], "realms": answer["realms"]}).to_string();
    let parse = |text| {
        game_gateway::routing::parse_file(text)
            .expect("routes")
            .data
    };
    assert_eq!(parse(&again), parse(routes));

    gateway.set_routes("{");
    let reasons = async || {
        loop {
            let answer = get(gateway.admin, "/api/v1/routes").await.json();
            if !answer["error"].is_null() {
                return answer;
            }
            crate::support::wire::look_again().await;
        }
    };
    let answer = crate::support::wire::soon(reasons()).await;
    let error = answer["error"].as_str().expect("an error");
    assert!(error.contains("invalid JSON"), "{error}");
    assert_eq!(answer["error_kind"], "mistaken");
    assert!(answer["error_at_seconds"].is_u64(), "{answer}");
    assert_eq!(
        (
            &answer["version"],
            answer["rules"].as_object().map(|r| r.len())
        ),
        (&json!(1), Some(2))
    );
}

#[tokio::test]
async fn where_a_session_would_go() {
    let routes = r#"{"rules": {
        "hash": {"strategy": "consistent_hash", "endpoints": ["127.0.0.1:1", "127.0.0.1:2"]},
        "turn": {"strategy": "round_robin", "endpoints": ["127.0.0.1:1", "127.0.0.1:2"]},
        "one": {"strategy": "round_robin", "endpoints": ["127.0.0.1:1"], "require_bind": true},
        "zone": {"strategy": "realm_based"}}, "realms": {"7": "127.0.0.1:3"}}"#;
    let gateway = Gateway::start(routes).await;
    let at = gateway.admin;
    let resolve = async |query: &str| get(at, &format!("/api/v1/routes/resolve?{query}")).await;
    let hash = resolve("service=hash&user_id=42").await.json();
    assert_eq!(hash["why"], "consistent_hash on user_id 42");
    assert_eq!(hash["candidates"].as_array().map(Vec::len), Some(2));
    for _ in 0..3 {
        assert_eq!(
            resolve("service=hash&user_id=42").await.json()["endpoint"],
            hash["endpoint"]
        );
    }
    let drawn = resolve("service=hash").await.json();
    assert_eq!(drawn["endpoint"], json!(null));
    assert!(
        drawn["why"]
            .as_str()
            .is_some_and(|why| why.contains("drawn when the session starts"))
    );
    let session = resolve("service=hash&session_id=9").await.json();
    assert_eq!(
        session["why"],
        "consistent_hash on session_id 9 (user_id is 0)"
    );
    assert_eq!(
        resolve("service=turn").await.json()["endpoint"],
        json!(null)
    );
    let one = resolve("service=one").await.json();
    assert_eq!(
        (&one["endpoint"], &one["require_bind"]),
        (&json!("127.0.0.1:1"), &json!(true))
    );
    let zone = resolve("service=zone&realm_id=7").await.json();
    assert_eq!(
        (&zone["endpoint"], &zone["strategy"]),
        (&json!("127.0.0.1:3"), &json!("realm_based"))
    );
    for (query, message) in [
        (
            "service=none",
            "no rule for this service; a player would get ERROR 404",
        ),
        (
            "service=zone&realm_id=8",
            "realm 8 is not mapped; a player would get ERROR 404",
        ),
        (
            "service=zone",
            "realm 0 is not mapped; a player would get ERROR 404",
        ),
    ] {
        assert_eq!(resolve(query).await.error(404, "no_route"), message);
    }
}

#[tokio::test]
async fn without_routes_nothing_can_be_resolved() {
    let gateway = Gateway::start_unready("{", |_| ());
    let answer = get(gateway.admin, "/api/v1/routes/resolve?service=game").await;
    assert_eq!(answer.error(503, "no_routes"), "there are no routes yet");
    let routes = get(gateway.admin, "/api/v1/routes").await.json();
    assert_eq!(
        (&routes["version"], &routes["rules"]),
        (&json!(0), &json!({}))
    );
}

#[tokio::test]
async fn the_configuration_without_secrets() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.token = Some(Secret::new("sesame".to_owned()));
        config.drain.window = Duration::from_secs(90);
    })
    .await;
    let answer = get(gateway.admin, "/api/v1/config").await;
    assert!(!answer.body.contains("sesame"));
    let config = answer.json();
    let value = |key: &str| config[key]["value"].clone();
    assert_eq!(value("backend.token"), "***");
    assert_eq!(value("admin.token"), json!(null));
    assert_eq!(value("gateway.id"), "gw-test");
    assert_eq!(
        (value("drain.window"), &config["drain.window"]["default"]),
        (json!("90s"), &json!("30s"))
    );
    for key in game_gateway::config::keys::KEYS {
        assert!(config.get(key.name).is_some(), "{}", key.name);
    }
}

#[tokio::test]
async fn a_gateway_in_a_test_has_no_log_level() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let answer = get(gateway.admin, "/api/v1/log-level").await;
    assert!(
        answer
            .error(501, "not_available")
            .contains("cannot be changed")
    );
    let put = crate::http::send(
        gateway.admin,
        "PUT /api/v1/log-level",
        r#"{"level":"info"}"#,
    )
    .await;
    put.error(501, "not_available");
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let at = gateway.admin;
    let docs = get(at, "/api/docs/").await.body;
    let index = get(at, "/").await.body;
    assert!(index.contains("href=\"/api/docs/\""));
    for page in [&docs, &index] {
        for elsewhere in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
            assert!(!page.contains(elsewhere), "{page}");
        }
    }
    for file in [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-initializer.js",
    ] {
        assert!(docs.contains(file), "{docs}");
        assert_eq!(
            get(at, &format!("/api/docs/{file}")).await.status,
            200,
            "{file}"
        );
    }
    let start = get(at, "/api/docs/swagger-initializer.js").await.body;
    assert!(start.contains("\"url\": \"/api/openapi.json\""), "{start}");
    // Else a validator on the internet would be asked.
    assert!(start.contains("\"validatorUrl\": \"none\""), "{start}");
}

#[tokio::test]
async fn a_player_is_found_and_kicked() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let at = gateway.admin;
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"hello").await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    link.data().await;

    let page = get(at, "/api/v1/sessions?service=game").await.json();
    assert_eq!(page["sessions"][0]["session_id"], id.to_string());
    let others = get(at, "/api/v1/sessions?service=chat").await.json();
    assert_eq!(others["sessions"], json!([]));
    let one = get(at, &format!("/api/v1/sessions/{id}")).await.json();
    assert_eq!(one["global_id"], format!("gw-test:{id}"));
    let trace_id = TraceId::of(id).expect("a session").to_string();
    assert_eq!(one["trace_id"], trace_id);
    let line = format!("DELETE /api/v1/sessions/gw-test:{id}");
    let kicked = request(at, &line, &[], "").await;
    assert_eq!((kicked.status, kicked.body.as_str()), (204, ""));
    assert_eq!(player.closed().await.0, 440);
    assert_eq!(link.closed().await, (id, 440));
    request(at, &line, &[], "").await.error(404, "not_found");
}
