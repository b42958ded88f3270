//! Frames that a backend may send, by session and link.

use game_gateway::codec::client;
use game_gateway::codec::link::{Bind, Kind};

use crate::stage::{Hub, multicast, notice, player};
use crate::support::wire::{Backend, Gateway, Link, Player};

const REFUSED: &str = "game_gateway_link_refused_frames_total";

fn bind(user_id: u64, realm_id: u32) -> [u8; 12] {
    Bind { user_id, realm_id }.encode()
}

/// Starts a gateway with several workers and a backend with several links, each with sessions.
async fn crowd(workers: usize, count: usize) -> (Gateway, Hub, Vec<(Player, u64, usize)>) {
    let backend = Backend::start().await;
    let routes = backend.routes();
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = workers).await;
    let mut hub = Hub::start(backend);
    let mut players = Vec::new();
    while players.len() < count || hub.links() < 2 {
        players.push(hub.player(&gateway).await);
    }
    (gateway, hub, players)
}

/// Starts one session on one link.
async fn pair() -> (Gateway, Player, Link, u64) {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let player = player(&gateway, "game", b"hello").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    link.data().await;
    (gateway, player, link, session_id)
}

#[tokio::test]
async fn an_answer_may_come_on_any_link() {
    let (gateway, hub, mut players) = crowd(4, 16).await;
    for (_, session_id, link) in &players {
        let other = (link + 1) % hub.links();
        hub.send(other, Kind::Data, *session_id, &session_id.to_be_bytes());
    }
    for (player, session_id, _) in &mut players {
        let answer = player.answer().await;
        assert_eq!(answer.header.session_id, *session_id);
        assert_eq!(answer.service, "game");
        assert_eq!(&answer.payload[..], session_id.to_be_bytes());
    }
    assert_eq!(gateway.metric(REFUSED).await, 0);
}

#[tokio::test]
async fn order_is_kept_on_another_link_too() {
    let (gateway, hub, mut players) = crowd(2, 2).await;
    let (player, session_id, link) = &mut players[0];
    for link in [*link, (*link + 1) % hub.links()] {
        for number in 0..200_u32 {
            // Some large enough to be passed on without a copy.
            let mut payload = number.to_be_bytes().to_vec();
            payload.resize(if number % 7 == 0 { 5000 } else { 40 }, 1);
            hub.send(link, Kind::Data, *session_id, &payload);
            if number == 100 {
                hub.send(link, Kind::Bind, *session_id, &bind(5, 6 + link as u32));
            }
        }
        for number in 0..200_u32 {
            let answer = player.answer().await;
            assert_eq!(&answer.payload[..4], number.to_be_bytes());
        }
    }
    let link = (*link + 1) % hub.links();
    for number in 0..50_u32 {
        hub.send(link, Kind::Data, *session_id, &number.to_be_bytes());
    }
    hub.send(link, Kind::Close, *session_id, &notice(440));
    for number in 0..50_u32 {
        assert_eq!(&player.answer().await.payload[..], number.to_be_bytes());
    }
    assert_eq!(player.closed().await, (440, 0));
    assert_eq!(gateway.metric(REFUSED).await, 0);
}

#[tokio::test]
async fn all_data_comes_before_the_close_behind_it() {
    let (gateway, mut player, mut link, session_id) = pair().await;
    for number in 0..500_u32 {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(if number % 11 == 0 { 3000 } else { 4 }, 1);
        link.send(Kind::Data, session_id, &payload).await;
        if number % 50 == 0 {
            link.send(Kind::Bind, session_id, &bind(9, 4)).await;
        }
    }
    let mut close = notice(0).to_vec();
    close.extend(b"bye");
    link.send(Kind::Close, session_id, &close).await;
    for number in 0..500_u32 {
        let answer = player.answer().await;
        assert_eq!(&answer.payload[..4], number.to_be_bytes());
    }
    assert_eq!(player.closed().await, (0, 0));
    assert_eq!(gateway.metric("game_gateway_binds_total").await, 10);
}

#[tokio::test]
async fn a_close_on_another_link_is_answered_on_the_sessions_own_alone() {
    let (gateway, mut hub, mut players) = crowd(2, 2).await;
    let (mut player, session_id, link) = players.remove(0);
    let other = (link + 1) % hub.links();
    hub.send(other, Kind::Close, session_id, &notice(440));
    assert_eq!(player.closed().await.0, 440);
    drop(player);
    // An OPEN might be under way there.
    let (came, close) = hub.expect(Kind::Close).await;
    assert_eq!((came, close.session_id), (link, session_id));
    assert_eq!(&close.payload[..2], 440_u16.to_be_bytes());
    // Nothing else does, on either link.
    let mut seen = [false; 2];
    while seen != [true; 2] {
        let fresh = hub.player(&gateway).await;
        assert_ne!(fresh.1, session_id);
        seen[fresh.2] = true;
        players.push(fresh);
    }
}

