//! Links that are lost, and backends that say that they leave.

use std::time::Duration;

use game_gateway::codec::link::{Kind, Open};
use game_gateway::supervision::Kind::BackendPool as Pool;

use crate::stage::{Hub, echo, echo_link, notice, player};
use crate::support::wire::{Backend, Gateway, soon};

const PROTOCOL_ERRORS: &str = r#"game_gateway_ended_links_total{reason="protocol_error"}"#;

/// Encodes a frame, with a header that may lie.
fn frame(payload_len: u32, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = payload_len.to_be_bytes().to_vec();
    bytes.extend([kind, 0, 0, 0]);
    bytes.extend([0; 8]);
    bytes.extend(payload);
    bytes
}

#[tokio::test]
async fn three_missing_pongs_lose_the_link_and_nothing_else() {
    let (game, chat) = (Backend::start().await, Backend::start().await);
    let routes = format!(
        r#"{{"rules":{{"game":{},"chat":{}}}}}"#,
        Backend::rule(&[&game]),
        Backend::rule(&[&chat])
    );
    let gateway = Gateway::start_with(&routes, |config| {
        config.backend.ping_interval = Duration::from_millis(1500);
    })
    .await;
    echo(chat);
    let mut first = player(&gateway, "game", b"1").await;
    let mut silent = game.link().await;
    let first_id = silent.opened().await.session_id;
    let mut second = player(&gateway, "game", b"2").await;
    silent.data().await;
    silent.opened().await;
    silent.data().await;
    let mut talker = player(&gateway, "chat", b"3").await;
    assert_eq!(&talker.answer().await.payload[..], b"3");

    // Nothing is read or said any more on the link.
    assert_eq!(first.error().await, (502, "game".to_owned()));
    assert_eq!(second.error().await, (502, "game".to_owned()));
    let lost = r#"game_gateway_ended_links_total{reason="ping_timeout"}"#;
    gateway.until(lost, |n| n == 1).await;

    first.data("", b"again").await;
    let mut link = game.link().await;
    let opened = link.opened().await;
    let open = Open::decode(&opened.payload).expect("OPEN");
    assert_eq!(
        (opened.session_id, open.epoch, open.flags),
        (first_id, 1, 0)
    );
    assert_eq!(open.previous_gateway, "");
    assert_eq!(&link.data().await.payload[..], b"again");
    link.send(Kind::Data, first_id, b"here").await;
    // No second ERROR came before.
    assert_eq!(&first.answer().await.payload[..], b"here");
    talker.data("chat", b"still there?").await;
    assert_eq!(&talker.answer().await.payload[..], b"still there?");
}

#[tokio::test]
async fn broken_framing_loses_the_link_not_the_gateway() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.max_link_payload = 1024;
    })
    .await;
    let mut lying = 3_u32.to_be_bytes().to_vec();
    lying.extend([0; 23]);
    let mut absurd = u32::MAX.to_be_bytes().to_vec();
    absurd.extend([0; 23]);
    let cases = [
        ("over max_link_payload", frame(1025, 0, &[])),
        ("short BIND", frame(11, Kind::Bind as u8, &[1; 11])),
        ("short MULTICAST", frame(3, Kind::Multicast as u8, &[0; 3])),
        (
            "MULTICAST of 3 with 2",
            frame(27, Kind::Multicast as u8, &lying),
        ),
        (
            "MULTICAST of 2^32-1",
            frame(27, Kind::Multicast as u8, &absurd),
        ),
        ("long PING", frame(126, Kind::Ping as u8, &[0; 126])),
    ];
    let mut player = player(&gateway, "game", b"x").await;
    for (number, (what, bytes)) in cases.iter().enumerate() {
        let mut link = backend.link().await;
        let session_id = link.opened().await.session_id;
        link.data().await;
        // Frames before the mistake count.
        link.send(Kind::Data, session_id, what.as_bytes()).await;
        link.raw(bytes).await;
        assert_eq!(&player.answer().await.payload[..], what.as_bytes());
        assert_eq!(player.error().await, (502, "game".to_owned()), "{what}");
        assert_eq!(link.next_raw().await, None, "{what}");
        assert_eq!(gateway.metric(PROTOCOL_ERRORS).await, number as u64 + 1);
        player.data("game", b"x").await;
    }
    tokio::spawn(echo_link(backend.link().await));
    assert_eq!(&player.answer().await.payload[..], b"x");
}

