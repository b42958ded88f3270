//! Upgrades that are not wanted, and lists in the headers of those that are.

use crate::scene::{Browser, Response, connect, data, echo, request, rest, send};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const RESPONSES: &str = "game_gateway_http_responses_total";

#[tokio::test]
async fn an_upgrade_that_is_not_wanted_is_ignored() {
    let gateway = echo(|_| ()).await;
    for headers in [
        // Java's HttpClient.
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
        // nginx with the usual lines for WebSockets.
        "Connection: upgrade\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "Upgrade: websocket\r\n",
        "Connection: keep-alive, Upgrade\r\nUpgrade: TLS/1.0, h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ] {
        let mut socket = connect(&gateway).await;
        for n in 0..3 {
            send(&mut socket, &request("POST /game", headers, &[n; 3])).await;
            let response = Response::read(&mut socket).await;
            assert_eq!((response.status, &response.body[..]), (200, &[n; 3][..]));
            assert_eq!(response.header("connection"), None, "{headers}");
        }
        if !(headers.contains("websocket") && headers.contains("Connection")) {
            send(&mut socket, &request("GET /health", headers, b"")).await;
            assert_eq!(Response::read(&mut socket).await.status, 200, "{headers}");
        }
        let chunked = format!("{headers}Transfer-Encoding: chunked\r\n");
        let wire = [
            &request("POST /game", &chunked, b"")[..],
            b"2\r\nab\r\n0\r\n\r\n",
        ]
        .concat();
        send(
            &mut socket,
            &[wire, request("POST /game", "", b"next")].concat(),
        )
        .await;
        send(
            &mut socket,
            &request("POST /game", "Connection: Upgrade, close\r\n", b""),
        )
        .await;
        let bodies: Vec<_> = Response::all(&rest(&mut socket).await);
        let bodies: Vec<&[u8]> = bodies.iter().map(|r| &r.body[..]).collect();
        assert_eq!(bodies, [&b"ab"[..], b"next", b""], "{headers}");
    }
}

#[tokio::test]
async fn lists_are_read_as_lists() {
    let gateway = echo(|_| ()).await;
    for headers in [
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c ,WebSocket\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
        "Connection: Upgrade, close\r\nUpgrade: websocket\r\n",
        "Connection: close\r\nConnection: keep-alive, upgrade\r\nUpgrade: websocket\r\n",
    ] {
        let mut socket = connect(&gateway).await;
        let headers = [headers, KEY].concat();
        send(&mut socket, &request("GET /play", &headers, b"")).await;
        assert_eq!(Response::read(&mut socket).await.status, 101, "{headers}");
    }
}

#[tokio::test]
async fn an_upgrade_counts_one_response() {
    let gateway = echo(|_| ()).await;
    for _ in 0..3 {
        let mut browser = Browser::connect(&gateway).await;
        browser.binary(data("game", b"x")).await;
        assert_eq!(&browser.answer().await[..], b"x");
        drop(browser);
    }
    let ended = crate::scene::closed("disconnected");
    gateway.until(&ended, |n| n == 3).await;
    let upgraded = format!("{RESPONSES}{{status=\"101\"}}");
    assert_eq!(gateway.metric(&upgraded).await, 3);
    assert_eq!(gateway.metric(RESPONSES).await, 3, "and nothing else");
}
