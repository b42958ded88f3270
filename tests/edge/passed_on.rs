//! Requests of many players over one connection of a trusted proxy: what is wrong with one of them is no other one's
//! loss.

use game_gateway::codec::link;
use game_gateway::config::Config;
use tokio::net::TcpStream;

use crate::scene::{Browser, Response, connect, echo, request, rest, scripted, send};
use crate::support::wire::Gateway;

const HANDSHAKE: &str = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Believes proxies on this machine.
fn trusting(config: &mut Config) {
    config.listen.http.trusted_proxies = "127.0.0.1".parse().expect("networks");
}

fn of(client: &str) -> String {
    format!("X-Forwarded-For: {client}\r\n")
}

async fn post(socket: &mut TcpStream, headers: &str) -> u16 {
    send(socket, &request("POST /game", headers, b"hi")).await;
    Response::read(socket).await.status
}

/// One request between two good ones, at once. Returns its status, having seen both answered.
async fn between(gateway: &Gateway, wrong: &[u8]) -> u16 {
    let mut socket = connect(gateway).await;
    let good = |client: &str, body: &[u8]| request("POST /game", &of(client), body);
    let last = format!("{}Connection: close\r\n", of("198.51.100.2"));
    let wire = [
        &good("198.51.100.1", b"before")[..],
        wrong,
        &request("POST /game", &last, b"behind"),
    ];
    send(&mut socket, &wire.concat()).await;
    let responses = Response::all(&rest(&mut socket).await);
    let shown = String::from_utf8_lossy(&wrong[..wrong.len().min(150)]);
    let [before, status, behind] = &responses[..] else {
        panic!("{shown}: {responses:?}");
    };
    for (response, body) in [(before, &b"before"[..]), (behind, b"behind")] {
        assert_eq!(
            (response.status, &response.body[..]),
            (200, body),
            "{shown}"
        );
    }
    assert_eq!(status.header("connection"), None, "{shown}");
    status.status
}

#[tokio::test]
async fn a_request_that_is_refused_is_over_and_others_are_served() {
    let gateway = echo(|config| {
        trusting(config);
        config.listen.max_payload = 1000;
        config.limits.deny = "203.0.113.0/24".parse().expect("networks");
    })
    .await;
    gateway.ban(r#"{"address": "192.0.2.0/24"}"#).await;
    gateway.ban(r#"{"user_id": "4711"}"#).await;
    let (banned, denied, good) = (of("192.0.2.7"), of("203.0.113.9"), of("198.51.100.9"));
    let chunked = |client: &str, size: usize| {
        let headers = format!("{client}Transfer-Encoding: chunked\r\n");
        let chunk = format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size));
        [request("POST /game", &headers, b""), chunk.into_bytes()].concat()
    };
    let plain = |client: &str| request("POST /game", client, b"hi");
    for (wrong, status) in [
        (plain(&banned), 440),
        (plain(&format!("{good}X-User-Id: 4711\r\n")), 440),
        (plain(&denied), 403),
        (plain("Forwarded: for=192.0.2.7\r\n"), 440),
        (
            plain(&format!("{good}Forwarded: for=198.51.100.8\r\n")),
            400,
        ),
        (plain(&format!("{good}X-User-Id: x\r\n")), 400),
        (plain(&format!("{good}Origin: https://elsewhere\r\n")), 403),
        (request("POST /game", &banned, &[b'x'; 200_000]), 440),
        (request("POST /game", &good, &[b'x'; 200_000]), 413),
        (chunked(&banned, 200_000), 440),
        (chunked(&good, 200_000), 413),
        (request("OPTIONS /game", &banned, b""), 440),
        (request("OPTIONS /game", &good, b"a body"), 204),
        (request("PATCH /game", &good, &[b'x'; 5000]), 405),
        (request("BREW /game", &good, b"coffee"), 501),
        (request("POST /Game", &good, b"hi"), 404),
        (
            format!("POST /game HTTP/1.1\r\nHost: a b\r\n{good}Content-Length: 2\r\n\r\nhi").into(),
            400,
        ),
        // A health check is the proxy's own, whatever it names.
        (request("GET /health", &banned, b""), 200),
        (request("GET /health", &denied, b"a body"), 200),
    ] {
        assert_eq!(between(&gateway, &wrong).await, status);
    }
}

