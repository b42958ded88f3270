//! How a session starts, talks and ends.

use game_gateway::codec::client::{self, FLAG_RESUMABLE, Header, Kind, Opened};
use game_gateway::codec::link::{self, Open};

use crate::support::wire::{Backend, Gateway, Player};

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
            &[0, 9],
        )
        .await;
    assert_eq!(link.closed().await, (data.session_id, 9));
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
