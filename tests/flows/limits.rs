//! Limits that a player meets: by address, behind PROXY and HTTP proxies, of sessions, of frames.

use actix_codec::Framed;
use futures_util::StreamExt;
use game_gateway::codec::client::{FLAG_RESUMABLE, Header, Kind};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::echo;
use crate::support::frames::{CODEC, data, encoded};
use crate::support::wire::{Backend, Gateway, Player, soon};

/// A gateway with an echoing backend.
async fn gateway(change: impl FnOnce(&mut Config)) -> Gateway {
    let backend = Backend::start().await;
    let routes = backend.routes();
    echo(backend);
    Gateway::start_with(&routes, change).await
}

/// Sends a request and reads until the connection ends.
async fn request(gateway: &Gateway, headers: &str) -> String {
    let mut socket = TcpStream::connect(gateway.players)
        .await
        .expect("connected");
    let text = format!(
        "POST /game HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n{headers}\r\nhi"
    );
    socket.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let _ = soon(socket.read_to_string(&mut answer)).await;
    answer
}

#[tokio::test]
async fn one_address_has_no_more_connections_than_it_may() {
    let gateway = gateway(|config| config.limits.connections_per_ip = 2).await;
    let mut first = Player::connect(&gateway).await;
    first.data("game", b"first").await;
    assert_eq!(&first.answer().await.payload[..], b"first");
    let second = Player::connect(&gateway).await;
    gateway.until("game_gateway_connections", |n| n == 2).await;
    // In the form of the transport.
    let mut third = Player::connect(&gateway).await;
    third.data("game", b"third").await;
    let (code, retry_ms) = third.closed().await;
    assert_eq!(code, 429);
    assert!((500..=5_000).contains(&retry_ms), "{retry_ms}");
    let answer = request(&gateway, "").await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("retry-after: "), "{answer}");
    drop(second);
    gateway.until("game_gateway_connections", |n| n == 1).await;
    let mut again = Player::connect(&gateway).await;
    again.data("game", b"again").await;
    assert_eq!(&again.answer().await.payload[..], b"again");
}

#[tokio::test]
async fn the_address_in_a_proxy_header_counts_not_the_balancers() {
    let gateway = gateway(|config| {
        config.listen.proxy_protocol_from = "127.0.0.0/8".parse().expect("networks");
        config.limits.connections_per_ip = 1;
        config.limits.deny = "203.0.113.0/24".parse().expect("networks");
    })
    .await;
    let proxied = async |source: &str| {
        let mut player = Player::connect(&gateway).await;
        let header = format!("PROXY TCP4 {source} 10.0.0.1 4711 7000\r\n");
        player
            .raw(&[header.into_bytes(), data("game", b"hello")].concat())
            .await;
        player
    };
    let mut one = proxied("192.0.2.1").await;
    one.answer().await;
    let mut other = proxied("192.0.2.2").await;
    other.answer().await;
    let mut second = proxied("192.0.2.1").await;
    assert_eq!(second.closed().await.0, 429);
    let mut denied = proxied("203.0.113.9").await;
    assert_eq!(denied.next().await, None, "nothing is sent");
    let closed = "game_gateway_closed_connections_total{reason=\"denied\"}";
    gateway.until(closed, |n| n == 1).await;
    drop(one);
    gateway.until("game_gateway_connections", |n| n == 1).await;
    proxied("192.0.2.1").await.answer().await;
}

#[tokio::test]
async fn a_trusted_proxy_names_the_player() {
    let gateway = gateway(|config| {
        config.listen.http.trusted_proxies = "127.0.0.1".parse().expect("networks");
        config.limits.connections_per_second_per_ip = 1;
        config.limits.deny = "203.0.113.0/24".parse().expect("networks");
    })
    .await;
    let status = async |headers: &str| {
        let answer = request(&gateway, headers).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status("X-Forwarded-For: 192.0.2.1\r\n").await, "200");
    assert_eq!(
        status("X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n").await,
        "429"
    );
    assert_eq!(status("Forwarded: for=192.0.2.2\r\n").await, "200");
    assert_eq!(status("Forwarded: for=\"192.0.2.2:80\"\r\n").await, "429");
    assert_eq!(status("X-Forwarded-For: 203.0.113.9\r\n").await, "403");
    let both = "X-Forwarded-For: 192.0.2.3\r\nForwarded: for=192.0.2.4\r\n";
    assert_eq!(status(both).await, "400");
    // The proxy itself is not limited.
    assert_eq!(status("").await, "200");
    assert_eq!(status("").await, "200");
}

#[tokio::test]
async fn who_is_not_trusted_names_nobody() {
    let gateway = gateway(|c| c.limits.deny = "203.0.113.0/24".parse().expect("networks")).await;
    let answer = request(&gateway, "X-Forwarded-For: 203.0.113.9\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn sessions_start_no_faster_than_they_may() {
    let gateway = gateway(|config| config.limits.new_sessions_per_second = 1).await;
    let mut refused = 0;
    // However quick they are, the second of a moment has to wait.
    for _ in 0..4 {
        let mut player = Player::connect(&gateway).await;
        player.data("game", b"hello").await;
        let frame = player.next().await.expect("a frame");
        if frame.header.kind == Kind::Close as u8 {
            let notice = Notice::decode(&frame.payload, Code::NORMAL);
            assert_eq!(notice.code, Code::UNAVAILABLE);
            assert!((500..=5_000).contains(&notice.retry_after_ms));
            refused += 1;
        }
    }
    let closed = "game_gateway_closed_connections_total{reason=\"session_rate\"}";
    gateway.until(closed, |n| n == refused).await;
    assert_eq!(
        gateway.get("/ready").await.0,
        200,
        "others may come in a moment"
    );
}

#[tokio::test]
async fn a_flood_of_frames_is_dropped_told_and_ended() {
    let gateway = gateway(|config| {
        config.limits.frames_per_second = 10;
        config.limits.patience = std::time::Duration::from_millis(1_500);
    })
    .await;
    let socket = TcpStream::connect(gateway.players)
        .await
        .expect("connected");
    let (reader, mut writer) = socket.into_split();
    let resumable = Header {
        flags: FLAG_RESUMABLE,
        ..Header::default()
    };
    let first = encoded(resumable, "game", b"first");
    writer.write_all(&first).await.expect("sent");
    // It does not stop before it is made to.
    let flood = tokio::spawn(async move {
        let more = data("game", b"more").repeat(20);
        while writer.write_all(&more).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    let mut framed = Framed::new(reader, CODEC);
    let (mut answers, mut errors) = (0, 0);
    let close = loop {
        let next = soon(framed.next())
            .await
            .expect("a frame")
            .expect("a frame");
        let code = || Notice::decode(&next.payload, Code::NORMAL).code;
        match Kind::from_byte(next.header.kind) {
            Some(Kind::Data) => answers += 1,
            Some(Kind::Error) => {
                assert_eq!(code(), Code::RATE_LIMITED);
                errors += 1;
            }
            Some(Kind::Close) => break code(),
            _ => {}
        }
    };
    drop(framed);
    flood.await.expect("ended");
    assert_eq!(close, Code::RATE_LIMITED);
    // A burst and what came back meanwhile, and few ERRORs for thousands of frames.
    assert!(answers >= 10, "{answers}");
    let dropped = "game_gateway_dropped_frames_total{reason=\"rate_limited\"}";
    let dropped = gateway.metric(dropped).await;
    assert!((1..=dropped / 2).contains(&errors), "{errors} of {dropped}");
    // The session is over, not suspended.
    gateway.until("game_gateway_sessions", |n| n == 0).await;
}
