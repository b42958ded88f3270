//! Whatever ends a session, each of its backends gets one OPEN and one final CLOSE.

use std::time::Duration;

use game_gateway::codec::client::Kind;
use game_gateway::codec::link;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::scene::{Scene, data, frame, header, quiet, routes};
use crate::support::wire::{Backend, Gateway, Link, Player};

fn closed(reason: &str) -> String {
    format!("game_gateway_closed_connections_total{{reason=\"{reason}\"}}")
}

/// Asserts that both backends get one CLOSE with this code and nothing after it.
async fn both_closed(gateway: &Gateway, id: u64, links: [&mut Link; 2], code: u16) {
    let links = links.map(|link| (link, code));
    for (link, code) in links {
        assert_eq!(link.closed().await, (id, code));
        gateway.until("game_gateway_connections", |n| n == 0).await;
        quiet(link).await;
    }
    assert_eq!(gateway.metric("game_gateway_sessions").await, 0);
}

#[tokio::test]
async fn by_the_clients_close_with_its_code() {
    for (payload, code) in [(&[0x12, 0x34][..], 0x1234), (&[], 0), (&[9], 0)] {
        let mut scene = Scene::start().await;
        scene.player.send(header(Kind::Close), "", payload).await;
        assert_eq!(scene.player.next().await, None, "a CLOSE is not answered");
        drop(scene.player);
        let links = [&mut scene.a, &mut scene.b];
        both_closed(&scene.gateway, scene.id, links, code).await;
        assert_eq!(scene.gateway.metric(&closed("client")).await, 1);
    }
}

#[tokio::test]
async fn by_a_clients_close_whose_code_is_not_its_own() {
    for code in [1_u16, 307, 421, 503, 999] {
        let mut scene = Scene::start().await;
        let bytes = code.to_be_bytes();
        scene.player.send(header(Kind::Close), "", &bytes).await;
        assert_eq!(scene.player.next().await, None);
        drop(scene.player);
        let links = [&mut scene.a, &mut scene.b];
        both_closed(&scene.gateway, scene.id, links, 0).await;
    }
}

#[tokio::test]
async fn by_the_end_of_the_connection() {
    let mut scene = Scene::start().await;
    drop(scene.player);
    let links = [&mut scene.a, &mut scene.b];
    both_closed(&scene.gateway, scene.id, links, 0).await;
    assert_eq!(scene.gateway.metric(&closed("disconnected")).await, 1);
}

#[tokio::test]
async fn by_a_reset() {
    let backends = [Backend::start().await, Backend::start().await];
    let rules = routes(&[
        ("a", Backend::rule(&[&backends[0]])),
        ("b", Backend::rule(&[&backends[1]])),
    ]);
    let gateway = Gateway::start(&rules).await;
    let mut socket = TcpStream::connect(gateway.players)
        .await
        .expect("connected");
    let frames = [data("a", b"1"), data("b", b"2")].concat();
    socket.write_all(&frames).await.expect("sent");
    let (mut a, mut b) = (backends[0].link().await, backends[1].link().await);
    let id = a.opened().await.session_id;
    b.opened().await;
    a.data().await;
    b.data().await;
    let at_once = Some(Duration::ZERO);
    SockRef::from(&socket).set_linger(at_once).expect("set");
    drop(socket);
    both_closed(&gateway, id, [&mut a, &mut b], 0).await;
    assert_eq!(gateway.metric(&closed("failed")).await, 1);
}

#[tokio::test]
async fn by_silence() {
    let idle_timeout = Duration::from_secs(1);
    let mut scene = Scene::start_with(|config| config.session.idle_timeout = idle_timeout).await;
    assert_eq!(scene.player.closed().await, (408, 0));
    drop(scene.player);
    let links = [&mut scene.a, &mut scene.b];
    both_closed(&scene.gateway, scene.id, links, 408).await;
    assert_eq!(scene.gateway.metric(&closed("idle")).await, 1);
}

#[tokio::test]
async fn by_lost_framing() {
    for (wire, code, reason) in [
        (vec![0; 32], 400, "bad_magic"),
        (data("Upper", b""), 400, "bad_service_name"),
        (data("a", &[0; 65_537]), 413, "payload_too_large"),
    ] {
        let mut scene = Scene::start().await;
        // Frames before the mistake still arrive.
        scene.player.raw(&[data("a", b"3"), wire].concat()).await;
        assert_eq!(&scene.a.data().await.payload[..], b"3");
        assert_eq!(scene.player.closed().await, (code, 0));
        drop(scene.player);
        let links = [&mut scene.a, &mut scene.b];
        both_closed(&scene.gateway, scene.id, links, code).await;
        assert_eq!(scene.gateway.metric(&closed(reason)).await, 1);
    }
}

