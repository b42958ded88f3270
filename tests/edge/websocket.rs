//! Sessions over WebSocket.

use std::time::Duration;

use game_gateway::codec::client::Kind;
use game_gateway::codec::link::{self, Open};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::scene::{Browser, closed, data, echo, frame, scripted};
use crate::support::wire::soon;

fn notice(code: u16) -> Vec<u8> {
    [&code.to_be_bytes()[..], &[0; 4]].concat()
}

/// Returns a fragment of a binary message.
fn fragment(bytes: &[u8], first: bool, last: bool) -> Message {
    let kind = if first { Data::Binary } else { Data::Continue };
    Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(kind), last))
}

#[tokio::test]
async fn several_frames_in_one_message_and_one_in_several_fragments() {
    let gateway = echo(|_| ()).await;
    let mut browser = Browser::connect(&gateway).await;
    let three = [data("game", b"1"), data("", b""), data("", b"3")].concat();
    browser.binary(three).await;
    for expected in [&b"1"[..], b"", b"3"] {
        assert_eq!(&browser.answer().await[..], expected);
    }
    let wire = data("game", b"in fragments");
    for cut in 0..=wire.len() {
        browser.send(fragment(&wire[..cut], true, false)).await;
        browser.send(Message::Ping("between".into())).await;
        browser.send(fragment(&wire[cut..], false, true)).await;
        assert_eq!(browser.next().await, Message::Pong("between".into()));
        assert_eq!(&browser.answer().await[..], b"in fragments", "cut at {cut}");
    }
    browser.binary(vec![]).await;
    browser.binary(data("game", b"still there")).await;
    assert_eq!(&browser.answer().await[..], b"still there");
}

#[tokio::test]
async fn payloads_of_every_size_come_back_whole_and_in_order() {
    let gateway = echo(|_| ()).await;
    let mut browser = Browser::connect(&gateway).await;
    let sizes = [
        0, 1, 93, 94, 125, 126, 2047, 2048, 4096, 16_383, 65_439, 65_503, 65_536,
    ];
    for size in sizes {
        browser.binary(data("game", &vec![size as u8; size])).await;
    }
    for size in sizes {
        assert!(
            browser.answer().await == vec![size as u8; size],
            "{size} bytes"
        );
    }
    // Many at a time, so that the socket does not take all of them at once.
    for n in 0..200_u8 {
        browser.binary(data("game", &[n; 4000])).await;
    }
    for n in 0..200_u8 {
        assert!(browser.answer().await == [n; 4000][..], "message {n}");
    }
}

#[tokio::test]
async fn the_backend_and_the_operator_see_a_websocket() {
    let (gateway, backend) = scripted(|_| ()).await;
    let mut browser = Browser::connect(&gateway).await;
    browser.binary(data("game", b"x")).await;
    let mut link = backend.link().await;
    let open = link.opened().await;
    assert_eq!(Open::decode(&open.payload).expect("OPEN").transport, 2);
    link.data().await;
    let path = format!("/api/v1/sessions/{}", open.session_id);
    let (_, session) = gateway.get(&path).await;
    assert!(session.contains("\"transport\":\"websocket\""), "{session}");
    let id = format!("\"{}\"", open.session_id);
    for (transport, listed) in [("websocket", true), ("tcp", false), ("http", false)] {
        let path = format!("/api/v1/sessions?transport={transport}");
        let (status, sessions) = gateway.get(&path).await;
        assert_eq!(status, 200);
        assert_eq!(sessions.contains(&id), listed, "{sessions}");
    }
    let started = "game_gateway_started_sessions_total{transport=\"websocket\"}";
    assert_eq!(gateway.metric(started).await, 1);
    link.send(link::Kind::Close, open.session_id, &notice(440))
        .await;
    assert_eq!(browser.closed().await, (440, 1008));
}

#[tokio::test]
async fn closes_carry_the_code_of_their_reason() {
    let (gateway, backend) = scripted(|_| ()).await;
    let mut link = None;
    for (code, websocket) in [
        (0, 1000),
        (205, 1000),
        (503, 1001),
        (400, 1002),
        (413, 1009),
        (500, 1011),
        (408, 1013),
        (429, 1008),
    ] {
        let mut browser = Browser::connect(&gateway).await;
        browser.binary(data("game", b"x")).await;
        if link.is_none() {
            link = Some(backend.link().await);
        }
        let link = link.as_mut().expect("a link");
        let id = link.opened().await.session_id;
        link.data().await;
        link.send(link::Kind::Close, id, &notice(code)).await;
        assert_eq!(browser.closed().await, (code, websocket));
    }
}

#[tokio::test]
async fn a_client_ends_in_its_own_ways() {
    let (gateway, backend) = scripted(|_| ()).await;
    let mut browser = Browser::connect(&gateway).await;
    browser.binary(data("game", b"x")).await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    browser
        .binary(frame(Kind::Close as u8, "", &notice(0)))
        .await;
    assert_eq!(browser.ended().await, 1000);
    assert_eq!(link.closed().await, (id, 0));
    gateway.until(&closed("client"), |n| n == 1).await;

    let mut browser = Browser::connect(&gateway).await;
    browser.binary(data("game", b"x")).await;
    let id = link.opened().await.session_id;
    link.data().await;
    soon(browser.socket.close(None)).await.expect("sent");
    assert!(matches!(browser.next().await, Message::Close(_)));
    assert_eq!(link.closed().await, (id, 0));

    let mut browser = Browser::connect(&gateway).await;
    browser.binary(data("game", b"x")).await;
    let id = link.opened().await.session_id;
    link.data().await;
    drop(browser);
    assert_eq!(link.closed().await, (id, 0));
    gateway.until(&closed("disconnected"), |n| n == 2).await;
}

