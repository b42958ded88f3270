//! Bans of players over WebSocket, HTTP and TLS, behind proxies and without.

use game_gateway::codec::link;

use crate::scene::{Browser, closed, connect, data, echo, request, rest, scripted, send};
use crate::support::http::Response;
use crate::support::wire::{Gateway, soon};
use tokio::io::AsyncReadExt;

/// A gateway that believes proxies on this machine.
async fn behind_a_proxy() -> Gateway {
    echo(|config| {
        config.listen.http.trusted_proxies = "127.0.0.1".parse().expect("networks");
    })
    .await
}

async fn post(socket: &mut tokio::net::TcpStream, headers: &str) -> Response {
    send(socket, &request("POST /game", headers, b"hi")).await;
    Response::read(socket).await
}

#[tokio::test]
async fn a_websocket_of_a_banned_address_hears_so_and_none_is_made() {
    let gateway = echo(|_| ()).await;
    let mut browser = Browser::connect(&gateway).await;
    browser.binary(data("game", b"hello")).await;
    browser.answer().await;
    let ban = gateway.ban(r#"{"address": "127.0.0.1"}"#).await;
    assert_eq!(ban["ended_sessions"], 1);
    assert_eq!(browser.closed().await, (440, 1008));
    let mut socket = connect(&gateway).await;
    assert_eq!(rest(&mut socket).await, b"");
    gateway.until(&closed("banned"), |n| n == 2).await;
}

#[tokio::test]
async fn http_of_a_banned_address_ends_behind_the_request_under_way() {
    let (gateway, backend) = scripted(|_| ()).await;
    let (mut idle, mut asks) = (connect(&gateway).await, connect(&gateway).await);
    let (mut uploads, mut stuck) = (connect(&gateway).await, connect(&gateway).await);
    send(&mut idle, &request("OPTIONS /game", "", b"")).await;
    assert_eq!(Response::read(&mut idle).await.status, 204);
    send(&mut asks, &request("POST /game", "", b"hi")).await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    let head =
        "POST /game HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    for upload in [&mut uploads, &mut stuck] {
        send(upload, head.as_bytes()).await;
        let mut go_on = [0; 25];
        soon(upload.read_exact(&mut go_on)).await.expect("answered");
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        send(upload, b"begun").await;
    }
    let ban = gateway.ban(r#"{"address": "127.0.0.0/8"}"#).await;
    assert_eq!(
        ban["ended_sessions"], 1,
        "the request that is being answered"
    );
    assert_eq!(rest(&mut idle).await, b"");
    let response = Response::read(&mut asks).await;
    assert_eq!(
        (response.status, response.header("connection")),
        (440, Some("close"))
    );
    assert_eq!(rest(&mut asks).await, b"");
    assert_eq!(link.closed().await, (id, 440));
    // What comes behind the ban is no session any more, and what does not come is not waited for.
    send(&mut uploads, b"rest").await;
    for mut upload in [uploads, stuck] {
        assert_eq!(Response::read(&mut upload).await.status, 440);
        assert_eq!(rest(&mut upload).await, b"");
    }
    let mut next = connect(&gateway).await;
    assert_eq!(rest(&mut next).await, b"");
    assert_eq!(gateway.metric("game_gateway_sessions").await, 0);
}

#[tokio::test]
async fn a_player_behind_a_trusted_proxy_is_told_and_others_are_served() {
    let gateway = behind_a_proxy().await;
    let mut shared = connect(&gateway).await;
    let his = "X-Forwarded-For: 192.0.2.7\r\n";
    let others = "X-Forwarded-For: 192.0.3.7\r\n";
    assert_eq!(post(&mut shared, his).await.status, 200);
    gateway.ban(r#"{"address": "192.0.2.0/24"}"#).await;
    // The connection is the proxy's, whoever used it last.
    assert_eq!(post(&mut shared, others).await.status, 200);
    let refused = post(&mut shared, his).await;
    assert_eq!(
        (refused.status, &refused.body[..]),
        (440, &b"banned by an operator\n"[..])
    );
    let another = "Forwarded: for=\"192.0.2.9:80\"\r\n";
    assert_eq!(post(&mut shared, another).await.status, 440);
    assert_eq!(post(&mut shared, others).await.status, 200);
    let handshake = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    send(
        &mut shared,
        &request("GET /", &format!("{his}{handshake}"), b""),
    )
    .await;
    assert_eq!(Response::read(&mut shared).await.status, 440);
    // Nobody who is not trusted names anybody, and a health check is the proxy's own.
    let mut shared = connect(&gateway).await;
    send(&mut shared, &request("GET /health", his, b"")).await;
    assert_eq!(Response::read(&mut shared).await.status, 200);
    assert_eq!(gateway.only_ban().await["refusals"], 3);
}

#[tokio::test]
async fn a_request_that_a_proxy_passes_on_ends_and_the_proxys_connection_stays() {
    let (gateway, backend) = scripted(|config| {
        config.listen.http.trusted_proxies = "127.0.0.1".parse().expect("networks");
    })
    .await;
    let mut shared = connect(&gateway).await;
    let his = "X-Forwarded-For: 192.0.2.7\r\n";
    send(&mut shared, &request("POST /game", his, b"hi")).await;
    let mut link = backend.link().await;
    link.opened().await;
    link.data().await;
    let ban = gateway.ban(r#"{"address": "192.0.2.7"}"#).await;
    assert_eq!(ban["ended_sessions"], 1);
    assert_eq!(Response::read(&mut shared).await.status, 440);
    assert_eq!(link.closed().await.1, 440);
    let others = "X-Forwarded-For: 192.0.3.7\r\n";
    send(&mut shared, &request("POST /game", others, b"hi")).await;
    let id = link.opened().await.session_id;
    link.data().await;
    link.send(link::Kind::Data, id, b"ho").await;
    let response = Response::read(&mut shared).await;
    assert_eq!((response.status, &response.body[..]), (200, &b"ho"[..]));
}

#[tokio::test]
async fn a_banned_user_gets_440_for_a_request_too() {
    let gateway = echo(|_| ()).await;
    gateway.ban(r#"{"user_id": "4711"}"#).await;
    let mut socket = connect(&gateway).await;
    assert_eq!(post(&mut socket, "X-User-Id: 4711\r\n").await.status, 440);
    assert_eq!(post(&mut socket, "X-User-Id: 4712\r\n").await.status, 200);
    let mut browser = Browser::connect(&gateway).await;
    let header = game_gateway::codec::client::Header {
        user_id: 4711,
        ..Default::default()
    };
    let first = crate::support::frames::encoded(header, "game", b"hello");
    browser.binary(first).await;
    assert_eq!(browser.closed().await, (440, 1008));
}

#[tokio::test]
async fn whoever_has_said_nothing_yet_ends_with_nothing_sent() {
    let gateway = echo(|config| {
        config.listen.proxy_protocol_from = "127.0.0.0/8".parse().expect("networks");
    })
    .await;
    let mut socket = connect(&gateway).await;
    let header = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 7000\r\n";
    send(&mut socket, header).await;
    let bytes = header.len() as u64;
    gateway
        .until("game_gateway_client_in_bytes_total", |n| n == bytes)
        .await;
    gateway.ban(r#"{"address": "192.0.2.7"}"#).await;
    let mut read = Vec::new();
    // A reset is an end too.
    let _ = soon(socket.read_to_end(&mut read)).await;
    assert_eq!(read, b"");
    gateway.until(&closed("banned"), |n| n == 1).await;
}
