//! What is told of a session on one gateway.

use std::time::Duration;

use game_gateway::codec::client::{Header, Kind as ClientKind};
use game_gateway::codec::link::{Features, Kind, Transfer};
use ring::digest::{SHA256, digest};

use crate::collector::{Collector, Told};
use crate::stage::{Scene, Ticket, begin, opened, says};
use crate::support::wire::{Backend, Gateway, Link, Player};

const ID: &str = "gw-test";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) async fn farewell(player: &mut Player) {
    let header = Header {
        kind: ClientKind::Close as u8,
        ..Header::default()
    };
    player.send(header, "", &0_u16.to_be_bytes()).await;
}

/// A backend's own way to a session's trace, from nothing but docs/protocol.md, 2.6.
pub(crate) fn derived(session_id: u64) -> (String, String) {
    let text = [
        &b"game-gateway session trace 1"[..],
        &session_id.to_be_bytes(),
    ]
    .concat();
    let all = digest(&SHA256, &text);
    (hex(&all.as_ref()[..16]), hex(&all.as_ref()[16..24]))
}

pub(crate) fn trace_of(told: &Told) -> String {
    hex(&told.span.trace_id)
}

#[tokio::test]
async fn a_session_is_told_from_its_connection_to_its_end() {
    let mut collector = Collector::start().await;
    let mut scene = Scene::start_with(|config| collector.configure(config)).await;
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    scene.send("b").await;
    says(&mut scene.player, "b").await;
    scene.cut().await;
    scene.resume(1).await;
    says(&mut scene.player, "b").await;
    farewell(&mut scene.player).await;
    let session = collector.until(ID, "session").await;
    let (trace, root) = derived(scene.ticket.session_id);
    assert_eq!(
        (trace_of(&session), hex(&session.span.span_id)),
        (trace, root)
    );
    assert!(session.span.parent_span_id.is_empty(), "{session:?}");
    assert_eq!(
        collector.names(),
        [
            "connect",
            "connect",
            "first_answer",
            "open",
            "resume",
            "route",
            "session"
        ]
    );
    let route = collector.find(ID, "route").expect("a span");
    for told in &collector.told {
        let parent = match &*told.span.name {
            "session" => continue,
            "open" => route,
            _ => &session,
        };
        assert!(told.is_under(parent), "{told:?}");
        assert_eq!(told.error(), None);
        assert_eq!(
            (told.span.flags & 1, &*told.span.trace_state),
            (1, "ot=th:0")
        );
    }
    let port = scene.backend.address.port().to_string();
    for name in ["route", "open", "first_answer"] {
        let told = collector.find(ID, name).expect("a span");
        assert_eq!(told.attribute("server.port"), port);
        assert_eq!(told.attribute("game_gateway.service"), "game");
    }
    let id = scene.ticket.session_id;
    for (key, value) in [
        ("session.id", format!("gw-test:{id}")),
        ("user.id", "42".to_owned()),
        ("game_gateway.realm_id", "7".to_owned()),
        ("client.address", "127.0.0.1".to_owned()),
        ("game_gateway.resumes", "1".to_owned()),
        ("game_gateway.reason", "client".to_owned()),
    ] {
        assert_eq!(session.attribute(key), value, "{key}");
    }
    let events = session.span.events.iter().map(|event| &*event.name);
    assert_eq!(events.collect::<Vec<_>>(), ["disconnected", "resumed"]);
}

#[tokio::test]
async fn a_session_that_finds_no_backend_is_told_with_each_that_was_tried() {
    let mut collector = Collector::start().await;
    // Two ports on which nobody listens.
    let gone = [Backend::start().await, Backend::start().await];
    let routes = format!(
        r#"{{"rules":{{"game":{}}}}}"#,
        Backend::rule(&[&gone[0], &gone[1]])
    );
    drop(gone);
    let gateway = Gateway::start_with(&routes, |config| collector.configure(config)).await;
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"1").await;
    player.until_error(502).await;
    farewell(&mut player).await;
    collector.until(ID, "session").await;
    assert_eq!(
        collector.names(),
        ["connect", "open", "open", "route", "session"]
    );
    let route = collector.find(ID, "route").expect("a span");
    assert_eq!(route.error(), Some("the backend cannot be reached"));
    assert_eq!(route.attribute("game_gateway.code"), "502");
    for open in collector
        .told
        .iter()
        .filter(|told| told.span.name == "open")
    {
        assert!(open.is_under(route) && open.error().is_some(), "{open:?}");
    }
}

#[tokio::test]
async fn a_backend_that_never_answers_is_told_with_the_end() {
    let mut collector = Collector::start().await;
    let mut scene = Scene::start_with(|config| collector.configure(config)).await;
    farewell(&mut scene.player).await;
    collector.until(ID, "session").await;
    let unanswered = collector.find(ID, "first_answer").expect("a span");
    assert_eq!(unanswered.attribute("game_gateway.answered"), "false");
}

