//! What the admin API tells of sessions that were resumed.

use serde_json::{Value, json};

use crate::other_gateway::{other, peered};
use crate::stage::{Answer, Scene, Ticket, opened, resume};
use crate::support::wire::Gateway;
use game_gateway::codec::link::Kind;

async fn story(gateway: &Gateway, id: u64) -> Value {
    let (status, body) = gateway.get(&format!("/api/v1/sessions/{id}")).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn events(story: &Value) -> Vec<(String, String)> {
    let events = story["events"].as_array().expect("events").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    events
        .map(|e| (text(&e["event"]), text(&e["detail"])))
        .collect()
}

#[tokio::test]
async fn the_story_tells_of_the_connections() {
    let mut scene = Scene::start().await;
    let id = scene.ticket.session_id;
    scene.cut().await;
    let suspended = story(&scene.gateway, id).await;
    assert_eq!(suspended["state"], "suspended");
    let from = format!("from 127.0.0.1:{}, exactly", scene.player.local_port());
    scene.resume(0).await;
    let told = story(&scene.gateway, id).await;
    assert_eq!(
        (&told["state"], &told["resumes"]),
        (&json!("active"), &json!(1))
    );
    let expected = [
        ("disconnected", "disconnected".to_owned()),
        ("resumed", from),
    ];
    assert_eq!(
        events(&told),
        expected.map(|(event, detail)| (event.to_owned(), detail))
    );
}

#[tokio::test]
async fn a_handover_is_told_on_both_sides() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let id = scene.ticket.session_id;
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
    let told = opened(&mut player, &mut Ticket::default()).await;
    assert_eq!(
        told,
        Answer {
            received: 1,
            gap: false
        }
    );
    let here = story(&second, id).await;
    assert_eq!(
        (&here["state"], &here["resumes"]),
        (&json!("active"), &json!(1))
    );
    assert_eq!(events(&here)[0].0, "taken_up", "{here}");
    let there = story(&scene.gateway, id).await;
    assert_eq!(
        (&there["state"], &there["end"]["code"]),
        (&json!("ended"), &json!(307))
    );
    assert!(here["trace_id"].is_string(), "{here}");
    assert_eq!(here["trace_id"], there["trace_id"]);
    let handed = ("handed_over".to_owned(), "to gateway gw-b".to_owned());
    assert!(events(&there).contains(&handed), "{there}");
}
