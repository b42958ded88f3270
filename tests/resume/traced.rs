//! Traces of sessions that are resumed, here and on another gateway.

use serde_json::Value;

use crate::other_gateway::{other, peered};
use crate::stage::{Scene, Ticket, opened, resume};
use crate::support::wire::{Gateway, ask, soon};
use game_gateway::codec::link::Kind;

async fn begin(gateway: &Gateway, wish: &str) -> String {
    let (status, body) = ask(gateway.admin, "POST /api/v1/traces", wish).await;
    assert_eq!(status, 201, "{body}");
    let trace: Value = serde_json::from_str(&body).expect("JSON");
    trace["id"].as_str().expect("an id").to_owned()
}

/// Returns the events so far, frames as `kind fate`, once there is one of this name.
async fn until(gateway: &Gateway, id: &str, name: &str) -> (Vec<String>, Value) {
    let path = format!("/api/v1/traces/{id}/events?after=0");
    let wait = async {
        loop {
            let (status, body) = gateway.get(&path).await;
            assert_eq!(status, 200, "{body}");
            let page: Value = serde_json::from_str(&body).expect("JSON");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let of = |event: &Value| match &event["frame"] {
                Value::Null => text(&event["event"]),
                frame => format!("{} {}", text(&frame["kind"]), text(&frame["fate"])),
            };
            let events = page["events"].as_array().expect("events").iter();
            let events: Vec<String> = events.map(of).collect();
            if events.iter().any(|seen| seen == name) {
                return (events, page);
            }
            crate::support::wire::look_again().await;
        }
    };
    soon(wait).await
}

#[tokio::test]
async fn a_session_that_waits_for_its_player() {
    let mut scene = Scene::start().await;
    let wish = format!(r#"{{"session": "{}"}}"#, scene.ticket.session_id);
    let id = begin(&scene.gateway, &wish).await;
    scene.cut().await;
    scene.send("kept").await;
    until(&scene.gateway, &id, "DATA kept").await;
    scene.resume(0).await;
    let (events, _) = until(&scene.gateway, &id, "replayed").await;
    let steps = ["disconnected", "connection_ended", "suspended", "DATA kept"];
    assert_eq!(events[..4], steps, "{events:?}");
    for step in ["accepted", "resumed", "OPENED sent"] {
        assert!(events.iter().any(|seen| seen == step), "{step}: {events:?}");
    }
}

#[tokio::test]
async fn a_user_whose_session_goes_to_another_gateway() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let wish = r#"{"user_id": "42"}"#;
    let (here, there) = (
        begin(&scene.gateway, wish).await,
        begin(&second, wish).await,
    );
    let id = scene.ticket.session_id;
    // Shows that the backend has taken the first OPEN.
    scene.send("a").await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    let mut link = scene.backend.link().await;
    link.opened().await;
    link.send(Kind::Accept, id, &2_u32.to_be_bytes()).await;
    assert_eq!(scene.link.closed().await, (id, 307));
    scene
        .link
        .send(Kind::Close, id, &307_u16.to_be_bytes())
        .await;
    opened(&mut player, &mut Ticket::default()).await;
    let (left, of_left) = until(&scene.gateway, &here, "session_ended").await;
    for step in ["answers_gateway", "handed_over"] {
        assert!(left.iter().any(|seen| seen == step), "{step}: {left:?}");
    }
    let (come, of_come) = until(&second, &there, "resumed").await;
    for step in ["asks_gateway", "reached", "accepted", "taken_up"] {
        assert!(come.iter().any(|seen| seen == step), "{step}: {come:?}");
    }
    // One id joins what both tell.
    let trace_id = |page: &Value| {
        let events = page["events"].as_array().expect("events").iter();
        let mut ids: Vec<String> = events.map(|e| e["trace_id"].to_string()).collect();
        ids.dedup();
        ids
    };
    assert_eq!(trace_id(&of_left), trace_id(&of_come));
    assert_eq!(trace_id(&of_left).len(), 1);
}