#[tokio::test]
async fn by_a_backend_the_others_get_its_code_and_itself_gets_nothing() {
    let given = [0x12, 0x34, 0, 0, 0, 9, b'o', b'u', b't'];
    for (payload, told) in [(&given[..], (0x1234, 9)), (&[], (440, 0))] {
        let mut scene = Scene::start().await;
        scene.a.send(link::Kind::Data, scene.id, b"last").await;
        scene.a.send(link::Kind::Close, scene.id, payload).await;
        assert_eq!(&scene.player.answer().await.payload[..], b"last");
        assert_eq!(scene.player.closed().await, told);
        drop(scene.player);
        assert_eq!(scene.b.closed().await, (scene.id, told.0));
        scene
            .gateway
            .until("game_gateway_connections", |n| n == 0)
            .await;
        quiet(&mut scene.a).await;
        quiet(&mut scene.b).await;
        assert_eq!(scene.gateway.metric(&closed("backend")).await, 1);
    }
}

/// Sets up a service whose connected backend does not answer yet, with frames that wait for it.
async fn waiting(wire: &[u8]) -> (Gateway, Player, Link, Backend) {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = Player::connect(&gateway).await;
    let before = gateway.metric("game_gateway_client_in_bytes_total").await;
    player.raw(wire).await;
    let read = before + wire.len() as u64;
    gateway
        .until("game_gateway_client_in_bytes_total", |n| n == read)
        .await;
    let mut link = Link::new(backend.accept().await);
    for kind in [link::Kind::Hello, link::Kind::Ping] {
        assert_eq!(link.next_raw().await.expect("a frame").kind, kind as u8);
    }
    (gateway, player, link, backend)
}

/// Frames that a client sent before its end reach a backend that was not connected yet.
async fn first_the_frames(link: &mut Link, code: u16) {
    link.send(link::Kind::Pong, 0, b"").await;
    let id = link.opened().await.session_id;
    assert_eq!(&link.data().await.payload[..], b"1");
    assert_eq!(&link.data().await.payload[..], b"2");
    assert_eq!(link.closed().await, (id, code));
}

#[tokio::test]
async fn behind_frames_that_wait_for_a_link() {
    let frames = [data("game", b"1"), data("", b"2")].concat();
    let bye = frame(Kind::Close as u8, "", &1009_u16.to_be_bytes());
    for (end, code, told) in [(bye, 1009, None), (vec![0; 32], 400, Some((400, 0)))] {
        let wire = [frames.clone(), end].concat();
        let (gateway, mut player, mut link, _backend) = waiting(&wire).await;
        first_the_frames(&mut link, code).await;
        match told {
            Some(told) => assert_eq!(player.closed().await, told),
            None => assert_eq!(player.next().await, None),
        }
        drop(player);
        gateway.until("game_gateway_connections", |n| n == 0).await;
        quiet(&mut link).await;
    }
    let (gateway, player, mut link, _backend) = waiting(&frames).await;
    drop(player);
    first_the_frames(&mut link, 0).await;
    gateway.until("game_gateway_connections", |n| n == 0).await;
    quiet(&mut link).await;
}

#[tokio::test]
async fn behind_frames_whose_backend_cannot_be_reached() {
    let wire = [data("game", b"1"), frame(Kind::Close as u8, "", &[])].concat();
    let (gateway, mut player, link, backend) = waiting(&wire).await;
    drop((link, backend));
    assert_eq!(player.error().await, (502, "game".to_owned()));
    assert_eq!(player.next().await, None);
    assert_eq!(gateway.metric(&closed("client")).await, 1);
}

/// A backend that comes up after its session was ended by another one: it may see OPEN, and then
/// gets the same code.
#[tokio::test]
async fn before_a_backend_is_there() {
    let backends = [Backend::start().await, Backend::start().await];
    let rules = routes(&[
        ("a", Backend::rule(&[&backends[0]])),
        ("b", Backend::rule(&[&backends[1]])),
    ]);
    let gateway = Gateway::start(&rules).await;
    let mut player = Player::connect(&gateway).await;
    player.data("a", b"1").await;
    let mut a = backends[0].link().await;
    let id = a.opened().await.session_id;
    player.data("b", b"2").await;
    let mut b = Link::new(backends[1].accept().await);
    a.send(link::Kind::Close, id, &[0, 9]).await;
    assert_eq!(player.closed().await.0, 9);
    for kind in [link::Kind::Hello, link::Kind::Ping] {
        assert_eq!(b.next_raw().await.expect("a frame").kind, kind as u8);
    }
    b.send(link::Kind::Pong, 0, b"").await;
    gateway.until("game_gateway_links", |n| n == 2).await;
    drop(player);
    gateway.until("game_gateway_connections", |n| n == 0).await;
    b.send(link::Kind::Ping, 0, b"end").await;
    let mut frame = b.next().await.expect("a frame");
    if frame.kind == link::Kind::Open as u8 {
        assert_eq!(b.closed().await, (id, 9));
        frame = b.next().await.expect("a frame");
    }
    assert_eq!(frame.kind, link::Kind::Pong as u8, "{frame:?}");
    let dropped = r#"game_gateway_dropped_frames_total{reason="client_closing"}"#;
    assert_eq!(gateway.metric(dropped).await, 1, "its frame is counted");
}
