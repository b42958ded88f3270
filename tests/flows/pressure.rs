//! Peers that do not keep up, and how little others notice.

use std::time::Duration;

use actix_codec::Framed;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use game_gateway::codec::client::{Header, Kind as ClientKind};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::framed::{ClientCodec, ClientFrame};
use game_gateway::codec::link::Kind;
use tokio::net::TcpStream;

use crate::stage::{echo, notice, player};
use crate::support::wire::{Backend, Gateway, Player, soon};

const MIB: usize = 1024 * 1024;
const PAUSED: &str = "game_gateway_paused_clients_total";

fn two_services(game: &Backend, chat: &Backend) -> String {
    format!(
        r#"{{"rules":{{"game":{},"chat":{}}}}}"#,
        Backend::rule(&[game]),
        Backend::rule(&[chat])
    )
}

#[tokio::test]
async fn clients_of_a_backend_that_does_not_read_are_paused_and_lose_nothing() {
    const FRAMES: u32 = 2000;
    const BYTES: usize = 64_000;
    let (game, chat) = (Backend::start().await, Backend::start().await);
    let gateway = Gateway::start_with(&two_services(&game, &chat), |config| {
        config.backend.high_watermark = 64 * 1024;
        config.backend.ping_interval = Duration::from_secs(3600);
    })
    .await;
    echo(chat);
    let mut feeder = player(&gateway, "game", b"first").await;
    let mut link = game.link().await;
    let session_id = link.opened().await.session_id;
    link.data().await;
    let feeding = tokio::spawn(async move {
        for number in 0..FRAMES {
            let mut payload = number.to_be_bytes().to_vec();
            payload.resize(BYTES, 7);
            feeder.data("game", &payload).await;
        }
        feeder
    });
    gateway.until(PAUSED, |n| n > 0).await;
    let mut other = player(&gateway, "chat", b"0").await;
    for _ in 0..20 {
        other.answer().await;
        other.data("chat", b"1").await;
    }
    // The kernel's buffers and the bound took what they took; the rest is still the client's.
    let taken = gateway.metric("game_gateway_client_in_bytes_total").await;
    assert!(taken < u64::from(FRAMES) * BYTES as u64, "{taken}");

    for number in 0..FRAMES {
        let data = link.data().await;
        assert_eq!((data.session_id, data.payload.len()), (session_id, BYTES));
        assert_eq!(&data.payload[..4], number.to_be_bytes());
    }
    let mut feeder = soon(feeding).await.expect("all sent");
    link.send(Kind::Data, session_id, b"phew").await;
    assert_eq!(&feeder.answer().await.payload[..], b"phew");
}

/// Its answers fill the way back while more waits on the way there: that must not stand still.
#[tokio::test]
async fn a_backend_that_answers_before_it_reads_on_is_not_starved() {
    const CLIENTS: usize = 48;
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.listen.max_payload = MIB as u32;
        config.session.outbound_queue = 8 * MIB;
        config.backend.high_watermark = 64 * 1024;
        config.backend.ping_interval = Duration::from_secs(3600);
    })
    .await;
    let mut players = Vec::new();
    for number in 0..CLIENTS {
        let first = [number as u8];
        players.push(player(&gateway, "game", &first).await);
    }
    echo(backend);
    for (number, player) in players.iter_mut().enumerate() {
        assert_eq!(&player.answer().await.payload[..], &[number as u8]);
    }
    let rounds = players.into_iter().enumerate().map(|(number, mut player)| {
        tokio::spawn(async move {
            for _ in 0..2 {
                player.data("game", &vec![number as u8; MIB]).await;
                let answer = player.answer().await;
                assert!(answer.payload.iter().all(|byte| *byte == number as u8));
                assert_eq!(answer.payload.len(), MIB);
            }
        })
    });
    for round in rounds.collect::<Vec<_>>() {
        soon(round).await.expect("all came back");
    }
}

/// Connects a player with a small receive buffer.
async fn narrow(gateway: &Gateway) -> Framed<TcpStream, ClientCodec> {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let stream = soon(socket.connect(gateway.players)).await;
    let max_payload = MIB as u32;
    Framed::new(stream.expect("connected"), ClientCodec { max_payload })
}

#[tokio::test]
async fn a_client_that_does_not_read_is_507_and_nobody_else_notices() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.session.outbound_queue = 64 * 1024;
    })
    .await;
    let mut slow = narrow(&gateway).await;
    let hello = ClientFrame {
        header: Header::default(),
        service: "game".to_owned(),
        payload: Bytes::from_static(b"hello"),
    };
    soon(slow.send(hello)).await.expect("sent");
    let mut link = backend.link().await;
    let slow_id = link.opened().await.session_id;
    link.data().await;
    let mut other = player(&gateway, "game", b"hello").await;
    let other_id = link.opened().await.session_id;
    link.data().await;

    let too_slow = r#"game_gateway_closed_connections_total{reason="too_slow"}"#;
    let mut sent: u32 = 0;
    while gateway.metric(too_slow).await == 0 {
        assert!(sent < 10_000, "the queue has no bound");
        for _ in 0..16 {
            let mut payload = sent.to_be_bytes().to_vec();
            payload.resize(16 * 1024, 1);
            link.send(Kind::Data, slow_id, &payload).await;
            sent += 1;
        }
        link.send(Kind::Data, other_id, b"by the way").await;
        assert_eq!(&other.answer().await.payload[..], b"by the way");
    }
    assert_eq!(link.closed().await, (slow_id, 507));

    // The frames that it reads now are in order, without a gap, and end with the CLOSE.
    let mut next: u32 = 0;
    let close = loop {
        let frame = soon(slow.next()).await.expect("a CLOSE").expect("a frame");
        if frame.header.kind != ClientKind::Data as u8 {
            break frame;
        }
        assert_eq!(&frame.payload[..4], next.to_be_bytes());
        next += 1;
    };
    assert_eq!(close.header.kind, ClientKind::Close as u8);
    assert_eq!(Notice::decode(&close.payload, Code::NORMAL).code.0, 507);
    assert!(soon(slow.next()).await.is_none());
    assert_eq!(gateway.metric(too_slow).await, 1);
    other.data("game", b"and I?").await;
    loop {
        let frame = link.next().await.expect("a frame");
        if frame.kind == Kind::Data as u8 {
            assert_eq!(frame.session_id, other_id);
            break;
        }
        // Late DATA for the session that is gone.
        assert_eq!((frame.kind, frame.session_id), (Kind::Close as u8, slow_id));
        assert_eq!(&frame.payload[..2], 421_u16.to_be_bytes());
    }
    link.send(Kind::Close, other_id, &notice(0)).await;
    assert_eq!(other.closed().await, (0, 0));
}

#[tokio::test]
async fn a_full_gateway_says_so_to_clients_that_speak() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.listen.max_connections = 2;
    })
    .await;
    echo(backend);
    let mut first = player(&gateway, "game", b"1").await;
    first.answer().await;
    let mut second = player(&gateway, "game", b"2").await;
    second.answer().await;
    let (status, body) = gateway.get("/ready").await;
    assert_eq!(status, 503);
    assert!(body.contains("full"), "{body}");

    let mut third = Player::connect(&gateway).await;
    third.raw(&[0xA7, 0x47]).await;
    third.raw(&[1, 0]).await;
    let (code, retry_after) = third.closed().await;
    assert_eq!(code, 503);
    assert!(retry_after > 0);
    drop((third, first));
    gateway.until("game_gateway_connections", |n| n == 1).await;
    let mut fourth = player(&gateway, "game", b"4").await;
    assert_eq!(&fourth.answer().await.payload[..], b"4");
}
