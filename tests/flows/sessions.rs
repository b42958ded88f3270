//! The life of a session: start, traffic, end.

use game_gateway::codec::client::{self, FLAG_RESUMABLE, Header, Kind, Opened};
use game_gateway::codec::link::{self, Open};

use crate::scene::{Scene, header, ping, quiet, talk};
use crate::support::wire::{Backend, Gateway, Player, soon};

#[tokio::test]
async fn data_goes_there_and_back() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = Player::connect(&gateway).await;
    let header = Header {
        realm_id: 7,
        user_id: 42,
        ..Header::default()
    };
    player.send(header, "game", b"hello").await;

    let mut link = backend.link().await;
    let hello = link.hello.clone().expect("HELLO");
    assert_eq!(
        (hello.gateway_id.as_str(), hello.service_type.as_str()),
        ("gw-test", "game")
    );
    assert_eq!((hello.protocol, hello.token), (1, None));
    let opened = link.opened().await;
    let open = Open::decode(&opened.payload).expect("OPEN");
    assert_eq!(
        (open.realm_id, open.user_id, open.epoch, open.flags),
        (7, 42, 1, 0)
    );
    assert_eq!(
        (open.transport, open.previous_gateway),
        (link::Transport::Tcp as u8, "")
    );
    assert!(open.client.starts_with("127.0.0.1:"));
    let data = link.data().await;
    assert_eq!(
        (data.session_id, &data.payload[..]),
        (opened.session_id, &b"hello"[..])
    );
    assert_ne!(data.session_id, 0);

    link.send(link::Kind::Data, data.session_id, b"world").await;
    let answer = player.answer().await;
    assert_eq!(
        (answer.service.as_str(), &answer.payload[..]),
        ("game", &b"world"[..])
    );
    assert_eq!(answer.header.session_id, data.session_id);
    assert_eq!((answer.header.realm_id, answer.header.user_id), (7, 0));

    player
        .send(
            Header {
                kind: Kind::Close as u8,
                ..Header::default()
            },
            "",
            &1009_u16.to_be_bytes(),
        )
        .await;
    assert_eq!(link.closed().await, (data.session_id, 1009));
    assert_eq!(player.next().await, None);
    gateway.until("game_gateway_sessions", |n| n == 0).await;
}

#[tokio::test]
async fn a_resumable_client_is_told_that_it_is_open() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = Player::connect(&gateway).await;
    let header = Header {
        flags: FLAG_RESUMABLE,
        ..Header::default()
    };
    player.send(header, "game", b"x").await;
    let frame = player.next().await.expect("OPENED");
    assert_eq!(frame.header.kind, Kind::Opened as u8);
    let opened = Opened::decode(&frame.payload).expect("a payload");
    assert_eq!((opened.received, opened.idle_timeout_ms), (1, 300_000));
    assert_ne!(frame.header.session_id, 0);
    assert!(opened.token.len() <= client::HEADER_LEN * 64);
}

#[tokio::test]
async fn an_empty_service_name_means_the_previous_one() {
    let mut scene = Scene::start().await;
    let (player, a, b) = (&mut scene.player, &mut scene.a, &mut scene.b);
    player.data("", b"b was last").await;
    assert_eq!(&b.data().await.payload[..], b"b was last");
    player.data("a", b"3").await;
    player.data("", b"4").await;
    assert_eq!(&a.data().await.payload[..], b"3");
    assert_eq!(&a.data().await.payload[..], b"4");
    b.send(link::Kind::Data, scene.id, b"from b").await;
    assert_eq!(player.answer().await.service, "b");
    a.send(link::Kind::Data, scene.id, b"from a").await;
    assert_eq!(player.answer().await.service, "a");
    player.data("", b"5").await;
    assert_eq!(
        &a.data().await.payload[..],
        b"5",
        "answers name no service for the client"
    );
    quiet(b).await;
}

#[tokio::test]
async fn a_first_frame_without_a_service_starts_nothing() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = Player::connect(&gateway).await;
    player.data("", b"x").await;
    assert_eq!(player.error().await, (400, String::new()));
    ping(&mut player, b"on it goes").await;
    assert_eq!(
        gateway.metric("game_gateway_started_sessions_total").await,
        0
    );
    player.data("game", b"y").await;
    let mut link = backend.link().await;
    link.opened().await;
    assert_eq!(&link.data().await.payload[..], b"y");
}

#[tokio::test]
async fn session_ids_use_all_their_bits() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let header = Header {
        flags: FLAG_RESUMABLE,
        ..Header::default()
    };
    // All ask before anybody waits: the backend never accepts, so each waits as long as a gateway does for that.
    let mut players = Vec::new();
    for _ in 0..64 {
        let mut player = Player::connect(&gateway).await;
        player.send(header, "game", b"x").await;
        players.push(player);
    }
    let mut ids = std::collections::HashSet::new();
    let (mut any, mut all) = (0, u64::MAX);
    for player in &mut players {
        let id = player.next().await.expect("OPENED").header.session_id;
        assert!(id != 0 && ids.insert(id));
        (any, all) = (any | id, all & id);
    }
    // One bit stays the same 64 times by chance once in 2^57.
    assert_eq!((any, all), (u64::MAX, 0), "each bit has both values");
}

