//! The first bytes, however they are cut.

use std::time::Duration;

use game_gateway::codec::client::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scene::{Response, closed, connect, data, echo, frame, request, rest, send};
use crate::support::wire::{Gateway, soon};

const READ: &str = "game_gateway_client_in_bytes_total";
const PROXY: &[u8] = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 7000\r\n";

/// Sends `wire` in these pieces, each when the one before has been read.
async fn in_pieces(gateway: &Gateway, pieces: &[&[u8]]) -> tokio::net::TcpStream {
    let mut socket = connect(gateway).await;
    let mut so_far = gateway.metric(READ).await;
    for (index, piece) in pieces.iter().enumerate() {
        send(&mut socket, piece).await;
        so_far += piece.len() as u64;
        if index + 1 < pieces.len() {
            gateway.until(READ, |n| n >= so_far).await;
        }
    }
    socket
}

#[tokio::test]
async fn frames_cut_at_every_offset() {
    let gateway = echo(|_| ()).await;
    let wire = frame(Kind::Ping as u8, "", b"cut");
    for cut in 1..wire.len() {
        let mut socket = in_pieces(&gateway, &[&wire[..cut], &wire[cut..]]).await;
        let mut pong = vec![0; wire.len()];
        soon(socket.read_exact(&mut pong)).await.expect("PONG");
        assert_eq!(pong, frame(Kind::Pong as u8, "", b"cut"), "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    let mut socket = in_pieces(&gateway, &bytes).await;
    let mut pong = vec![0; wire.len()];
    soon(socket.read_exact(&mut pong)).await.expect("PONG");
}

#[tokio::test]
async fn a_proxy_header_before_frames_cut_at_every_offset() {
    let networks = |text: &str| text.parse().expect("a network");
    let from = networks("127.0.0.0/8");
    let gateway = echo(|config| config.listen.proxy_protocol_from = from).await;
    let wire = [PROXY, &frame(Kind::Ping as u8, "", b"cut")].concat();
    let cuts: Vec<usize> = (1..wire.len()).collect();
    for cut in cuts {
        let mut socket = in_pieces(&gateway, &[&wire[..cut], &wire[cut..]]).await;
        let mut pong = vec![0; wire.len() - PROXY.len()];
        soon(socket.read_exact(&mut pong)).await.expect("PONG");
        assert_eq!(pong, frame(Kind::Pong as u8, "", b"cut"), "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    in_pieces(&gateway, &bytes).await;
}

#[tokio::test]
async fn a_request_cut_at_every_offset() {
    let gateway = echo(|_| ()).await;
    let wire = request("POST /game", "Connection: close\r\n", b"cut");
    for cut in 1..wire.len() {
        // As far as sniffing goes each piece is known to be read before the next.
        let pieces: &[&[u8]] = &[&wire[..cut], &wire[cut..]];
        let mut socket = if cut < 5 {
            in_pieces(&gateway, pieces).await
        } else {
            let mut socket = connect(&gateway).await;
            send(&mut socket, pieces[0]).await;
            tokio::task::yield_now().await;
            send(&mut socket, pieces[1]).await;
            socket
        };
        let responses = Response::all(&rest(&mut socket).await);
        assert_eq!(
            (responses.len(), responses[0].status),
            (1, 200),
            "cut at {cut}"
        );
        assert_eq!(responses[0].body, b"cut");
    }
}

/// A client that sends a byte now and then is not heard for longer than one that is silent.
#[tokio::test]
async fn bytes_that_trickle_do_not_buy_time() {
    let from = "127.0.0.0/8".parse().expect("a network");
    let gateway = echo(|config| {
        config.listen.sniff_timeout = Duration::from_secs(1);
        config.listen.proxy_protocol_from = from;
    })
    .await;
    let mut socket = connect(&gateway).await;
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    let mut trickle = [&b"PROXY UNKNOWN "[..], &[b'x'; 80]].concat().into_iter();
    let mut got = [0; 16];
    let ended = async {
        loop {
            tokio::select! {
                read = socket.read(&mut got) => return read.unwrap_or(0),
                _ = pace.tick() => {
                    let byte = trickle.next().expect("the gateway has had enough by now");
                    // It fails where the gateway has just closed, which is what is waited for.
                    let _ = socket.write_all(&[byte]).await;
                }
            }
        }
    };
    assert_eq!(soon(ended).await, 0, "nothing is sent");
    gateway.until(&closed("silent_start"), |n| n == 1).await;
}

#[tokio::test]
async fn a_request_that_never_ends_is_told_so() {
    let timeout = Duration::from_secs(1);
    let gateway = echo(|config| config.listen.sniff_timeout = timeout).await;
    let mut socket = connect(&gateway).await;
    send(&mut socket, b"POST /game HTTP/1.1\r\nHost: x\r\n").await;
    assert_eq!(Response::all(&rest(&mut socket).await)[0].status, 408);
    let slow = "game_gateway_http_responses_total{status=\"408\"}";
    gateway.until(slow, |n| n == 1).await;
    let mut socket = connect(&gateway).await;
    send(&mut socket, &request("GET /health", "", b"")).await;
    assert_eq!(Response::read(&mut socket).await.status, 200);
    send(&mut socket, b"\r\nPOST /game HTTP/1.1\r\nHost: x\r\n").await;
    assert_eq!(Response::all(&rest(&mut socket).await)[0].status, 408);
    gateway.until(slow, |n| n == 2).await;
    let mut socket = connect(&gateway).await;
    send(&mut socket, b"POS").await;
    assert!(rest(&mut socket).await.is_empty());
    gateway.until(&closed("served"), |n| n == 2).await;
    gateway.until(&closed("silent_start"), |n| n == 1).await;
}

/// Balancers probe a port by connecting, and end it with or without a reset.
#[tokio::test]
async fn a_probe_that_only_connects_has_not_failed() {
    let from = "127.0.0.0/8".parse().expect("a network");
    let plain = echo(|_| ()).await;
    let proxied = echo(|config| config.listen.proxy_protocol_from = from).await;
    for (gateway, first) in [(plain, &b""[..]), (proxied, b"PROXY UNKNOWN\r\n")] {
        for resets in [true, false] {
            let mut socket = connect(&gateway).await;
            if resets {
                socket.set_zero_linger().expect("set");
            }
            let before = gateway.metric(READ).await;
            send(&mut socket, first).await;
            let read = before + first.len() as u64;
            gateway.until(READ, |n| n >= read).await;
        }
        gateway.until(&closed("disconnected"), |n| n == 2).await;
        let all = "game_gateway_closed_connections_total";
        assert_eq!(gateway.metric(all).await, 2, "nothing else");
    }
}

#[tokio::test]
async fn transports_share_the_port() {
    let gateway = echo(|_| ()).await;
    let mut raw = connect(&gateway).await;
    send(&mut raw, &data("game", b"raw")).await;
    let mut browser = crate::scene::Browser::connect(&gateway).await;
    browser.binary(data("game", b"browser")).await;
    let posted = crate::scene::ask(&gateway, "POST /game", "", b"http").await;
    assert_eq!((posted.status, &posted.body[..]), (200, &b"http"[..]));
    assert_eq!(&browser.answer().await[..], b"browser");
    let mut got = vec![0; data("game", b"raw").len()];
    soon(raw.read_exact(&mut got)).await.expect("an answer");
    assert!(got.ends_with(b"raw"));
    for transport in ["tcp", "websocket", "http"] {
        let started = format!("game_gateway_started_sessions_total{{transport=\"{transport}\"}}");
        gateway.until(&started, |n| n == 1).await;
    }
    let (_, body) = gateway.get("/api/v1/sessions?transport=websocket").await;
    assert_eq!(
        body.matches("\"transport\":\"websocket\"").count(),
        1,
        "{body}"
    );
    assert!(!body.contains("\"transport\":\"tcp\""), "{body}");
}
