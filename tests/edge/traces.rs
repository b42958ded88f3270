//! Traces of players over WebSocket and HTTP.

use game_gateway::codec::client::Header;
use serde_json::Value;

use crate::scene::{self, Browser, echo};
use crate::support::frames::encoded;
use crate::support::wire::{Gateway, ask, soon};

const SECRET: &str = "swordfish";

async fn begin(gateway: &Gateway, wish: &str) -> String {
    let (status, body) = ask(gateway.admin, "POST /api/v1/traces", wish).await;
    assert_eq!(status, 201, "{body}");
    let trace: Value = serde_json::from_str(&body).expect("JSON");
    trace["id"].as_str().expect("an id").to_owned()
}

/// Returns each event so far with its frame's kind or its detail, once there is one of this name.
async fn until(gateway: &Gateway, id: &str, name: &str) -> Vec<(String, String)> {
    let path = format!("/api/v1/traces/{id}/events?after=0");
    let wait = async {
        loop {
            let (status, body) = gateway.get(&path).await;
            assert_eq!(status, 200, "{body}");
            assert!(!body.contains(SECRET), "{body}");
            let page: Value = serde_json::from_str(&body).expect("JSON");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let of = |event: &Value| match &event["frame"] {
                Value::Null => (text(&event["event"]), text(&event["detail"])),
                frame => (text(&frame["direction"]), text(&frame["kind"])),
            };
            let events: Vec<_> = page["events"]
                .as_array()
                .expect("events")
                .iter()
                .map(of)
                .collect();
            if events.iter().any(|(seen, _)| seen == name) {
                return events;
            }
            crate::support::wire::look_again().await;
        }
    };
    soon(wait).await
}

fn said(events: &[(String, String)], event: &str, detail: &str) {
    let is_it = |(name, text): &(String, String)| name == event && text == detail;
    assert!(
        events.iter().any(is_it),
        "no {event} {detail:?} in {events:?}"
    );
}

#[tokio::test]
async fn a_websocket() {
    let gateway = echo(|_| ()).await;
    let id = begin(&gateway, r#"{"user_id": "4711"}"#).await;
    let mut browser = Browser::connect(&gateway).await;
    let header = Header {
        user_id: 4711,
        ..Header::default()
    };
    browser
        .binary(encoded(header, "game", SECRET.as_bytes()))
        .await;
    assert_eq!(&browser.answer().await[..], SECRET.as_bytes());
    let events = until(&gateway, &id, "to_client").await;
    said(&events, "user_known", "over websocket");
    said(&events, "from_client", "DATA");
    said(&events, "to_client", "DATA");
}

#[tokio::test]
async fn a_request_and_one_that_is_refused() {
    let gateway = echo(|_| ()).await;
    let user = begin(&gateway, r#"{"user_id": "4711"}"#).await;
    let address = begin(&gateway, r#"{"address": "127.0.0.1"}"#).await;
    for (path, status) in [("/game", 200), ("/nowhere", 404)] {
        let line = format!("POST {path}");
        let answer = scene::ask(&gateway, &line, "X-User-Id: 4711\r\n", SECRET.as_bytes()).await;
        assert_eq!(answer.status, status);
    }
    let events = until(&gateway, &user, "route_failed").await;
    said(&events, "user_known", "over http");
    said(&events, "from_client", "DATA");
    said(&events, "to_client", "DATA");
    let events = until(&gateway, &address, "connection_ended").await;
    said(&events, "connected", "over http, by its connection");
    said(&events, "session_started", "over http, not resumable");
}

#[tokio::test]
async fn the_player_behind_a_proxy() {
    let gateway = echo(|config| {
        config.listen.proxy_protocol_from = "127.0.0.0/8".parse().expect("networks");
    })
    .await;
    let id = begin(&gateway, r#"{"address": "192.0.2.0/24"}"#).await;
    for source in ["198.51.100.7", "192.0.2.7"] {
        let mut socket = scene::connect(&gateway).await;
        let header = format!("PROXY TCP4 {source} 10.0.0.1 4711 7000\r\n");
        let data = scene::data("game", SECRET.as_bytes());
        scene::send(&mut socket, &[header.as_bytes(), &data].concat()).await;
        let mut answer = vec![0; data.len()];
        let read = tokio::io::AsyncReadExt::read_exact(&mut socket, &mut answer);
        soon(read).await.expect("an answer");
    }
    let events = until(&gateway, &id, "to_client").await;
    said(&events, "address_known", "over tcp, by its PROXY header");
    let frames = events.iter().filter(|(name, _)| name == "to_client");
    assert_eq!(frames.count(), 1, "{events:?}");
    assert_eq!(
        events[0].0, "address_known",
        "the proxy itself is not concerned"
    );
}
