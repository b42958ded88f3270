//! Protocol 3.2, case 1: the gateway has the session.

use std::time::Duration;

use game_gateway::codec::link::Kind;
use game_gateway::config::Config;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::stage::{
    Answer, Scene, Ticket, accept, begin, opened, reopened, resume, resume_on, says, suspended,
};
use crate::support::wire::{Backend, Gateway, Link, Player};

const EXACT: fn(u64) -> Answer = |received| Answer {
    received,
    gap: false,
};

#[tokio::test]
async fn nothing_is_lost_doubled_or_reordered() {
    let mut scene = Scene::start().await;
    scene.player.data("game", b"2").await;
    scene.link.data().await;
    for text in ["a", "b", "c"] {
        scene.send(text).await;
    }
    says(&mut scene.player, "a").await;
    let fresh = Player::connect(&scene.gateway).await;
    drop(std::mem::replace(&mut scene.player, fresh));
    assert_eq!(suspended(&mut scene.link).await, 30_000);
    scene.send("d").await;
    resume_on(&mut scene.player, &scene.ticket, 1).await;
    let (epoch, previous) = reopened(&mut scene.link).await;
    assert_eq!((epoch, previous.as_str()), (2, "gw-test"));
    // Before ACCEPT: still of the epoch before, and not to be told before OPENED.
    scene.send("e").await;
    let id = scene.ticket.session_id;
    scene
        .link
        .send(Kind::Accept, id, &2_u32.to_be_bytes())
        .await;
    scene.send("f").await;
    let told = opened(&mut scene.player, &mut scene.ticket).await;
    assert_eq!(told, EXACT(2));
    for text in ["b", "c", "d", "e", "f"] {
        says(&mut scene.player, text).await;
    }
    scene.player.data("game", b"3").await;
    assert_eq!(&scene.link.data().await.payload[..], b"3");
    scene.send("g").await;
    says(&mut scene.player, "g").await;
    assert_eq!(
        scene.gateway.metric("game_gateway_sessions").await,
        1,
        "the same one"
    );
    let resumes = "game_gateway_resume_seconds_count";
    assert_eq!(scene.gateway.metric(resumes).await, 1);
}

#[tokio::test]
async fn a_connection_that_still_stands_is_replaced() {
    let mut scene = Scene::start_with(|config| config.gateway.workers = 3).await;
    for round in 0..6 {
        let mut before =
            std::mem::replace(&mut scene.player, Player::connect(&scene.gateway).await);
        assert_eq!(scene.resume(round).await, EXACT(round + 1));
        assert_eq!(before.closed().await.0, 205);
        scene.player.data("game", b"on").await;
        scene.link.data().await;
        scene.send("still").await;
        says(&mut scene.player, "still").await;
    }
    let replaced = "game_gateway_closed_connections_total{reason=\"replaced\"}";
    assert_eq!(scene.gateway.metric(replaced).await, 6);
}

/// A RESUME and its connection's end may lie unread in a gateway that was stopped for a while; the player has
/// come back on another connection by then.
#[tokio::test]
async fn a_resume_whose_connection_has_ended_takes_nothing_from_anybody() {
    let mut scene = Scene::start_with(|config| config.gateway.workers = 3).await;
    let ended = "game_gateway_closed_connections_total{reason=\"disconnected\"}";
    for round in 1..=12 {
        let socket = TcpStream::connect(scene.gateway.players).await.unwrap();
        // The RESUME and the end in one segment.
        SockRef::from(&socket).set_tcp_cork(true).unwrap();
        let mut left = Player::over(socket);
        resume_on(&mut left, &scene.ticket, 0).await;
        drop(left);
        scene.gateway.until(ended, |n| n >= round).await;
    }
    scene.player.data("game", b"on").await;
    assert_eq!(&scene.link.data().await.payload[..], b"on");
    scene.send("untouched").await;
    says(&mut scene.player, "untouched").await;
}