#[tokio::test]
async fn what_concerns_no_session_is_421_but_a_close_is_not_answered() {
    let (gateway, mut player, mut link, session_id) = pair().await;
    link.send(Kind::Data, 0xBAD, b"x").await;
    assert_eq!(link.closed().await, (0xBAD, 421));
    link.send(Kind::Bind, 0xBAD, &bind(1, 2)).await;
    assert_eq!(link.closed().await, (0xBAD, 421));
    link.send(Kind::Close, 0xBAD, &notice(440)).await;
    link.send(Kind::Data, 0xBEE, b"x").await;
    assert_eq!(link.closed().await, (0xBEE, 421));
    link.send(Kind::Data, 0, b"x").await;
    assert_eq!(link.closed().await, (0, 421));
    assert_eq!(gateway.metric(REFUSED).await, 4);
    link.send(Kind::Data, session_id, b"still here").await;
    assert_eq!(&player.answer().await.payload[..], b"still here");
}

#[tokio::test]
async fn a_service_cannot_touch_a_session_that_was_not_opened_on_it() {
    let (game, chat) = (Backend::start().await, Backend::start().await);
    let routes = format!(
        r#"{{"rules":{{"game":{},"chat":{}}}}}"#,
        Backend::rule(&[&game]),
        Backend::rule(&[&chat])
    );
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = 2).await;
    let mut victim = player(&gateway, "game", b"1").await;
    let mut game = game.link().await;
    let victim_id = game.opened().await.session_id;
    game.data().await;
    let _talker = player(&gateway, "chat", b"2").await;
    let mut chat = chat.link().await;
    chat.opened().await;
    chat.data().await;

    let bind = bind(666, 0);
    let cases: [(Kind, &[u8]); 3] = [
        (Kind::Data, b"fake"),
        (Kind::Bind, &bind),
        (Kind::Close, &notice(440)),
    ];
    for (kind, payload) in cases {
        chat.send(kind, victim_id, payload).await;
        assert_eq!(chat.closed().await, (victim_id, 421), "{kind:?}");
    }
    chat.send(Kind::Multicast, 0, &multicast(&[victim_id], b"fake"))
        .await;
    assert_eq!(chat.closed().await, (victim_id, 421));
    let header = client::Header {
        user_id: 5,
        ..client::Header::default()
    };
    victim.send(header, "game", b"I am 5").await;
    assert_eq!(&game.data().await.payload[..], b"I am 5");
    game.send(Kind::Data, victim_id, b"so you are").await;
    assert_eq!(&victim.answer().await.payload[..], b"so you are");
}

#[tokio::test]
async fn a_multicast_reaches_sessions_of_all_workers() {
    let (_gateway, mut hub, mut players) = crowd(4, 24).await;
    let mut ids: Vec<u64> = players.iter().map(|(_, id, _)| *id).collect();
    ids.insert(3, 0xBAD);
    ids.push(0xBEE);
    // Each counts once.
    ids.extend([0xBEE, ids[0], ids[0]]);
    let large: Vec<u8> = (0..100 * 1024_u32).map(|i| (i % 251) as u8).collect();
    for payload in [&b"boss!"[..], &large[..]] {
        hub.send(1, Kind::Multicast, 0, &multicast(&ids, payload));
        for (player, session_id, _) in &mut players {
            let answer = player.answer().await;
            assert_eq!(answer.header.session_id, *session_id);
            assert_eq!(&answer.payload[..], payload);
        }
        let mut refused = [hub.expect(Kind::Close).await, hub.expect(Kind::Close).await]
            .map(|(link, frame)| (link, frame.session_id, frame.payload[..2].to_vec()));
        refused.sort();
        let expected = [0xBAD, 0xBEE].map(|id| (1, id, 421_u16.to_be_bytes().to_vec()));
        assert_eq!(refused, expected);
    }
}

#[tokio::test]
async fn what_nobody_asked_for_is_ignored_and_counted() {
    let (gateway, mut player, mut link, session_id) = pair().await;
    link.send(Kind::Close, session_id, &notice(307)).await;
    link.send(Kind::Close, 0xBAD, &notice(307)).await;
    link.send(Kind::Accept, session_id, &1_u32.to_be_bytes())
        .await;
    link.send(Kind::Data, session_id, b"goes on").await;
    assert_eq!(&player.answer().await.payload[..], b"goes on");
    let dropped = |reason| format!("game_gateway_dropped_frames_total{{reason=\"{reason}\"}}");
    assert_eq!(gateway.metric(&dropped("unexpected_close_307")).await, 2);
    assert_eq!(gateway.metric(&dropped("unexpected_accept")).await, 1);
    player.data("game", b"and on").await;
    assert_eq!(&link.data().await.payload[..], b"and on");
}

#[tokio::test]
async fn a_backend_may_speak_first() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut player = player(&gateway, "game", b"hello").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    link.send(Kind::Data, session_id, b"welcome").await;
    assert_eq!(&player.answer().await.payload[..], b"welcome");
    assert_eq!(&link.data().await.payload[..], b"hello");
}