#[tokio::test]
async fn a_body_that_waits_to_be_asked_for_is_read_before_its_refusal() {
    let gateway = echo(trusting).await;
    gateway.ban(r#"{"address": "192.0.2.7"}"#).await;
    let mut socket = connect(&gateway).await;
    let expecting = format!(
        "{}Expect: 100-continue\r\nContent-Length: 2\r\n",
        of("192.0.2.7")
    );
    send(&mut socket, &request("POST /game", &expecting, b"")).await;
    assert_eq!(Response::read(&mut socket).await.status, 100);
    send(&mut socket, b"hi").await;
    assert_eq!(Response::read(&mut socket).await.status, 440);
    assert_eq!(post(&mut socket, &of("192.0.2.8")).await, 200);
}

#[tokio::test]
async fn one_address_too_many_is_one_answer() {
    let (gateway, backend) = scripted(|config| {
        trusting(config);
        config.limits.connections_per_ip = 1;
    })
    .await;
    let (mut busy, mut shared) = (connect(&gateway).await, connect(&gateway).await);
    send(&mut busy, &request("POST /game", &of("192.0.2.7"), b"hi")).await;
    let mut link = backend.link().await;
    let first = link.opened().await.session_id;
    link.data().await;
    assert_eq!(post(&mut shared, &of("192.0.2.7")).await, 429);
    // His 64 bits of IPv6 are one address, and another one's are not.
    for (client, is_served) in [
        ("2001:db8::1", true),
        ("192.0.2.7", false),
        ("192.0.2.8", true),
    ] {
        send(&mut shared, &request("POST /game", &of(client), b"hi")).await;
        if is_served {
            let id = link.opened().await.session_id;
            link.data().await;
            link.send(link::Kind::Data, id, b"ho").await;
        }
        let response = Response::read(&mut shared).await;
        let status = if is_served { 200 } else { 429 };
        assert_eq!(response.status, status, "{client}");
        if is_served {
            link.closed().await;
        }
    }
    link.send(link::Kind::Data, first, b"ho").await;
    assert_eq!(Response::read(&mut busy).await.status, 200);
}

/// A proxy that opens its tunnel without looking at the status would let the client say what it likes behind it.
#[tokio::test]
async fn what_may_be_no_http_any_more_ends_the_connection() {
    let gateway = echo(trusting).await;
    gateway.ban(r#"{"address": "192.0.2.7"}"#).await;
    let (banned, good) = (of("192.0.2.7"), of("192.0.2.8"));
    for (first, status) in [
        (request("GET /", &format!("{banned}{HANDSHAKE}"), b""), 440),
        // It is no health check for its path.
        (
            request("GET /health", &format!("{banned}{HANDSHAKE}"), b""),
            440,
        ),
        (
            request(
                "GET /",
                &format!("{good}Connection: upgrade\r\nUpgrade: websocket\r\n"),
                b"",
            ),
            426,
        ),
        (request("CONNECT x:1", &good, b""), 405),
    ] {
        let mut socket = connect(&gateway).await;
        let wire = [first, request("POST /game", &of("192.0.2.9"), b"hi")].concat();
        send(&mut socket, &wire).await;
        let responses = Response::all(&rest(&mut socket).await);
        let statuses: Vec<u16> = responses.iter().map(|r| r.status).collect();
        assert_eq!(statuses, [status]);
        assert_eq!(responses[0].header("connection"), Some("close"));
    }
}

#[tokio::test]
async fn a_request_without_a_name_is_the_proxys_and_not_the_last_players() {
    let (gateway, backend) = scripted(trusting).await;
    let mut shared = connect(&gateway).await;
    let own = shared.local_addr().expect("an address").to_string();
    gateway.ban(r#"{"address": "192.0.2.7"}"#).await;
    let mut link = None;
    for (headers, client) in [
        (of("192.0.2.8"), "192.0.2.8:0"),
        (String::new(), &*own),
        (of("192.0.2.8, unknown"), &own),
        (of("::ffff:192.0.2.9"), "192.0.2.9:0"),
    ] {
        assert_eq!(post(&mut shared, &of("192.0.2.7")).await, 440);
        send(&mut shared, &request("POST /game", &headers, b"hi")).await;
        if link.is_none() {
            link = Some(backend.link().await);
        }
        let link = link.as_mut().expect("a link");
        let open = link.opened().await;
        let said = link::Open::decode(&open.payload).expect("OPEN");
        assert_eq!(said.client, client, "{headers}");
        link.data().await;
        link.send(link::Kind::Data, open.session_id, b"ho").await;
        assert_eq!(Response::read(&mut shared).await.status, 200);
        link.closed().await;
    }
}

#[tokio::test]
async fn a_player_whose_address_could_be_a_proxys_is_banned_when_a_header_names_him() {
    let gateway = echo(|config| {
        config.listen.http.trusted_proxies = "127.0.0.0/8".parse().expect("networks");
    })
    .await;
    let mut socket = connect(&gateway).await;
    let handshake = request("GET /", &format!("{}{HANDSHAKE}", of("127.0.0.5")), b"");
    send(&mut socket, &handshake).await;
    assert_eq!(Response::read(&mut socket).await.status, 101);
    let mut his = Browser::upgraded(socket).await;
    his.binary(crate::scene::data("game", b"hello")).await;
    his.answer().await;
    let mut shared = connect(&gateway).await;
    let ban = gateway.ban(r#"{"address": "127.0.0.0/8"}"#).await;
    assert_eq!(ban["ended_sessions"], 1);
    assert_eq!(his.closed().await, (440, 1008));
    assert_eq!(post(&mut shared, &of("127.0.0.5")).await, 440);
    // The proxies themselves are not looked at.
    assert_eq!(post(&mut shared, "").await, 200);
    assert_eq!(
        post(&mut connect(&gateway).await, &of("192.0.2.7")).await,
        200
    );
}