#[tokio::test]
async fn an_opened_that_was_lost_uses_no_token() {
    let mut scene = Scene::start().await;
    let first = scene.ticket.clone();
    for _ in 0..3 {
        scene.cut().await;
        scene.ticket = first.clone();
        assert_eq!(scene.resume(0).await, EXACT(1));
    }
    scene.player.data("game", b"2").await;
    scene.link.data().await;
    // Now it is used, and the session goes on untouched.
    let mut thief = resume(&scene.gateway, &first, 0).await;
    assert_eq!(thief.closed().await.0, 410);
    scene.send("untouched").await;
    says(&mut scene.player, "untouched").await;
}

#[tokio::test]
async fn what_the_ring_lacks_is_a_gap_and_resets_the_counts() {
    let mut scene = Scene::start_with(|config| config.session.replay_bytes = 100).await;
    for text in ["a", "b", "c", "d"] {
        scene.send(text).await;
    }
    for text in ["a", "b", "c", "d"] {
        says(&mut scene.player, text).await;
    }
    scene.cut().await;
    let before = scene.ticket.clone();
    let gap = |received| Answer {
        received,
        gap: true,
    };
    assert_eq!(scene.resume(0).await, gap(0));
    // Two frames fit.
    says(&mut scene.player, "c").await;
    says(&mut scene.player, "d").await;
    // That OPENED is lost, as far as anybody knows: it is said again.
    scene.cut().await;
    let newest = std::mem::replace(&mut scene.ticket, before);
    assert_eq!(scene.resume(0).await, gap(0));
    says(&mut scene.player, "c").await;
    says(&mut scene.player, "d").await;
    // A player with that OPENED's token counts from there, but the counts were reset since.
    scene.cut().await;
    let again = std::mem::replace(&mut scene.ticket, newest);
    assert_eq!(scene.resume(1).await, gap(0));
    says(&mut scene.player, "d").await;
    // The token of an older OPENED is as good: nothing has been sent since.
    scene.cut().await;
    scene.ticket = again;
    assert_eq!(scene.resume(1).await, gap(0));
    says(&mut scene.player, "d").await;
    let newest = scene.ticket.clone();
    scene.cut().await;
    scene.ticket = newest;
    assert_eq!(scene.resume(0).await, EXACT(0));
    says(&mut scene.player, "d").await;
    scene.player.data("game", b"2").await;
    scene.link.data().await;
    scene.cut().await;
    assert_eq!(scene.resume(1).await, EXACT(1));
}

#[tokio::test]
async fn a_count_from_the_future_is_a_gap() {
    let mut scene = Scene::start().await;
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    scene.cut().await;
    let answer = scene.resume(2).await;
    assert_eq!((answer.gap, answer.received), (true, 0));
}

#[tokio::test]
async fn a_session_that_is_not_resumed_ends_with_the_code_of_its_connection() {
    let window = Duration::from_secs(1);
    let mut scene = Scene::start_with(|config| {
        config.session.resume_window = window;
        config.session.idle_timeout = Duration::from_secs(1);
    })
    .await;
    let id = scene.ticket.session_id;
    assert_eq!(scene.player.closed().await.0, 408, "idle");
    assert_eq!(suspended(&mut scene.link).await, 1000);
    assert_eq!(scene.link.closed().await, (id, 408));
    scene
        .gateway
        .until("game_gateway_sessions", |n| n == 0)
        .await;
    let mut late = resume(&scene.gateway, &scene.ticket, 0).await;
    assert_eq!(late.closed().await.0, 410);
}

#[tokio::test]
async fn a_player_that_was_too_slow_may_resume() {
    let mut scene = Scene::start_with(|config| {
        config.listen.max_payload = 1024;
        config.session.outbound_queue = 64 * 1024;
    })
    .await;
    let id = scene.ticket.session_id;
    let large = vec![7; 60 * 1024];
    let mut sent = 0_u64;
    // Until the gateway has had enough; the player reads nothing.
    while scene
        .gateway
        .metric("game_gateway_closed_connections_total{reason=\"too_slow\"}")
        .await
        == 0
    {
        scene.link.send(Kind::Data, id, &large).await;
        sent += 1;
        assert!(sent < 10_000);
    }
    suspended(&mut scene.link).await;
    let mut fresh = resume(&scene.gateway, &scene.ticket, sent).await;
    accept(&mut scene.link, id).await;
    assert_eq!(opened(&mut fresh, &mut scene.ticket).await, EXACT(1));
}

