//! The peer channel's own life: releases, keys, who answers, and what it may cost.

use std::time::Duration;

use game_gateway::codec::link::Kind;
use game_gateway::codec::peer::ToClaimant;
use game_gateway::config::{Config, PeerChannel};
use game_gateway::net::peer::{self, Hello};
use tokio::net::{TcpListener, TcpSocket};

use crate::neighbours::{Owner, ticket};
use crate::other_gateway::{KEY, other, peered};
use crate::stage::{Answer, Scene, opened, resume, says};
use crate::strangers::{Neighbour, connect, failures, keys, rest};
use crate::support::wire::soon;

fn nowhere() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

/// A gateway of the release before is dialled, and dials.
#[tokio::test]
async fn releases_hand_sessions_over_to_each_other() {
    let of = |version: u8| {
        move |config: &mut Config| {
            peered(config);
            config.peer.channel.version = version;
        }
    };
    for (owner, claimant, spoken) in [(1, 2, 1), (2, 1, 1), (1, 1, 1), (2, 2, 2)] {
        let mut scene = Scene::start_with(of(owner)).await;
        let second = other(&scene.backend, "gw-b", of(claimant)).await;
        let id = scene.ticket.session_id;
        scene.send("a").await;
        let mut player = resume(&second, &scene.ticket, 0).await;
        let mut link = scene.backend.link().await;
        link.opened().await;
        link.send(Kind::Accept, id, &2_u32.to_be_bytes()).await;
        assert_eq!(scene.link.closed().await, (id, 307));
        let code = 307_u16.to_be_bytes();
        scene.link.send(Kind::Close, id, &code).await;
        let mut ticket = scene.ticket.clone();
        let exact = Answer {
            received: 1,
            gap: false,
        };
        assert_eq!(opened(&mut player, &mut ticket).await, exact);
        says(&mut player, "a").await;
        // Each says how many connections still are of the release before.
        let (_, peers) = second.get("/api/v1/actors?kind=peers").await;
        let old = u8::from(spoken == 1);
        let shown = format!("\"connections_of_version_1\":{old}");
        assert!(peers.contains(&shown), "{peers}");
    }
}

#[tokio::test]
async fn a_key_that_is_taken_away_ends_its_connections() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("keys");
    let newer = "n".repeat(32);
    std::fs::write(&file, format!("{newer}\n{KEY}\n")).expect("written");
    let scene = Scene::start_with(|config| {
        peered(config);
        config.session.token_keys.clear();
        config.session.token_keys_file = Some(file.clone());
    })
    .await;
    let mut first = Neighbour::of(&scene.gateway).await;
    let mut second = Neighbour::with_key(&newer, &scene.gateway).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let mut player = resume(&scene.gateway, &ticket(11, &listener, nowhere()), 0).await;
    let mut owner = Owner::answer(&listener).await;
    let asked = owner.hear().await;
    first.ask(1, 1, 1).await;
    assert_eq!(first.hear().await, (1, ToClaimant::Unknown));
    std::fs::write(&file, &newer).expect("written");
    scene.gateway.reload();
    assert_eq!(rest(first.stream).await, b"");
    // The one that this gateway has dialled, too: the call is lost.
    assert_eq!(asked.session_id, 11);
    owner.gone().await;
    assert_eq!(player.closed().await.0, 410);
    second.ask(1, 1, 1).await;
    assert_eq!(second.hear().await, (1, ToClaimant::Unknown));
}

#[tokio::test]
async fn an_address_that_is_somebody_else_s_now_is_not_asked() {
    let scene = Scene::start_with(peered).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let mut player = resume(&scene.gateway, &ticket(11, &listener, nowhere()), 0).await;
    let (mut stream, _) = soon(listener.accept()).await.expect("dialled");
    let keys = keys(KEY);
    let own = Hello::new(&keys, "gw-newcomer", "127.0.0.1:1");
    let secured = soon(peer::answer(&mut stream, &keys, own)).await;
    secured.expect("it is a gateway of the deployment");
    assert_eq!(rest(stream).await, b"", "nothing is asked");
    failures(&scene.gateway, "wrong_gateway", 1).await;
    assert_eq!(player.closed().await.0, 410);
}