#[tokio::test]
async fn bad_messages() {
    let gateway = echo(|config| config.listen.max_payload = 32 * 1024).await;
    let with = |at: usize, byte: u8| {
        let mut bad = data("game", b"x");
        bad[at] = byte;
        Message::Binary(bad.into())
    };
    let whole = data("game", b"x");
    let large = data("game", &[0; 32 * 1024 + 1]);
    let two = [data("game", &[0; 20 * 1024]), data("game", &[0; 20 * 1024])].concat();
    for (message, codes, reason) in [
        (Message::text("hello"), (400, 1003), "text_message"),
        (
            Message::Binary(whole[..10].to_vec().into()),
            (400, 1002),
            "cut_message",
        ),
        (
            Message::Binary(whole[..whole.len() - 1].to_vec().into()),
            (400, 1002),
            "cut_message",
        ),
        (with(0, 0), (400, 1002), "bad_magic"),
        (with(2, 9), (400, 1002), "bad_version"),
        (with(32, b'G'), (400, 1002), "bad_service_name"),
        (
            Message::Binary(large.into()),
            (413, 1009),
            "payload_too_large",
        ),
        (
            Message::Binary(two.into()),
            (413, 1009),
            "payload_too_large",
        ),
        (
            Message::Binary(vec![0; 1 << 20].into()),
            (413, 1009),
            "payload_too_large",
        ),
    ] {
        let before = gateway.metric(&closed(reason)).await;
        let mut browser = Browser::connect(&gateway).await;
        browser.binary(data("game", b"first")).await;
        assert_eq!(&browser.answer().await[..], b"first");
        // The gateway may have had enough before all of it is written.
        let _ = soon(futures_util::SinkExt::send(&mut browser.socket, message)).await;
        assert_eq!(browser.closed().await, codes, "{reason}");
        gateway.until(&closed(reason), |n| n == before + 1).await;
    }
    // Frames that are complete before a cut are forwarded.
    let mut browser = Browser::connect(&gateway).await;
    browser.binary([&whole[..], &whole[..9]].concat()).await;
    let (kind, ..) = browser.frame().await;
    let first = if kind == Kind::Data as u8 {
        browser.frame().await.0
    } else {
        kind
    };
    assert_eq!(first, Kind::Close as u8);
}

#[tokio::test]
async fn a_silent_one_is_idle() {
    let timeout = Duration::from_secs(1);
    let gateway = echo(|config| config.session.idle_timeout = timeout).await;
    let mut browser = Browser::connect(&gateway).await;
    assert_eq!(browser.closed().await, (408, 1013));
}

#[tokio::test]
async fn a_websocket_ping_is_a_sign_of_life() {
    let timeout = Duration::from_secs(3);
    let gateway = echo(|config| config.session.idle_timeout = timeout).await;
    let mut browser = Browser::connect(&gateway).await;
    browser.binary(data("game", b"x")).await;
    assert_eq!(&browser.answer().await[..], b"x");
    let began = tokio::time::Instant::now();
    while began.elapsed() < 2 * timeout {
        browser.send(Message::Ping("alive".into())).await;
        assert_eq!(browser.next().await, Message::Pong("alive".into()));
    }
    browser.binary(data("game", b"still here")).await;
    assert_eq!(&browser.answer().await[..], b"still here");
    // Silent from now on.
    assert_eq!(browser.closed().await, (408, 1013));
}

/// More than the connection's buffers hold: the rest must follow when there is room, although the
/// client says nothing that could wake the gateway.
#[tokio::test]
async fn a_large_answer_arrives_whole_when_it_is_read_late() {
    // A lost link would say so to the client, and that would wake the gateway as well.
    let never = Duration::from_secs(3600);
    let (gateway, backend) = scripted(|config| config.backend.ping_interval = never).await;
    let mut browser = Browser::connect(&gateway).await;
    browser.binary(data("game", b"x")).await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    let large: Vec<u8> = (0..15_u32 << 20).map(|n| (n >> 10) as u8).collect();
    link.send(link::Kind::Data, id, &large).await;
    let out = "game_gateway_client_out_bytes_total";
    // More than the kernel takes is left.
    gateway.until(out, |n| n > 100_000).await;
    assert!(browser.answer().await == large);
}

/// A client that does not read: its queue fills up, and it is cut off like any other.
#[tokio::test]
async fn a_slow_reader_is_cut_off() {
    let (gateway, backend) = scripted(|_| ()).await;
    let mut browser = Browser::connect(&gateway).await;
    browser.binary(data("game", b"x")).await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    let flood = async {
        loop {
            link.send(link::Kind::Data, id, &[7; 60_000]).await;
            tokio::task::yield_now().await;
        }
    };
    let seen = gateway.until("game_gateway_sessions", |n| n == 0);
    tokio::select! {
        () = flood => {}
        _ = seen => {}
    }
    gateway.until(&closed("too_slow"), |n| n == 1).await;
}

#[tokio::test]
async fn a_drain_closes_with_1001() {
    let gateway = echo(|config| {
        config.drain.accept_grace = Duration::ZERO;
        config.drain.window = Duration::from_secs(1);
    })
    .await;
    let mut browser = Browser::connect(&gateway).await;
    browser.binary(data("game", b"x")).await;
    browser.answer().await;
    gateway.drain();
    assert_eq!(browser.closed().await, (503, 1001));
    gateway.ended().await;
}