#[tokio::test]
async fn a_backend_that_knows_a_newer_holder_ends_the_session_here() {
    let mut scene = Scene::start().await;
    scene.cut().await;
    resume_on(&mut scene.player, &scene.ticket, 0).await;
    reopened(&mut scene.link).await;
    let id = scene.ticket.session_id;
    scene
        .link
        .send(Kind::Close, id, &410_u16.to_be_bytes())
        .await;
    assert_eq!(scene.player.closed().await.0, 410);
    scene
        .gateway
        .until("game_gateway_sessions", |n| n == 0)
        .await;
}

/// Starts a player whose session is open on two backends.
async fn two() -> (Scene, Link) {
    let (scene, chat, _) = two_with(|config| {
        config.backend.connect_timeout = Duration::from_secs(1);
    })
    .await;
    (scene, chat)
}

/// Does the same with a changed configuration, and the second backend.
pub(crate) async fn two_with(change: impl FnOnce(&mut Config)) -> (Scene, Link, Backend) {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let rules = format!(
        r#"{{"rules":{{"game":{},"chat":{}}}}}"#,
        Backend::rule(&[&a]),
        Backend::rule(&[&b])
    );
    let gateway = Gateway::start_with(&rules, change).await;
    let mut player = Player::connect(&gateway).await;
    begin(&mut player, "game", b"1").await;
    let mut ticket = Ticket::default();
    let mut link = a.link().await;
    link.opened().await;
    link.data().await;
    opened(&mut player, &mut ticket).await;
    player.data("chat", b"2").await;
    let mut chat = b.link().await;
    chat.opened().await;
    chat.data().await;
    assert_eq!(opened(&mut player, &mut ticket).await, EXACT(2));
    (Scene::of(gateway, player, link, ticket, a), chat, b)
}

#[tokio::test]
async fn a_session_taken_elsewhere_leaves_its_other_links_in_order() {
    let (mut scene, mut chat) = two().await;
    scene.cut().await;
    suspended(&mut chat).await;
    let id = scene.ticket.session_id;
    resume_on(&mut scene.player, &scene.ticket, 0).await;
    accept(&mut scene.link, id).await;
    reopened(&mut chat).await;
    chat.send(Kind::Close, id, &410_u16.to_be_bytes()).await;
    assert_eq!(scene.player.closed().await.0, 410);
    assert_eq!(scene.link.closed().await, (id, 307));
    // Its further frames there are neither answered nor fatal; and it sends 307 itself.
    scene.send("late").await;
    scene
        .link
        .send(Kind::Close, id, &307_u16.to_be_bytes())
        .await;
    scene.link.send(Kind::Ping, 0, b"quiet").await;
    let frame = scene.link.next().await.expect("a frame");
    assert_eq!(&frame.payload[..], b"quiet");
    let left = "game_gateway_dropped_frames_total{reason=\"link_left\"}";
    assert_eq!(scene.gateway.metric(left).await, 1);
}