#[tokio::test]
async fn a_connection_without_calls_is_closed_by_who_has_dialled() {
    let scene = Scene::start_with(|config| {
        peered(config);
        config.peer.channel.idle = Duration::from_millis(100);
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let mut player = resume(&scene.gateway, &ticket(11, &listener, nowhere()), 0).await;
    let mut owner = Owner::answer(&listener).await;
    let asked = owner.hear().await;
    owner.say(asked, ToClaimant::NotGood).await;
    assert_eq!(player.closed().await.0, 410);
    owner.gone().await;
    scene
        .gateway
        .until("game_gateway_peer_connections", |n| n == 0)
        .await;
    // The next question dials anew.
    let _player = resume(&scene.gateway, &ticket(12, &listener, nowhere()), 0).await;
    let mut owner = Owner::answer(&listener).await;
    assert_eq!(owner.hear().await.session_id, 12);
}

#[tokio::test]
async fn connections_are_bounded() {
    let scene = Scene::start_with(|config| {
        peered(config);
        config.peer.channel.connections = 2;
    })
    .await;
    let mut first = Neighbour::of(&scene.gateway).await;
    first.ask(1, 1, 1).await;
    assert_eq!(first.hear().await, (1, ToClaimant::Unknown));
    let second = Neighbour::of(&scene.gateway).await;
    let third = Neighbour::of(&scene.gateway).await;
    assert_eq!(rest(third.stream).await, b"");
    failures(&scene.gateway, "crowded", 1).await;
    // Nobody is dialled beyond it either: as if the owner were gone.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let mut player = resume(&scene.gateway, &ticket(11, &listener, nowhere()), 0).await;
    assert_eq!(player.closed().await.0, 410);
    drop(second);
    scene
        .gateway
        .until("game_gateway_peer_connections", |n| n == 1)
        .await;
    let mut next = Neighbour::of(&scene.gateway).await;
    next.ask(1, 1, 1).await;
    assert_eq!(next.hear().await, (1, ToClaimant::Unknown));
    first.ask(2, 1, 1).await;
    assert_eq!(first.hear().await, (2, ToClaimant::Unknown));
}

/// Asks on and on without reading an answer, until the gateway has had enough.
async fn asks_and_never_reads(neighbour: &mut Neighbour) {
    let mut calls = 1..100;
    while neighbour.try_ask_on(calls.clone(), 1, 1).await {
        calls = calls.end..calls.end + 100;
    }
}

#[tokio::test]
async fn what_waits_for_a_gateway_is_bounded_and_counted() {
    for together in [false, true] {
        let scene = Scene::start_with(|config| {
            peered(config);
            let (one, all) = match together {
                false => (64 * 1024, usize::MAX),
                true => (usize::MAX, 64 * 1024),
            };
            config.peer.channel.queued_bytes = one;
            config.peer.channel.all_queued_bytes = all;
        })
        .await;
        let mut bystander = Neighbour::of(&scene.gateway).await;
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set");
        // The other end has buffers for a few segments: of those of a loopback, megabytes.
        let options = socket2::SockRef::from(&socket);
        options.set_tcp_mss(536).expect("set");
        let stream = soon(socket.connect(scene.gateway.peer())).await;
        let mut deaf = Neighbour::on(stream.expect("connected"), KEY).await;
        soon(asks_and_never_reads(&mut deaf)).await;
        let (_, peers) = scene.gateway.get("/api/v1/actors?kind=peers").await;
        let why = match together {
            false => "it does not take what is said to it",
            true => "too much waits for other gateways",
        };
        assert!(peers.contains(why), "{peers}");
        drop(deaf);
        scene
            .gateway
            .until("game_gateway_peer_queued_bytes", |n| n == 0)
            .await;
        bystander.ask(1, 1, 1).await;
        assert_eq!(bystander.hear().await, (1, ToClaimant::Unknown));
    }
}

/// The tests above have smaller bounds than those that are documented.
#[test]
fn bounds_are_those_of_the_document() {
    let document = include_str!("../../docs/peer.md");
    let bounds = PeerChannel::default();
    let mib = 1024 * 1024;
    assert_eq!((bounds.connections, bounds.idle.as_secs()), (1024, 60));
    assert_eq!(bounds.queued_bytes / mib, 64);
    assert_eq!(bounds.all_queued_bytes / mib, 256);
    for row in [
        "| connections to gateways | 1,024,",
        "| bytes queued for one gateway; for all | 64 MiB; 256 MiB |",
        "| idle time of a connection without calls | 60 s |",
    ] {
        assert!(document.contains(row), "{row}");
    }
}

#[tokio::test]
async fn strangers_are_told_apart_by_what_they_say() {
    let scene = Scene::start_with(peered).await;
    let link = b"\0\0\0\x40\x01\0\0\0\0\0\0\0".to_vec();
    let mut count = 0;
    for (said, named) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "looks like HTTP"),
        (b"\x16\x03\x01\x02\0\x01\0\x01".to_vec(), "looks like TLS"),
        (
            b"\xA7\x47\x01\0\0\0\0\0".to_vec(),
            "looks like the client protocol",
        ),
        (link, "looks like the link protocol"),
        (vec![0; 16], "malformed HELLO"),
    ] {
        let mut stream = connect(&scene.gateway).await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, &said)
            .await
            .expect("written");
        assert_eq!(rest(stream).await, b"");
        count += 1;
        failures(&scene.gateway, "malformed", count).await;
        let shown = async {
            while !(scene.gateway.get("/api/v1/actors?kind=peers").await.1).contains(named) {
                crate::support::wire::look_again().await;
            }
        };
        soon(shown).await;
    }
}
