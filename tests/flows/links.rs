//! Links: when they take sessions, how many there are, when they go.

use std::time::Duration;

use game_gateway::codec::link::Kind;

use crate::stage::{Hub, echo, echo_link, player};
use crate::support::wire::{Backend, Gateway, Link, Player};

/// Returns an address on which nobody listens.
async fn nobody() -> String {
    Backend::start().await.address.to_string()
}

#[tokio::test]
async fn a_link_takes_sessions_only_after_its_first_pong() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = player(&gateway, "game", b"hello").await;
    let mut link = Link::new(backend.accept().await);
    let hello = link.next_raw().await.expect("HELLO");
    let ping = link.next_raw().await.expect("PING");
    assert_eq!(
        (hello.kind, ping.kind),
        (Kind::Hello as u8, Kind::Ping as u8)
    );
    assert_eq!((hello.session_id, ping.session_id), (0, 0));

    // Anything that the gateway had to send before this PING would precede the PONG.
    link.send(Kind::Ping, 0, b"anything?").await;
    let pong = link.next_raw().await.expect("PONG");
    assert_eq!(
        (pong.kind, &pong.payload[..]),
        (Kind::Pong as u8, &b"anything?"[..])
    );
    assert_eq!(
        gateway.metric("game_gateway_started_sessions_total").await,
        1
    );
    assert_eq!(gateway.metric("game_gateway_links").await, 0);

    link.send(Kind::Pong, 0, &ping.payload).await;
    let session_id = link.opened().await.session_id;
    assert_eq!(link.data().await.session_id, session_id);
    link.send(Kind::Data, session_id, b"welcome").await;
    assert_eq!(&player.answer().await.payload[..], b"welcome");
}

/// Those who wait for the link are told of GOAWAY later than it.
#[tokio::test]
async fn no_session_is_opened_behind_goaway() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = player(&gateway, "game", b"hello").await;
    let mut link = Link::new(backend.accept().await);
    link.next_raw().await.expect("HELLO");
    let ping = link.next_raw().await.expect("PING");
    link.send(Kind::Goaway, 0, b"").await;
    link.send(Kind::Pong, 0, &ping.payload).await;
    assert_eq!(player.error().await, (502, "game".to_owned()));
    link.send(Kind::Ping, 0, b"anything?").await;
    let pong = link.next_raw().await.expect("PONG");
    assert_eq!(pong.kind, Kind::Pong as u8);
}

#[tokio::test]
async fn a_backend_that_accepts_and_says_nothing_is_502() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.connect_timeout = Duration::from_millis(100);
    })
    .await;
    let mut player = player(&gateway, "game", b"hello").await;
    let _silent = backend.accept().await;
    assert_eq!(player.error().await, (502, "game".to_owned()));
    let lost = r#"game_gateway_ended_links_total{reason="connect_timeout"}"#;
    gateway.until(lost, |n| n >= 1).await;
}

#[tokio::test]
async fn a_link_without_sessions_is_closed_and_comes_again_when_needed() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.idle_timeout = Duration::from_millis(200);
        config.backend.ping_interval = Duration::from_secs(1);
    })
    .await;
    let first = player(&gateway, "game", b"1").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    link.data().await;
    drop(first);
    assert_eq!(link.closed().await, (session_id, 0));
    assert_eq!(link.next().await, None);
    drop(link);
    let idle = r#"game_gateway_ended_links_total{reason="idle"}"#;
    gateway.until(idle, |n| n == 1).await;

    let mut second = player(&gateway, "game", b"2").await;
    tokio::spawn(echo_link(backend.link().await));
    assert_eq!(&second.answer().await.payload[..], b"2");
}

#[tokio::test]
async fn two_links_an_endpoint_share_its_sessions() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.links_per_endpoint = 2;
    })
    .await;
    let mut hub = Hub::start(backend);
    let mut players = vec![hub.player(&gateway).await, hub.player(&gateway).await];
    gateway.until("game_gateway_links", |n| n == 2).await;
    for _ in 0..6 {
        players.push(hub.player(&gateway).await);
    }
    let on_first = players.iter().filter(|(_, _, link)| *link == 0).count();
    assert_eq!(on_first, 4, "of eight");
    assert_eq!(gateway.metric("game_gateway_started_links_total").await, 2);
}