#[tokio::test]
async fn a_clients_own_id_is_ignored() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = Player::connect(&gateway).await;
    let chosen = Header {
        session_id: 77,
        ..Header::default()
    };
    player.send(chosen, "game", b"first").await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    assert!(id != 0 && id != 77);
    assert_eq!(&link.data().await.payload[..], b"first");
    player.send(chosen, "game", b"later").await;
    assert_eq!(player.error().await, (400, "game".to_owned()));
    talk(&mut player, "game", &mut link).await;
}

#[tokio::test]
async fn a_trusted_clients_id_is_its_own_until_it_leaves() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.session.trust_client_ids = true;
        // A player that leaves is gone at once.
        config.session.resume_window = std::time::Duration::ZERO;
        config.gateway.workers = 4;
    })
    .await;
    let chosen = Header {
        session_id: 77,
        flags: FLAG_RESUMABLE,
        ..Header::default()
    };
    let mut first = Player::connect(&gateway).await;
    first.send(chosen, "game", b"x").await;
    let mut link = backend.link().await;
    assert_eq!(link.opened().await.session_id, 77);
    link.data().await;
    let opened = first.next().await.expect("OPENED");
    assert_eq!(opened.header.session_id, 77);
    // Enough of them that every worker gets some.
    for _ in 0..32 {
        let mut second = Player::connect(&gateway).await;
        second.send(chosen, "game", b"mine").await;
        assert_eq!(second.closed().await.0, 409);
    }
    let metric = r#"game_gateway_closed_connections_total{reason="id_in_use"}"#;
    assert_eq!(gateway.metric(metric).await, 32);
    talk(&mut first, "game", &mut link).await;
    drop(first);
    assert_eq!(link.closed().await, (77, 0));
    // The registry may hear of it a moment after the backend.
    let opened = soon(async {
        loop {
            let mut next = Player::connect(&gateway).await;
            next.send(chosen, "game", b"free?").await;
            let frame = next.next().await.expect("a frame");
            if frame.header.kind == Kind::Opened as u8 {
                return frame;
            }
        }
    })
    .await;
    assert_eq!(opened.header.session_id, 77);
}

#[tokio::test]
async fn another_sessions_id_is_an_error_on_a_frame_of_any_kind() {
    let mut scene = Scene::start().await;
    for kind in (0..=9).chain([255]) {
        let header = Header {
            kind,
            session_id: scene.id ^ 1,
            ..Header::default()
        };
        scene.player.send(header, "a", b"").await;
        assert_eq!(
            scene.player.error().await,
            (400, "a".to_owned()),
            "kind {kind}"
        );
    }
    let own = Header {
        session_id: scene.id,
        ..Header::default()
    };
    scene.player.send(own, "b", b"mine").await;
    assert_eq!(&scene.b.data().await.payload[..], b"mine");
    scene.unharmed().await;
}

#[tokio::test]
async fn one_service_too_many_is_refused_by_name() {
    let mut scene = Scene::start_with(|config| config.session.max_services = 2).await;
    scene.player.data("c", b"x").await;
    assert_eq!(scene.player.error().await, (503, "c".to_owned()));
    scene.player.data("", b"x").await;
    assert_eq!(scene.player.error().await, (503, "c".to_owned()));
    scene
        .gateway
        .until(r#"game_gateway_refused_frames_total{code="503"}"#, |n| {
            n == 2
        })
        .await;
    scene.unharmed().await;
}

#[tokio::test]
async fn pings_come_back_with_their_bytes_up_to_125() {
    let mut scene = Scene::start().await;
    let mut newcomer = Player::connect(&scene.gateway).await;
    for player in [&mut newcomer, &mut scene.player] {
        for len in [0, 1, 125] {
            ping(player, &vec![7; len]).await;
        }
        for kind in [Kind::Ping, Kind::Pong] {
            player.send(header(kind), "", &[7; 126]).await;
            assert_eq!(player.error().await, (400, String::new()));
        }
        player.send(header(Kind::Pong), "", b"unasked").await;
        ping(player, b"and nothing for the PONG").await;
    }
    scene.unharmed().await;
}

#[tokio::test]
async fn pings_before_a_session_do_not_keep_a_connection_alive() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.session.idle_timeout = std::time::Duration::from_millis(200);
    })
    .await;
    let mut player = Player::connect(&gateway).await;
    let last = soon(async {
        loop {
            player.send(header(Kind::Ping), "", b"x").await;
            let frame = player.next().await.expect("PONG or CLOSE");
            if frame.header.kind != Kind::Pong as u8 {
                return frame;
            }
        }
    })
    .await;
    assert_eq!(last.header.kind, Kind::Close as u8);
    assert_eq!(last.payload[..2], 408_u16.to_be_bytes());
}