#[tokio::test]
async fn a_session_whose_link_was_lost_still_says_goodbye() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut leaves = player(&gateway, "game", b"1").await;
    let mut link = backend.link().await;
    let leaves_id = link.opened().await.session_id;
    link.data().await;
    let mut stays = player(&gateway, "game", b"2").await;
    let stays_id = link.opened().await.session_id;
    link.data().await;
    drop(link);
    assert_eq!(leaves.error().await.0, 502);
    assert_eq!(stays.error().await.0, 502);
    // One ends before there is another link, the other is opened again on it.
    let close = game_gateway::codec::client::Kind::Close as u8;
    leaves.send(header(close), "", &notice(7)).await;
    assert_eq!(leaves.next().await, None);
    stays.data("game", b"again").await;
    let mut link = backend.link().await;
    let mut frames = Vec::new();
    while frames.len() < 3 {
        let frame = link.next().await.expect("a frame");
        frames.push((frame.kind, frame.session_id));
    }
    frames.sort_unstable();
    let expected = [
        (Kind::Data as u8, stays_id),
        (Kind::Open as u8, stays_id),
        (Kind::Close as u8, leaves_id),
    ];
    assert_eq!(frames, expected);
    drop(stays);
    assert_eq!(link.closed().await, (stays_id, 0));
    // Nothing more was owed for either.
    let mut last = player(&gateway, "game", b"3").await;
    link.opened().await;
    let data = link.data().await;
    link.send(Kind::Data, data.session_id, b"3").await;
    last.answer().await;
}

