//! `/api/v1/actors`: what actors do, which of them do the most, and restarts by hand.

use std::time::Instant;

use game_gateway::supervision::{Fault, Kind};
use serde_json::{Value, json};

use crate::http::{get, request};
use crate::support::wire::{Backend, DEADLINE, Gateway, Link, Player};
use crate::terminal::serve;

async fn talking(gateway: &Gateway, backend: &Backend) -> (Player, Link) {
    let mut player = Player::connect(gateway).await;
    player.data("game", b"hello").await;
    let mut link = backend.link().await;
    link.opened().await;
    link.data().await;
    (player, link)
}

/// Sends frames until an answer is as it should be.
async fn until(
    gateway: &Gateway,
    (player, link): &mut (Player, Link),
    path: &str,
    good: impl Fn(&Value) -> bool,
) -> Value {
    let begun = Instant::now();
    loop {
        for _ in 0..50 {
            player.data("game", b"hello").await;
            link.data().await;
        }
        let answer = get(gateway.admin, path).await.json();
        if good(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "{answer}");
    }
}

fn kind<'a>(overview: &'a Value, kind: &str) -> &'a Value {
    let mut kinds = overview["kinds"].as_array().expect("kinds").iter();
    kinds.find(|k| k["kind"] == kind).expect("the kind")
}

fn handler<'a>(actor: &'a Value, message: &str) -> Option<&'a Value> {
    let mut handlers = actor["handlers"].as_array()?.iter();
    handlers.find(|times| times["message"] == message)
}

#[tokio::test]
async fn kinds_say_how_long_their_handlers_take() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut talk = talking(&gateway, &backend).await;
    // One frame in 128 is timed: some time it is one of these.
    let overview = until(&gateway, &mut talk, "/api/v1/actors", |overview| {
        handler(kind(overview, "link"), "Forward").is_some()
            && handler(kind(overview, "client"), "socket").is_some()
            && overview["workers"][0]["messages_per_second"].as_f64() > Some(0.0)
    })
    .await;
    for (of, message) in [
        ("router", "Resolve"),
        ("session_registry", "OpenSession"),
        ("backend_pool", "Bind"),
        ("worker", "accept"),
        ("worker", "tick"),
        ("link", "Forward"),
    ] {
        let times = handler(kind(&overview, of), message);
        let times = times.unwrap_or_else(|| panic!("{of} {message}: {overview}"));
        let handled = times["handled"].as_u64().expect("a number");
        assert!(handled >= times["timed"].as_u64().expect("a number"));
        assert!(times["timed"].as_u64() >= Some(1), "{times}");
        assert!(times["mean_us"].as_f64() > Some(0.0), "{times}");
        let recent = &times["recent"];
        assert!(recent["max_us"].as_u64() >= recent["p50_us"].as_u64());
        assert!(recent["p50_us"].as_u64() >= Some(1), "{times}");
    }
    // Each of the router's is timed.
    let router = kind(&overview, "router");
    let timed = handler(router, "Resolve").expect("times");
    assert_eq!(timed["handled"], timed["timed"]);
    assert!(router["busy_seconds"].as_f64() > Some(0.0));
    assert!(kind(&overview, "link")["waiting_highest_recent"].as_u64() >= Some(1));
    let worker = &overview["workers"][0];
    assert_eq!(
        (&worker["worker"], &worker["clients"]),
        (&json!(0), &json!(1))
    );
    assert!(worker["loop_lag"]["count"].as_u64() >= Some(1), "{worker}");
    assert!(worker["busy_percent"].as_f64() <= Some(100.0));
    assert_eq!(overview["tree"]["id"], "gateway-0");
}