#[tokio::test]
async fn one_link_serves_the_clients_of_all_workers_where_a_rule_says_so() {
    let backend = Backend::start().await;
    let routes = format!(
        r#"{{"rules":{{"game":{{"strategy":"round_robin","max_connections":1,"endpoints":["{}"]}}}}}}"#,
        backend.address
    );
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = 4).await;
    let mut hub = Hub::start(backend);
    let mut players = Vec::new();
    for number in 0..40_u8 {
        players.push((number, player(&gateway, "game", &[number]).await));
    }
    for _ in 0..2 * players.len() {
        let (link, frame) = hub.next().await;
        if frame.kind == Kind::Data as u8 {
            hub.send(link, Kind::Data, frame.session_id, &frame.payload);
        }
    }
    for (number, player) in &mut players {
        assert_eq!(&player.answer().await.payload[..], &[*number]);
    }
    assert_eq!(hub.links(), 1);
    assert_eq!(gateway.metric("game_gateway_started_links_total").await, 1);
}

#[tokio::test]
async fn a_backend_that_comes_back_is_used_again() {
    let backend = Backend::start().await;
    let address = backend.address.to_string();
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = player(&gateway, "game", b"before").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    drop((backend, link));
    assert_eq!(player.error().await, (502, "game".to_owned()));
    player.data("game", b"while it is away").await;
    assert_eq!(player.error().await, (502, "game".to_owned()));

    echo(Backend::start_on(&address).await);
    let answer = loop {
        player.data("game", b"after").await;
        let frame = player.next().await.expect("a frame");
        if frame.header.kind == game_gateway::codec::client::Kind::Data as u8 {
            break frame;
        }
    };
    assert_eq!(answer.header.session_id, session_id);
    assert_eq!(&answer.payload[..], b"after");
}

#[tokio::test]
async fn names_are_resolved() {
    let backend = Backend::start_on("127.0.0.1:0").await;
    let routes = format!(
        r#"{{"rules":{{"game":{{"strategy":"round_robin","endpoints":["localhost:{}"]}}}}}}"#,
        backend.address.port()
    );
    let gateway = Gateway::start(&routes).await;
    let mut player = player(&gateway, "game", b"hello").await;
    echo(backend);
    assert_eq!(&player.answer().await.payload[..], b"hello");
}

#[tokio::test]
async fn nobody_notices_one_dead_endpoint_of_three() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let routes = format!(
        r#"{{"rules":{{"game":{{"strategy":"round_robin","endpoints":["{}","{}","{}"]}}}}}}"#,
        one.address,
        nobody().await,
        two.address
    );
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = 2).await;
    echo(one);
    echo(two);
    let mut players = Vec::new();
    for number in 0..24_u8 {
        players.push(player(&gateway, "game", &[number]).await);
    }
    for (number, player) in players.iter_mut().enumerate() {
        assert_eq!(&player.answer().await.payload[..], &[number as u8]);
    }
    let failed = r#"game_gateway_ended_links_total{reason="connect_failed"}"#;
    gateway.until(failed, |n| n >= 1).await;
}

#[tokio::test]
async fn an_endpoint_whose_rule_changes_while_it_is_down_is_used_when_it_is_back() {
    let alive = Backend::start().await;
    let address = nobody().await;
    let rule = |more: &str| {
        format!(
            r#"{{"rules":{{"game":{{"strategy":"round_robin",{more}"endpoints":["{}","{address}"]}}}}}}"#,
            alive.address
        )
    };
    let (before, after) = (rule(""), rule(r#""max_connections":8,"#));
    let gateway = Gateway::start(&before).await;
    echo(alive);
    for _ in 0..2 {
        player(&gateway, "game", b"x").await.answer().await;
    }
    let failed = r#"game_gateway_ended_links_total{reason="connect_failed"}"#;
    gateway.until(failed, |n| n >= 1).await;
    gateway.set_routes(&after);
    gateway
        .until("game_gateway_routes_version", |version| version == 2)
        .await;

    let mut hub = Hub::start(Backend::start_on(&address).await);
    let mut players: Vec<Player> = Vec::new();
    for _ in 0..8 {
        // Players that are not routed to the recovered endpoint are answered by the other one.
        let mut next = player(&gateway, "game", b"x").await;
        tokio::select! {
            _ = next.answer() => players.push(next),
            (_, frame) = hub.next() => return assert_eq!(frame.kind, Kind::Open as u8),
        }
    }
    panic!("of {} sessions none came to it", players.len());
}
