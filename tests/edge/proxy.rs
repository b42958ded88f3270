//! PROXY protocol, with headers made by hand.

use game_gateway::codec::client::Kind;
use game_gateway::codec::link::Open;
use game_gateway::config::{Config, Networks};

use crate::scene::{Browser, answer, closed, connect, data, echo, frame, request, scripted, send};
use crate::scene::{Response, rest};

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn from_loopback(config: &mut Config) {
    let loopback: Networks = "127.0.0.0/8,::1".parse().expect("networks");
    config.listen.proxy_protocol_from = loopback;
}

/// Encodes a version 2 header for 192.0.2.7:4711.
fn v2_tcp4() -> Vec<u8> {
    let addresses = b"\x21\x11\0\x0C\xC0\0\x02\x07\x7F\0\0\x01\x12\x67\x1B\x58";
    [V2, addresses].concat()
}

/// Encodes a version 2 header for [2001:db8::7]:4711.
fn v2_tcp6() -> Vec<u8> {
    let mut addresses = [0; 36];
    addresses[..4].copy_from_slice(&[0x20, 0x01, 0x0D, 0xB8]);
    addresses[15] = 7;
    addresses[32..34].copy_from_slice(&4711_u16.to_be_bytes());
    [V2, b"\x21\x21\0\x24", &addresses].concat()
}

#[tokio::test]
async fn the_real_address_reaches_the_backend_and_the_admin_api() {
    let (gateway, backend) = scripted(from_loopback).await;
    let mut link = None;
    for (header, client) in [
        (
            b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 7000\r\n".to_vec(),
            "192.0.2.7:4711",
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 4711 7000\r\n".to_vec(),
            "[2001:db8::7]:4711",
        ),
        (
            b"PROXY TCP6 ::ffff:192.0.2.8 ::1 4711 7000\r\n".to_vec(),
            "192.0.2.8:4711",
        ),
        (v2_tcp4(), "192.0.2.7:4711"),
        (v2_tcp6(), "[2001:db8::7]:4711"),
    ] {
        let mut socket = connect(&gateway).await;
        send(&mut socket, &[header, data("game", b"x")].concat()).await;
        if link.is_none() {
            link = Some(backend.link().await);
        }
        let link = link.as_mut().expect("a link");
        let open = link.opened().await;
        let said = Open::decode(&open.payload).expect("OPEN");
        assert_eq!((said.client, said.transport), (client, 1));
        link.data().await;
        let id = open.session_id;
        let (_, session) = gateway.get(&format!("/api/v1/sessions/{id}")).await;
        assert!(
            session.contains(&format!("\"client\":\"{client}\"")),
            "{session}"
        );
        drop(socket);
        assert_eq!(link.closed().await, (id, 0));
    }
}

#[tokio::test]
async fn who_speaks_for_itself_keeps_its_address() {
    let (gateway, backend) = scripted(from_loopback).await;
    let mut link = None;
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        [V2, b"\x20\x00\0\0"].concat(),
        [
            V2,
            b"\x20\x11\0\x0C\xC0\0\x02\x07\x7F\0\0\x01\x12\x67\x1B\x58",
        ]
        .concat(),
    ] {
        let mut socket = connect(&gateway).await;
        let own = socket.local_addr().expect("an address").to_string();
        send(&mut socket, &[header, data("game", b"x")].concat()).await;
        if link.is_none() {
            link = Some(backend.link().await);
        }
        let link = link.as_mut().expect("a link");
        let open = link.opened().await;
        assert_eq!(Open::decode(&open.payload).expect("OPEN").client, own);
        link.data().await;
        drop(socket);
        link.closed().await;
    }
}

#[tokio::test]
async fn http_and_websocket_behind_a_header() {
    let gateway = echo(from_loopback).await;
    let mut socket = connect(&gateway).await;
    send(
        &mut socket,
        &[v2_tcp4(), request("POST /game", "", b"x")].concat(),
    )
    .await;
    assert_eq!(Response::read(&mut socket).await.body, b"x");
    let mut socket = connect(&gateway).await;
    send(&mut socket, &v2_tcp6()).await;
    let mut browser = Browser::over(socket).await;
    browser.binary(data("game", b"y")).await;
    assert_eq!(&browser.answer().await[..], b"y");
    let (_, sessions) = gateway.get("/api/v1/sessions").await;
    assert!(
        sessions.contains("\"client\":\"[2001:db8::7]:4711\""),
        "{sessions}"
    );
}

/// Nothing is sent, and it is counted.
#[tokio::test]
async fn what_breaks_the_rules_is_closed_without_a_word() {
    let gateway = echo(from_loopback).await;
    let line = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 7000\r\n".to_vec();
    let mut wrong_sum = v2_tcp4();
    wrong_sum[15] += 7;
    wrong_sum.extend(b"\x03\0\x04\x01\x02\x03\x04");
    let ping = frame(Kind::Ping as u8, "", b"");
    for (wire, reason) in [
        (ping.clone(), "proxy_missing"),
        (request("GET /health", "", b""), "proxy_missing"),
        (b"\x16\x03\x01\0\x05".to_vec(), "proxy_missing"),
        (b"nonsense".to_vec(), "proxy_missing"),
        ([&line[..], &line, &ping].concat(), "proxy_unexpected"),
        ([&line[..], &v2_tcp4(), &ping].concat(), "proxy_unexpected"),
        (
            [&v2_tcp4()[..], &v2_tcp4(), &ping].concat(),
            "proxy_unexpected",
        ),
        (b"PROXY TCP4 192.0.2.7\r\n".to_vec(), "proxy_malformed"),
        (
            [b"PROXY ".to_vec(), vec![b'x'; 200]].concat(),
            "proxy_malformed",
        ),
        ([V2, b"\x31\x11\0\0"].concat(), "proxy_malformed"),
        ([V2, b"\x21\x11\0\x01x"].concat(), "proxy_malformed"),
        (wrong_sum, "proxy_malformed"),
        ([&line[..], b"nonsense"].concat(), "unrecognised"),
    ] {
        let before = gateway.metric(&closed(reason)).await;
        let got = answer(&gateway, &wire).await;
        assert!(got.is_empty(), "{wire:?}: {got:?}");
        gateway.until(&closed(reason), |n| n == before + 1).await;
    }
}

#[tokio::test]
async fn a_stranger_may_not_say_who_it_is() {
    let gateway = echo(|_| ()).await;
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), v2_tcp4()] {
        let before = gateway.metric(&closed("proxy_unexpected")).await;
        let mut socket = connect(&gateway).await;
        send(
            &mut socket,
            &[header, frame(Kind::Ping as u8, "", b"")].concat(),
        )
        .await;
        assert!(rest(&mut socket).await.is_empty());
        // It is counted behind the end of the socket.
        let counted = |n| n == before + 1;
        gateway.until(&closed("proxy_unexpected"), counted).await;
    }
}

#[tokio::test]
async fn over_ipv6_as_well() {
    let gateway = echo(|config| {
        config.listen.address = "[::1]:0".parse().expect("an address");
        from_loopback(config);
    })
    .await;
    let mut socket = connect(&gateway).await;
    send(
        &mut socket,
        &[v2_tcp6(), request("POST /game", "", b"x")].concat(),
    )
    .await;
    assert_eq!(Response::read(&mut socket).await.status, 200);
    let before = gateway.metric(&closed("proxy_missing")).await;
    assert!(
        answer(&gateway, &frame(Kind::Ping as u8, "", b""))
            .await
            .is_empty()
    );
    gateway
        .until(&closed("proxy_missing"), |n| n == before + 1)
        .await;
}