#[tokio::test]
async fn a_backend_that_has_forgotten_the_session_is_told_of_behind_opened() {
    let (mut scene, mut chat) = two().await;
    scene.cut().await;
    suspended(&mut chat).await;
    let id = scene.ticket.session_id;
    resume_on(&mut scene.player, &scene.ticket, 0).await;
    accept(&mut scene.link, id).await;
    reopened(&mut chat).await;
    chat.send(Kind::Close, id, &404_u16.to_be_bytes()).await;
    assert_eq!(opened(&mut scene.player, &mut scene.ticket).await, EXACT(2));
    assert_eq!(scene.player.error().await, (502, "chat".to_owned()));
    // It is opened again, at the same epoch.
    scene.player.data("chat", b"again").await;
    let open = chat.opened().await;
    let open = game_gateway::codec::link::Open::decode(&open.payload).expect("a payload");
    assert_eq!((open.flags, open.epoch), (0, 2));
    assert_eq!(&chat.data().await.payload[..], b"again");
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_given_up() {
    let (mut scene, mut chat) = two().await;
    scene.cut().await;
    suspended(&mut chat).await;
    let id = scene.ticket.session_id;
    resume_on(&mut scene.player, &scene.ticket, 0).await;
    accept(&mut scene.link, id).await;
    reopened(&mut chat).await;
    assert_eq!(opened(&mut scene.player, &mut scene.ticket).await, EXACT(2));
    assert_eq!(scene.player.error().await, (502, "chat".to_owned()));
    assert_eq!(chat.closed().await, (id, 502));
}

#[tokio::test]
async fn a_link_that_is_lost_meanwhile_is_told_of_when_the_player_is_back() {
    let (mut scene, mut chat) = two().await;
    scene.cut().await;
    suspended(&mut chat).await;
    drop(chat);
    scene
        .gateway
        .until("game_gateway_lost_link_sessions_total", |n| n == 1)
        .await;
    assert_eq!(scene.resume(0).await, EXACT(2));
    assert_eq!(scene.player.error().await, (502, "chat".to_owned()));
    // Not again, once DATA behind it was taken.
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    scene.cut().await;
    assert_eq!(scene.resume(1).await, EXACT(2));
    scene.send("b").await;
    says(&mut scene.player, "b").await;
}

#[tokio::test]
async fn a_backend_may_end_a_session_that_waits() {
    let mut scene = Scene::start().await;
    scene.cut().await;
    let id = scene.ticket.session_id;
    scene
        .link
        .send(Kind::Close, id, &440_u16.to_be_bytes())
        .await;
    scene
        .gateway
        .until("game_gateway_sessions", |n| n == 0)
        .await;
    resume_on(&mut scene.player, &scene.ticket, 0).await;
    assert_eq!(scene.player.closed().await.0, 410);
}

#[tokio::test]
async fn too_many_that_wait_end_the_one_that_has_waited_for_longest() {
    let mut scene = Scene::start_with(|config| config.session.max_suspended = Some(1)).await;
    let first = scene.ticket.session_id;
    let mut other = Player::connect(&scene.gateway).await;
    begin(&mut other, "game", b"1").await;
    let mut ticket = Ticket::default();
    scene.link.opened().await;
    scene.link.data().await;
    opened(&mut other, &mut ticket).await;
    scene.cut().await;
    drop(other);
    suspended(&mut scene.link).await;
    assert_eq!(scene.link.closed().await, (first, 0));
    let mut back = resume(&scene.gateway, &ticket, 0).await;
    accept(&mut scene.link, ticket.session_id).await;
    assert_eq!(opened(&mut back, &mut ticket).await, EXACT(1));
}

#[tokio::test]
async fn a_window_of_zero_turns_resume_off() {
    let backend = Backend::start().await;
    let change = |config: &mut game_gateway::config::Config| {
        config.session.resume_window = Duration::ZERO;
    };
    let gateway = Gateway::start_with(&backend.routes(), change).await;
    let mut player = Player::connect(&gateway).await;
    begin(&mut player, "game", b"1").await;
    let mut ticket = Ticket::default();
    let mut link = backend.link().await;
    link.opened().await;
    opened(&mut player, &mut ticket).await;
    assert!(ticket.token.is_empty());
    link.data().await;
    drop(player);
    assert_eq!(link.closed().await, (ticket.session_id, 0));
}

#[tokio::test]
async fn the_admin_api_shows_who_waits_and_can_end_it() {
    let mut scene = Scene::start().await;
    scene.cut().await;
    let id = scene.ticket.session_id;
    let (_, body) = scene.gateway.get("/api/v1/sessions?state=suspended").await;
    assert!(body.contains(&format!("\"{id}\"")), "{body}");
    let (_, body) = scene.gateway.get("/api/v1/sessions?state=active").await;
    assert!(!body.contains(&format!("\"{id}\"")), "{body}");
    let kicked = scene.gateway.inspector().kick(id).await;
    assert!(kicked.is_ok(), "{kicked:?}");
    assert_eq!(scene.link.closed().await, (id, 440));
}