async fn can_transfer(link: &mut Link) {
    let features = Features { transfer: true }.encode();
    link.send(Kind::Features, 0, &features).await;
}

#[tokio::test]
async fn a_move_is_told_with_both_backends() {
    let mut collector = Collector::start().await;
    let backends = [Backend::start().await, Backend::start().await];
    let rule = Backend::rule(&[&backends[0], &backends[1]]);
    let routes = format!(r#"{{"rules":{{"game":{rule}}}}}"#);
    let gateway = Gateway::start_with(&routes, |config| {
        collector.configure(config);
        config.backend.probe_interval = Duration::from_secs(5);
        config.backend.connect_timeout = Duration::from_secs(60);
    })
    .await;
    let (mut one, mut two) = (backends[0].link().await, backends[1].link().await);
    can_transfer(&mut one).await;
    can_transfer(&mut two).await;
    let mut player = Player::connect(&gateway).await;
    begin(&mut player, "game", b"1").await;
    let mut ticket = Ticket::default();
    opened(&mut player, &mut ticket).await;
    let is_first = tokio::select! {
        frame = one.next() => frame.map(|_| true),
        frame = two.next() => frame.map(|_| false),
    };
    let (mut old, mut new, to) = match is_first.expect("OPEN") {
        true => (one, two, &backends[1]),
        false => (two, one, &backends[0]),
    };
    old.data().await;
    let (id, endpoint) = (ticket.session_id, to.address.to_string());
    let mut payload = Vec::new();
    Transfer {
        endpoint: &endpoint,
    }
    .encode(&mut payload);
    old.send(Kind::Transfer, id, &payload).await;
    assert_eq!(old.closed().await, (id, 307));
    let state = [&307_u16.to_be_bytes()[..], &[0; 4], b"state"].concat();
    old.send(Kind::Close, id, &state).await;
    new.opened().await;
    new.send(Kind::Accept, id, &2_u32.to_be_bytes()).await;
    let moved = collector.until(ID, "move").await;
    assert_eq!(moved.error(), None);
    assert_eq!(moved.attribute("game_gateway.to"), endpoint);
    assert_ne!(moved.attribute("game_gateway.from"), endpoint);
    farewell(&mut player).await;
    let session = collector.until(ID, "session").await;
    assert!(moved.is_under(&session), "{moved:?}");
}

#[tokio::test]
async fn a_drain_is_told_to_its_last_span() {
    let mut collector = Collector::start().await;
    let mut scene = Scene::start_with(|config| {
        collector.configure(config);
        config.drain.accept_grace = Duration::ZERO;
        config.drain.window = Duration::from_secs(1);
    })
    .await;
    let mut plain = Player::connect(&scene.gateway).await;
    let header = Header {
        flags: 0,
        ..Header::default()
    };
    plain.send(header, "game", b"1").await;
    scene.link.opened().await;
    scene.gateway.drain();
    assert_eq!(plain.closed().await.0, 503);
    scene.gateway.ended().await;
    // All of it was sent before the gateway ended.
    collector.read();
    let drain = collector.find(ID, "drain").expect("a span");
    let sessions: Vec<&Told> = collector
        .told
        .iter()
        .filter(|t| t.span.name == "session")
        .collect();
    assert_eq!(sessions.len(), 2, "{:?}", collector.names());
    assert!(sessions.iter().any(|session| drain.is_under(session)));
    let whole = collector.find(ID, "drain_gateway").expect("a span");
    assert_eq!(whole.attribute("game_gateway.connections_at_begin"), "2");
    assert_eq!(whole.attribute("game_gateway.by"), "signal");
    assert_eq!(whole.attribute("game_gateway.undone"), "false");
}

#[tokio::test]
async fn backends_are_told_which_sessions_are_sampled_where_that_is_wanted() {
    let collector = Collector::start().await;
    let told = Scene::start_with(|config| {
        collector.configure(config);
        config.otlp.sample = "0.01".parse().expect("a share");
        config.otlp.tell_backends = true;
    });
    let hello = told.await.link.hello.expect("HELLO");
    assert_eq!(hello.trace_threshold.as_deref(), Some("fd70a3d70a3d70"));
    let untold = Scene::start_with(|config| collector.configure(config)).await;
    assert_eq!(untold.link.hello.expect("HELLO").trace_threshold, None);
}

#[tokio::test]
async fn a_session_that_is_not_sampled_is_not_told() {
    let mut collector = Collector::start().await;
    let mut scene = Scene::start_with(|config| {
        collector.configure(config);
        config.otlp.sample = "0".parse().expect("a share");
        config.drain.window = Duration::ZERO;
    })
    .await;
    farewell(&mut scene.player).await;
    scene.link.closed().await;
    scene.gateway.drain();
    scene.gateway.ended().await;
    collector.read();
    assert_eq!(collector.names(), ["drain_gateway"]);
}
