//! What the admin API tells of sessions that were resumed.

use serde_json::{Value, json};

use crate::other_gateway::{other, peered};
use crate::stage::{Answer, Scene, Ticket, opened, resume, says};
use crate::support::address;
use crate::support::wire::{Gateway, Player, ask};
use game_gateway::codec::link::Kind;
use game_gateway::config::Config;

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

/// The player goes to another gateway, which gets the session.
async fn goes_to(scene: &mut Scene, second: &Gateway) -> Player {
    let id = scene.ticket.session_id;
    scene.send("a").await;
    let mut player = resume(second, &scene.ticket, 0).await;
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
    scene.link = link;
    player
}

#[tokio::test]
async fn whoever_is_asked_tells_where_a_session_goes_on() {
    let addresses = [address::fixed(), address::fixed()];
    let all = addresses.map(|at| at.to_string()).join(",");
    let at = |own: usize| {
        let all = all.clone();
        move |config: &mut Config| {
            peered(config);
            config.peer.address = Some(addresses[own]);
            config.peer.gateways = all.parse().expect("gateways");
        }
    };
    let mut scene = Scene::start_with(at(0)).await;
    let second = other(&scene.backend, "gw-b", at(1)).await;
    let mut player = goes_to(&mut scene, &second).await;
    let id = scene.ticket.session_id;
    let here = story(&scene.gateway, id).await;
    assert_eq!(here["state"], "ended", "its own part: {here}");
    // Also by the name that it had when it began.
    for asked in [&scene.gateway, &second] {
        for name in [id.to_string(), format!("gw-test:{id}")] {
            let path = format!("/api/v1/sessions/{name}?deployment=true");
            let (status, body) = asked.get(&path).await;
            assert_eq!(status, 200, "{body}");
            let told: Value = serde_json::from_str(&body).expect("JSON");
            let expected = json!(["active", format!("gw-b:{id}")]);
            assert_eq!(json!([told["state"], told["global_id"]]), expected);
        }
    }
    let kick = format!("DELETE /api/v1/sessions/gw-test:{id}?deployment=true");
    assert_eq!(ask(scene.gateway.admin, &kick, "").await.0, 204);
    says(&mut player, "a").await;
    assert_eq!(player.closed().await.0, 440);
    // Both parts have ended: the newer one says how.
    let path = format!("/api/v1/sessions/{id}?deployment=true");
    let (_, body) = scene.gateway.get(&path).await;
    let told: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(told["end"]["code"], 440, "{told}");
    assert_eq!(told["end"]["moved_to"], Value::Null, "{told}");
}

#[tokio::test]
async fn a_handover_is_told_on_both_sides() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let id = scene.ticket.session_id;
    let _player = goes_to(&mut scene, &second).await;
    let here = story(&second, id).await;
    assert_eq!(
        (&here["state"], &here["resumes"]),
        (&json!("active"), &json!(1))
    );
    let taken = ("taken_up".to_owned(), "from gateway gw-test".to_owned());
    assert_eq!(events(&here)[0], taken, "{here}");
    let there = story(&scene.gateway, id).await;
    assert_eq!(
        (&there["state"], &there["end"]["code"]),
        (&json!("ended"), &json!(307))
    );
    assert_eq!(there["end"]["moved_to"], "gw-b");
    // Its age comes with it.
    assert!(here["began_seconds"].as_u64() <= here["since_seconds"].as_u64());
    assert!(here["began_seconds"].is_u64(), "{here}");
    assert_eq!(there["began_seconds"], there["since_seconds"]);
    assert!(here["trace_id"].is_string(), "{here}");
    assert_eq!(here["trace_id"], there["trace_id"]);
    let handed = ("handed_over".to_owned(), "to gateway gw-b".to_owned());
    assert!(events(&there).contains(&handed), "{there}");
}