#[tokio::test]
async fn single_actors_say_it_too() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut talk = talking(&gateway, &backend).await;
    let page = gateway.inspector().actors(Kind::Link, None, 9).await;
    let path = format!("/api/v1/actors/{}", page.expect("a page").actors[0].id);
    let link = until(&gateway, &mut talk, &path, |link| {
        handler(link, "Forward").is_some()
    })
    .await;
    let times = handler(&link, "Forward").expect("times");
    assert!(times["max_us"].as_f64() >= Some(0.0));
    let recent = &times["recent"];
    assert!(recent["count"].as_u64() >= Some(1), "{times}");
    assert!(recent["p99_us"].as_u64() >= recent["p50_us"].as_u64());
    assert!(link["busy_seconds"].as_f64() > Some(0.0), "{link}");
    let list = get(gateway.admin, "/api/v1/actors?kind=link").await.json();
    assert_eq!(list["actors"][0]["handlers"], json!(null));
    let clients = get(gateway.admin, "/api/v1/actors?kind=client")
        .await
        .json();
    let detail = &clients["actors"][0]["detail"];
    assert_eq!(detail["session"]["services"][0]["service"], "game");
    let path = format!(
        "/api/v1/actors/{}",
        clients["actors"][0]["id"].as_str().expect("an id")
    );
    let one = get(gateway.admin, &path).await.json();
    assert_eq!(
        one["detail"]["session"]["session_id"],
        detail["session"]["session_id"]
    );
}

#[tokio::test]
async fn the_busiest_come_first() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut talk = talking(&gateway, &backend).await;
    for (by, figure) in [
        ("time", "busy_percent"),
        ("messages", "messages_per_second"),
    ] {
        let path = format!("/api/v1/actors/busiest?by={by}");
        let answer = until(&gateway, &mut talk, &path, |answer| {
            let rows = answer["busiest"].as_array().expect("rows");
            rows.iter().any(|row| row["kind"] == "link")
        })
        .await;
        assert_eq!(answer["by"], by);
        let rows = answer["busiest"].as_array().expect("rows");
        let figures: Vec<f64> = rows.iter().filter_map(|row| row[figure].as_f64()).collect();
        assert!(figures.is_sorted_by(|a, b| a >= b), "{answer}");
        assert!(figures.iter().all(|figure| *figure > 0.0), "{answer}");
    }
    let one = get(gateway.admin, "/api/v1/actors/busiest?limit=1")
        .await
        .json();
    assert!(
        one["busiest"]
            .as_array()
            .is_some_and(|rows| rows.len() <= 1)
    );
    let idle = get(gateway.admin, "/api/v1/actors/busiest?by=waiting")
        .await
        .json();
    assert!(idle["busiest"].is_array());
}

/// The place of a panic is that of the source.
#[tokio::test]
async fn a_panic_is_shown_with_its_place() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let fault = Fault::Panic("ouch".to_owned());
    gateway.inspector().inject("router-0", fault);
    let begun = Instant::now();
    let router = loop {
        let router = get(gateway.admin, "/api/v1/actors/router-0").await.json();
        if router["restarts"] == 1 && router["responding"] == true {
            break router;
        }
        assert!(begun.elapsed() < DEADLINE, "{router}");
    };
    let error = &router["last_error"];
    assert_eq!(
        (&error["message"], &error["actor"]),
        (&json!("ouch"), &json!("router-0"))
    );
    let (file, line) = error["place"]
        .as_str()
        .and_then(|p| p.split_once(':'))
        .expect("a place");
    assert_eq!(file, "src/supervision/inspect.rs");
    assert!(line.parse::<u32>().is_ok_and(|line| line > 0), "{error}");
    assert!(error["at_seconds"].as_u64() > Some(1_700_000_000));
    let overview = get(gateway.admin, "/api/v1/actors").await.json();
    assert_eq!(&kind(&overview, "router")["last_error"], error);
}

