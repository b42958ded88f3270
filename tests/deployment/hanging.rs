//! What a gateway that hangs, or dies, does to those who ask another one for the whole deployment.

use std::process::Command;
use std::time::Duration;

use game_gateway::config::Secret;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::stage::{KEY, backend, get, list, members, player, shown_at, tell, tell_at};
use crate::stopped::Server;
use crate::support::address;
use crate::support::process::Process;
use crate::support::wire::{Gateway, soon};

/// More than read from the whole deployment at a time.
const READERS: usize = 70;
const TURNS: usize = 64;

#[tokio::test]
async fn readers_who_wait_for_a_gateway_are_not_in_the_way_of_what_concerns_this_one_alone() {
    let (_backend, routes) = backend().await;
    let addresses = [address::fixed(), address::fixed()];
    let c = Server::start_with("gw-c", addresses[1], &addresses, &routes, "30s");
    let a = Gateway::start_with(&routes, |config| {
        config.gateway.id = "gw-a".to_owned();
        config.session.token_keys = vec![Secret::new(KEY.to_owned())];
        config.backend.connect_timeout = Duration::from_secs(30);
        config.peer.address = Some(addresses[0]);
        config.peer.gateways = list(&addresses).parse().expect("gateways");
        config.peer.channel.patience = Duration::from_secs(25);
    })
    .await;
    let path = "/api/v1/gateways";
    let (_, listed) = get(&a, path).await;
    assert_eq!(members(&listed, "gateways", "answered"), [true, true]);
    c.process.signal("STOP");
    let (answered, mut answers) = mpsc::unbounded_channel();
    for _ in 0..READERS {
        let (admin, answered) = (a.admin, answered.clone());
        tokio::spawn(async move {
            let answer = shown_at(admin, &format!("GET {path}"), "Accept: */*", "").await;
            answered.send(answer).expect("the test waits");
        });
    }
    // All turns are taken: one more is told so.
    for _ in TURNS..READERS {
        let (head, body) = soon(answers.recv()).await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert!(
            head.to_ascii_lowercase().contains("retry-after: 1"),
            "{head}"
        );
        assert!(body.contains("\"busy\""), "{body}");
    }
    assert_eq!(get(&a, "/api/v1/info").await.0, 200);
    assert_eq!(tell(&a, "DELETE /api/v1/sessions/1", "").await.0, 404);
    assert_eq!(tell(&a, "DELETE /api/v1/bans/user-9", "").await.0, 404);
    c.process.signal("CONT");
    for _ in 0..TURNS {
        let (head, body) = soon(answers.recv()).await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let listed: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(members(&listed, "gateways", "answered"), [true, true]);
    }
}

/// Each change is followed by its contrary. The gateway that hangs is given up meanwhile, and dialled anew.
#[tokio::test]
async fn a_gateway_that_is_back_does_not_make_changes_that_others_have_followed() {
    let (backend, routes) = backend().await;
    let addresses = [address::fixed(), address::fixed()];
    let start = |id, own: usize| Server::start_with(id, addresses[own], &addresses, &routes, "1s");
    let (a, c) = (start("gw-a", 0), start("gw-c", 1));
    a.all_answer().await;
    let state = format!("/api/v1/backends/{}/state", backend.address());
    let (level, bans) = ("/api/v1/log-level", "/api/v1/bans");
    let before = tell_at(c.admin, &format!("GET {level}"), "").await.1;
    let change = async |method: &str, path: &str, body: &str| {
        let line = format!("{method} {path}?deployment=true");
        tell_at(a.admin, &line, body).await.1
    };
    c.process.signal("STOP");
    for (method, path, body) in [
        ("PUT", level, r#"{"level": "debug"}"#),
        ("PUT", &state, r#"{"state": "drain"}"#),
        ("POST", bans, r#"{"user_id": "99"}"#),
        ("DELETE", "/api/v1/bans/user-99", ""),
        ("PUT", &state, r#"{"state": "ready"}"#),
        ("PUT", level, r#"{"level": "info"}"#),
    ] {
        let answer = change(method, path, body).await;
        assert_eq!(answer["gateways"][1]["answered"], false, "{answer}");
    }
    c.process.signal("CONT");
    a.all_answer().await;
    let now = async |path: &str| tell_at(c.admin, &format!("GET {path}"), "").await.1;
    assert_eq!(now(level).await, before);
    assert_eq!(now(&state).await["state"], "ready");
    assert_eq!(now(bans).await["bans"], json!([]));
    // Asked again, it does.
    let again = async {
        while change("PUT", level, r#"{"level": "debug"}"#).await["answered"] != 2 {
            crate::support::wire::look_again().await;
        }
        now(level).await
    };
    assert_eq!(soon(again).await["level"], "debug");
}

#[tokio::test]
async fn a_trace_of_all_gateways_says_which_one_has_fallen_silent() {
    let (_backend, routes) = backend().await;
    let addresses = [address::fixed(), address::fixed()];
    let start = |id, own: usize| Server::start_with(id, addresses[own], &addresses, &routes, "30s");
    let (a, c) = (start("gw-a", 0), start("gw-c", 1));
    a.all_answer().await;
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" admin \"$@\" 2>&1"])
        .args([env!("CARGO_BIN_EXE_game-gateway"), "--url"])
        .arg(format!("http://{}", a.admin))
        .args(["trace", "--address", "127.0.0.1", "--deployment"]);
    for variable in ["GATEWAY_ADMIN_TOKEN", "GATEWAY__ADMIN__TOKEN"] {
        command.env_remove(variable);
    }
    let mut tracing = Process::spawn(&mut command);
    let begun = async {
        let traces = async || tell_at(c.admin, "GET /api/v1/traces", "").await.1;
        while traces().await["traces"] == json!([]) {
            crate::support::wire::look_again().await;
        }
    };
    soon(begun).await;
    let _player = player(c.players, 4711).await;
    while !tracing.wait_for_line("").contains(" gw-c:") {}
    let missing = "warning: events of gw-c are missing: ";
    c.process.signal("STOP");
    let why = tracing.wait_for_line(missing);
    assert!(why.starts_with("it has not answered in time"), "{why}");
    c.process.signal("CONT");
    tracing.wait_for_line("gw-c tells again what it has traced");
    c.process.signal("KILL");
    let why = tracing.wait_for_line(missing);
    assert!(why.starts_with("it cannot be reached"), "{why}");
    tracing.signal("INT");
    let status = tracing.wait_for_exit();
    assert_eq!(status.code(), Some(1), "{}", tracing.output());
}