/// No rule names the backend any more, one worker has lost its link, another has not: so the backend keeps all sessions.
#[tokio::test]
async fn a_session_says_goodbye_over_the_link_of_another_worker() {
    let (old, new) = (Backend::start().await, Backend::start().await);
    let gateway = Gateway::start_with(&old.routes(), |config| {
        config.gateway.workers = 2;
        config.backend.ping_interval = Duration::from_secs(1);
    })
    .await;
    let mut hub = Hub::start(old);
    let (mut lost, mut others) = (Vec::new(), Vec::new());
    while lost.len() < 2 || others.is_empty() {
        let (player, session_id, link) = hub.player(&gateway).await;
        match link {
            0 => lost.push((player, session_id)),
            _ => others.push(player),
        }
    }
    gateway.set_routes(&new.routes());
    gateway
        .until("game_gateway_routes_version", |version| version == 2)
        .await;
    hub.lose(0);
    // The first one leaves as soon as it hears so, the others when there is no pool left that has lost a link.
    for (mut player, session_id) in lost {
        assert_eq!(player.error().await, (502, "game".to_owned()));
        drop(player);
        let (link, close) = hub.expect(Kind::Close).await;
        assert_eq!((link, close.session_id), (1, session_id));
        let pools = || gateway.inspector().actors.list(Pool, None, usize::MAX);
        soon(async {
            while pools().len() > 1 {
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }
}

fn header(kind: u8) -> game_gateway::codec::client::Header {
    game_gateway::codec::client::Header {
        kind,
        ..Default::default()
    }
}

#[tokio::test]
async fn kinds_that_no_backend_sends_are_skipped_and_counted() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = player(&gateway, "game", b"x").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    link.data().await;
    for kind in [
        Kind::Hello as u8,
        Kind::Open as u8,
        Kind::Suspend as u8,
        11,
        255,
    ] {
        link.raw(&frame(4, kind, &[0; 4])).await;
    }
    link.send(Kind::Data, session_id, b"still here").await;
    assert_eq!(&player.answer().await.payload[..], b"still here");
    let counted = r#"game_gateway_dropped_frames_total{reason="unexpected_kind"}"#;
    assert_eq!(gateway.metric(counted).await, 5);
}

#[tokio::test]
async fn a_backend_that_leaves_gets_no_new_sessions_and_keeps_the_others() {
    let (old, new) = (Backend::start().await, Backend::start().await);
    let gateway = Gateway::start(&old.routes()).await;
    let mut stays = player(&gateway, "game", b"1").await;
    let mut link = old.link().await;
    let session_id = link.opened().await.session_id;
    link.data().await;
    link.send(Kind::Goaway, 0, b"").await;
    link.send(Kind::Data, session_id, b"noted").await;
    stays.answer().await;
    gateway.set_routes(&format!(
        r#"{{"rules":{{"game":{}}}}}"#,
        Backend::rule(&[&old, &new])
    ));
    gateway
        .until("game_gateway_routes_version", |version| version == 2)
        .await;

    echo(new);
    for number in 0..6_u8 {
        let mut player = player(&gateway, "game", &[number]).await;
        assert_eq!(&player.answer().await.payload[..], &[number]);
    }
    stays.data("game", b"on").await;
    assert_eq!(&link.data().await.payload[..], b"on");
    link.send(Kind::Data, session_id, b"and on").await;
    assert_eq!(&stays.answer().await.payload[..], b"and on");
    link.send(Kind::Close, session_id, &notice(440)).await;
    assert_eq!(stays.closed().await.0, 440);
}

#[tokio::test]
async fn goaway_on_one_link_speaks_for_the_backend() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.links_per_endpoint = 2;
    })
    .await;
    let mut hub = Hub::start(backend);
    let mut players = [hub.player(&gateway).await, hub.player(&gateway).await];
    gateway.until("game_gateway_links", |n| n == 2).await;
    let (first, session_id, link) = &mut players[0];
    hub.send(*link, Kind::Goaway, 0, b"");
    hub.send(*link, Kind::Data, *session_id, b"noted");
    first.answer().await;
    let mut late = player(&gateway, "game", b"late").await;
    assert_eq!(late.error().await, (502, "game".to_owned()));
    let (_, resolved) = gateway.get("/api/v1/routes/resolve?service=game").await;
    let (said, why) = (r#""error_code":502"#, "it takes no new sessions");
    assert!(
        resolved.contains(said) && resolved.contains(why),
        "{resolved}"
    );
}

#[tokio::test]
async fn goaway_on_one_workers_link_speaks_to_all_workers() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| config.gateway.workers = 4).await;
    let mut hub = Hub::start(backend);
    let mut players = Vec::new();
    while hub.links() < 3 {
        players.push(hub.player(&gateway).await);
    }
    let (first, session_id, link) = &mut players[0];
    hub.send(*link, Kind::Goaway, 0, b"");
    hub.send(*link, Kind::Data, *session_id, b"noted");
    first.answer().await;
    for _ in 0..12 {
        let mut late = player(&gateway, "game", b"late").await;
        assert_eq!(late.error().await, (502, "game".to_owned()));
    }
    assert!(
        hub.links() <= 4,
        "no link was opened for those who came late"
    );
}