#[tokio::test]
async fn restarts_by_hand_where_nothing_is_lost() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.admin.tokens = r#"[{"name": "wall", "role": "read", "token": "look"},
                                  {"name": "anna", "role": "operate", "token": "touch"}]"#
            .parse()
            .expect("tokens");
    })
    .await;
    let (mut player, mut link) = talking(&gateway, &backend).await;
    let (anna, wall) = ["touch", "look"]
        .map(|token| format!("Authorization: Bearer {token}"))
        .into();
    let post = |id: &str, token: &str| {
        let (line, token) = (
            format!("POST /api/v1/actors/{id}/restart"),
            token.to_owned(),
        );
        let admin = gateway.admin;
        async move { request(admin, &line, &[&token], "").await }
    };
    let actors = gateway.inspector().actors(Kind::BackendPool, None, 9).await;
    let pool = actors.expect("a page").actors[0].id.clone();
    for id in ["config_watcher-0", "router-0", &pool] {
        post(id, &wall).await.error(403, "forbidden");
        let answer = post(id, &anna).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let actor = answer.json();
        assert_eq!(
            (&actor["id"], &actor["state"]),
            (&json!(id), &json!("running"))
        );
        assert_eq!(
            (
                &actor["restarts_by_hand"],
                &actor["restarts"],
                &actor["panics"]
            ),
            (&json!(1), &json!(0), &json!(0)),
            "who may only read has restarted nobody"
        );
    }
    let client = gateway.inspector().actors(Kind::Client, None, 9).await;
    let client = client.expect("a page").actors[0].id.clone();
    let links = gateway.inspector().actors(Kind::Link, None, 9).await;
    let one = links.expect("a page").actors[0].id.clone();
    for (id, why) in [
        ("gateway-0", "it is the root"),
        ("worker-0", "connections that just come"),
        ("session_registry-0", "frames that it just passes on"),
        (&*one, "restart its pool instead"),
        (&*client, "what a kick does"),
    ] {
        let message = post(id, &anna).await.error(409, "conflict");
        assert!(message.starts_with(&format!("{id} is not restarted: ")));
        assert!(message.contains(why), "{message}");
    }
    post("router-7", &anna).await.error(404, "not_found");
    post("router%00", &anna).await.error(400, "bad_request");
    let overview = request(gateway.admin, "GET /api/v1/actors", &[&wall], "")
        .await
        .json();
    assert_eq!(kind(&overview, "router")["restart_refused"], json!(null));
    assert!(kind(&overview, "client")["restart_refused"].is_string());
    // And everybody plays on.
    player.data("game", b"still here").await;
    assert_eq!(&link.data().await.payload[..], b"still here");
}

/// From a terminal, and with a line in the log that says who.
#[tokio::test]
async fn a_terminal_restarts_and_sees_the_busiest() {
    let backend = Backend::start().await;
    let mut served = serve("", &backend.routes());
    let restarted = served.json(&["restart-actor", "router-0"]);
    assert_eq!(restarted["restarts_by_hand"], 1);
    let refused = served.fails(&["restart-actor", "gateway-0"]);
    assert!(refused.starts_with("gateway-0 is not restarted: ") && refused.ends_with("(409)"));
    let text = served.says(&["actors"]);
    for title in ["KIND ", "WORKER ", "ACTOR "] {
        assert!(text.lines().any(|line| line.starts_with(title)), "{text}");
    }
    assert!(
        text.contains("   └─ router-0 ") || text.contains("   ├─ router-0 "),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colours in a pipe");
    assert!(served.says(&["actors", "--busiest"]).starts_with("ACTOR "));
    let by = served.json(&["actors", "--busiest", "messages", "--limit", "3"]);
    assert!(by["busiest"].as_array().is_some_and(|rows| rows.len() <= 3));
    let router = served.says(&["actor", "router-0"]);
    assert!(
        router.contains("\nMESSAGE ") && router.contains("\nInspect "),
        "{router}"
    );
    served.process.sigterm();
    assert!(served.process.wait_for_exit().success());
    let log = served.process.output();
    let says = |line: &str| line.contains("a restart of an actor is asked for");
    let lines: Vec<&str> = log.lines().filter(|line| says(line)).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for (line, outcome) in lines.iter().zip(["restarted", "it is the root"]) {
        assert!(
            line.contains("by=127.0.0.1:") && line.contains(outcome),
            "{line}"
        );
    }
}
