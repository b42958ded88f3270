//! WebSocket handshakes and frames with mistakes, as raw bytes.

use game_gateway::codec::client::Kind;

use crate::scene::{Response, answer, closed, connect, data, echo, frame, rest, send};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

fn handshake(line: &str, headers: &[&str]) -> Vec<u8> {
    format!("{line}\r\nHost: x\r\n{}\r\n", headers.concat()).into_bytes()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table: one line a case")]
async fn handshakes_with_mistakes_are_refused() {
    let allowed = "https://play.example.com".parse().expect("an origin");
    let gateway = echo(|config| config.listen.websocket.allowed_origins = allowed).await;
    let get = "GET /play HTTP/1.1";
    let all = [UPGRADE, KEY, VERSION];
    let with = |more: &'static str| [UPGRADE, KEY, VERSION, more];
    let key = |key: &'static str| [UPGRADE, key, VERSION];
    for (wire, status) in [
        // These ask for no upgrade, and a path is for POST.
        (handshake("PUT /play HTTP/1.1", &all), 405),
        (handshake("GET /play HTTP/1.0", &all), 405),
        (handshake(get, &[UPGRADE, KEY]), 426),
        (
            handshake(get, &[UPGRADE, KEY, "Sec-WebSocket-Version: 8\r\n"]),
            426,
        ),
        (
            handshake(get, &[UPGRADE, KEY, "Sec-WebSocket-Version: 14\r\n"]),
            426,
        ),
        (handshake(get, &with(VERSION)), 426),
        (handshake(get, &[UPGRADE, VERSION]), 400),
        (handshake(get, &with(KEY)), 400),
        (handshake(get, &key("Sec-WebSocket-Key: \r\n")), 400),
        (handshake(get, &key("Sec-WebSocket-Key: short==\r\n")), 400),
        (
            handshake(get, &key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=A\r\n")),
            400,
        ),
        (
            handshake(get, &key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub2*jZQ==\r\n")),
            400,
        ),
        (
            handshake(
                get,
                &key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBsb25nZXI=\r\n"),
            ),
            400,
        ),
        (
            handshake(get, &["Upgrade: websocket\r\n", KEY, VERSION]),
            405,
        ),
        (
            handshake(
                get,
                &[
                    "Connection: keep-alive\r\nUpgrade: websocket\r\n",
                    KEY,
                    VERSION,
                ],
            ),
            405,
        ),
        (
            handshake(
                get,
                &["Connection: Upgrade\r\nUpgrade: h2c\r\n", KEY, VERSION],
            ),
            405,
        ),
        (handshake(get, &with("Content-Length: 5\r\n")), 400),
        (
            handshake(get, &with("Origin: https://evil.example.com\r\n")),
            403,
        ),
        (
            handshake(get, &with("Origin: https://play.example.com.evil\r\n")),
            403,
        ),
        (handshake(get, &with("Origin: null\r\n")), 403),
        (
            handshake(get, &with("Origin: https://play.example.com\r\n")),
            101,
        ),
        (handshake(get, &all), 101),
        (
            handshake(
                get,
                &[
                    "Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n",
                    KEY,
                    VERSION,
                ],
            ),
            101,
        ),
    ] {
        let shown = String::from_utf8_lossy(&wire).into_owned();
        let mut socket = connect(&gateway).await;
        send(&mut socket, &wire).await;
        let response = Response::read(&mut socket).await;
        assert_eq!(response.status, status, "{shown}");
        let version = response.header("sec-websocket-version");
        assert_eq!(version, (status == 426).then_some("13"), "{shown}");
        let accept = response.header("sec-websocket-accept");
        let accepted = (status == 101).then_some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accept, accepted, "{shown}");
        assert_eq!(response.header("sec-websocket-protocol"), None);
        assert_eq!(response.header("sec-websocket-extensions"), None);
    }
}

#[tokio::test]
async fn the_subprotocol_is_chosen_where_it_is_offered() {
    let gateway = echo(|_| ()).await;
    for (offered, chosen) in [
        ("Sec-WebSocket-Protocol: ggp.v1\r\n", Some("ggp.v1")),
        ("Sec-WebSocket-Protocol: chat, ggp.v1\r\n", Some("ggp.v1")),
        (
            "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: ggp.v1\r\n",
            Some("ggp.v1"),
        ),
        ("Sec-WebSocket-Protocol: ggp.v2\r\n", None),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", None),
    ] {
        let mut socket = connect(&gateway).await;
        let wire = handshake("GET / HTTP/1.1", &[UPGRADE, KEY, VERSION, offered]);
        send(&mut socket, &wire).await;
        let response = Response::read(&mut socket).await;
        assert_eq!(response.status, 101);
        assert_eq!(
            response.header("sec-websocket-protocol"),
            chosen,
            "{offered}"
        );
        assert_eq!(response.header("sec-websocket-extensions"), None);
    }
}

/// Encodes a client's WebSocket frame with mask zero, which leaves the payload as it is.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    let head = [first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    [&head[..], payload].concat()
}

/// Returns the gateway's output after a good handshake and these bytes, until it closes.
async fn behind_handshake(gateway: &crate::support::wire::Gateway, bytes: &[u8]) -> Vec<u8> {
    let wire = handshake("GET / HTTP/1.1", &[UPGRADE, KEY, VERSION]);
    let got = answer(gateway, &[&wire[..], bytes].concat()).await;
    let end = got
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head")
        + 4;
    assert!(got.starts_with(b"HTTP/1.1 101 "));
    got[end..].to_vec()
}

#[tokio::test]
async fn frames_that_no_client_may_send() {
    let gateway = echo(|_| ()).await;
    let ping = frame(Kind::Ping as u8, "", b"");
    let unmasked = [&[0x82, ping.len() as u8][..], &ping].concat();
    for wire in [
        unmasked,
        vec![0x82, 0x00],
        masked(0xC2, &ping),
        masked(0x92, &ping),
        masked(0x83, &ping),
        masked(0x8B, b""),
        masked(0x80, &ping),
        masked(0x09, b"fragmented"),
        [masked(0x02, &ping[..10]), masked(0x82, &ping)].concat(),
        [&[0x89, 0xFE, 0, 126, 0, 0, 0, 0][..], &[0; 126]].concat(),
        masked(0x88, &[3]),
    ] {
        let before = gateway.metric(&closed("bad_websocket")).await;
        let got = behind_handshake(&gateway, &wire).await;
        // CLOSE 400 in a binary message, then the closing frame with 1002.
        assert_eq!(
            (got[0], got[5]),
            (0x82, Kind::Close as u8),
            "{wire:?}: {got:?}"
        );
        assert!(got.ends_with(&[0x88, 2, 0x03, 0xEA]), "{wire:?}: {got:?}");
        gateway
            .until(&closed("bad_websocket"), |n| n == before + 1)
            .await;
    }
}

#[tokio::test]
async fn bytes_right_behind_the_handshake_and_one_by_one() {
    let gateway = echo(|_| ()).await;
    let close = frame(Kind::Close as u8, "", &[0, 0]);
    let frames = [masked(0x82, &data("game", b"early")), masked(0x82, &close)].concat();
    let got = behind_handshake(&gateway, &frames).await;
    assert!(got.ends_with(&[0x88, 2, 0x03, 0xE8]), "{got:?}");

    let mut socket = connect(&gateway).await;
    let wire = handshake("GET / HTTP/1.1", &[UPGRADE, KEY, VERSION]);
    for byte in [&wire[..], &frames].concat() {
        send(&mut socket, &[byte]).await;
        tokio::task::yield_now().await;
    }
    let got = rest(&mut socket).await;
    assert!(got.starts_with(b"HTTP/1.1 101 ") && got.ends_with(&[0x88, 2, 0x03, 0xE8]));
}

/// A length that is only claimed: it is refused with the header, before any memory is taken.
#[tokio::test]
async fn a_claimed_length_is_refused_at_once() {
    let gateway = echo(|_| ()).await;
    for length in [1_u64 << 20, 1 << 40, u64::MAX >> 1] {
        let wire = [&[0x82, 0xFF][..], &length.to_be_bytes(), &[0; 4]].concat();
        let got = behind_handshake(&gateway, &wire).await;
        assert!(got.ends_with(&[0x88, 2, 0x03, 0xF1]), "{length}: {got:?}");
    }
    let large = closed("payload_too_large");
    gateway.until(&large, |n| n == 3).await;
}