/// Both workers have heard GOAWAY, and one has a new link: the other sends new sessions there as well, although its own
/// old link still stands.
#[tokio::test]
async fn a_goaway_is_taken_back_for_all_workers() {
    let (old, new) = (Backend::start().await, Backend::start().await);
    let gateway = Gateway::start_with(&old.routes(), |config| {
        config.gateway.workers = 2;
        config.backend.ping_interval = Duration::from_secs(1);
    })
    .await;
    let rule = Backend::rule(&[&old, &new]);
    let mut hub = Hub::start(old);
    let mut players = Vec::new();
    while hub.links() < 2 {
        players.push(hub.player(&gateway).await);
    }
    gateway.set_routes(&format!(r#"{{"rules":{{"game":{rule}}}}}"#));
    gateway
        .until("game_gateway_routes_version", |version| version == 2)
        .await;
    echo(new);
    for of in [0, 1] {
        let of_link = players.iter_mut().find(|(_, _, link)| *link == of);
        let (player, session_id, link) = of_link.expect("a player");
        hub.send(*link, Kind::Goaway, 0, b"");
        hub.send(*link, Kind::Data, *session_id, b"noted");
        player.answer().await;
    }
    hub.lose(0);
    // One link in place of the lost one, and one of the other worker.
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    soon(async {
        while hub.links() < 4 {
            let mut late = player(&gateway, "game", b"late").await;
            tokio::select! {
                frame = late.next() => drop(frame.expect("a frame")),
                _ = hub.next() => {}
            }
            pace.tick().await;
        }
    })
    .await;
    let still = players.iter_mut().find(|(_, _, link)| *link == 1);
    let (stays, session_id, link) = still.expect("a player");
    hub.send(*link, Kind::Data, *session_id, b"still here");
    assert_eq!(&stays.answer().await.payload[..], b"still here");
}

#[tokio::test]
async fn a_backend_that_leaves_makes_room_where_links_are_limited() {
    let (old, new) = (Backend::start().await, Backend::start().await);
    let rule = |endpoints: &str| {
        format!(
            r#"{{"rules":{{"game":{{"strategy":"round_robin","max_connections":1,"endpoints":[{endpoints}]}}}}}}"#
        )
    };
    let gateway = Gateway::start_with(&rule(&format!("\"{}\"", old.address)), |config| {
        config.backend.ping_interval = Duration::from_secs(1);
    })
    .await;
    let mut first = player(&gateway, "game", b"1").await;
    let mut link = old.link().await;
    let session_id = link.opened().await.session_id;
    link.data().await;
    link.send(Kind::Goaway, 0, b"").await;
    link.send(Kind::Data, session_id, b"noted").await;
    first.answer().await;
    let both = format!("\"{}\",\"{}\"", old.address, new.address);
    gateway.set_routes(&rule(&both));
    gateway
        .until("game_gateway_routes_version", |version| version == 2)
        .await;
    echo(new);
    let mut second = player(&gateway, "game", b"2").await;
    // The new one may have no link yet, the old one wants no session: either may be named.
    assert!(matches!(second.error().await.0, 502 | 503));
    drop(first);
    assert_eq!(link.closed().await, (session_id, 0));
    // The old one still holds its end of the link.
    loop {
        second.data("game", b"2").await;
        let frame = second.next().await.expect("a frame");
        if frame.header.kind == game_gateway::codec::client::Kind::Data as u8 {
            return assert_eq!(&frame.payload[..], b"2");
        }
    }
}

#[tokio::test]
async fn a_backend_that_has_left_may_come_back() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.idle_timeout = Duration::from_millis(200);
        config.backend.ping_interval = Duration::from_secs(1);
    })
    .await;
    let mut first = player(&gateway, "game", b"1").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    link.data().await;
    link.send(Kind::Goaway, 0, b"").await;
    link.send(Kind::Data, session_id, b"noted").await;
    first.answer().await;
    drop(first);
    assert_eq!(link.closed().await, (session_id, 0));
    // Nobody is left on it, so it goes; who comes then finds the backend again.
    assert_eq!(link.next().await, None);
    drop(link);
    let idle = r#"game_gateway_ended_links_total{reason="idle"}"#;
    gateway.until(idle, |n| n == 1).await;

    let mut second = player(&gateway, "game", b"2").await;
    echo(backend);
    assert_eq!(&second.answer().await.payload[..], b"2");
}
