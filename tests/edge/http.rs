//! HTTP requests as sessions.

use std::time::Duration;

use game_gateway::codec::link::{Kind, Open};
use tokio::io::AsyncReadExt;

use crate::scene::{Response, answer, ask, closed, connect, echo, request, rest, scripted, send};
use crate::support::wire::{Backend, Gateway, soon};

fn answered(status: u16) -> String {
    format!("game_gateway_http_responses_total{{status=\"{status}\"}}")
}

#[tokio::test]
async fn a_request_is_a_session() {
    let (gateway, backend) = scripted(|_| ()).await;
    let mut socket = connect(&gateway).await;
    let ids = "X-Realm-Id: 7\r\nX-User-Id: 18446744073709551615\r\n";
    send(&mut socket, &request("POST /game?x=1", ids, b"hello")).await;
    let mut link = backend.link().await;
    let open = link.opened().await;
    let said = Open::decode(&open.payload).expect("OPEN");
    let own = socket.local_addr().expect("an address").to_string();
    assert_eq!((said.transport, said.client), (3, own.as_str()));
    assert_eq!((said.realm_id, said.user_id), (7, u64::MAX));
    assert_eq!(&link.data().await.payload[..], b"hello");
    let (_, sessions) = gateway.get("/api/v1/sessions?transport=http").await;
    let id = open.session_id;
    assert!(
        sessions.contains(&format!("\"session_id\":\"{id}\"")),
        "{sessions}"
    );
    assert_eq!(gateway.metric("game_gateway_connections").await, 1);
    link.send(Kind::Data, id, b"world").await;
    let response = Response::read(&mut socket).await;
    assert_eq!((response.status, &response.body[..]), (200, &b"world"[..]));
    assert_eq!(
        response.header("x-session-id"),
        Some(id.to_string().as_str())
    );
    assert_eq!(
        response.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(link.closed().await, (id, 0));
    gateway.until("game_gateway_sessions", |n| n == 0).await;
    drop(socket);
    gateway.until(&closed("served"), |n| n == 1).await;
    assert_eq!(
        gateway
            .metric("game_gateway_closed_connections_total")
            .await,
        1
    );
}

#[tokio::test]
async fn what_a_backend_says_becomes_a_status() {
    let (gateway, backend) = scripted(|_| ()).await;
    let mut socket = connect(&gateway).await;
    let mut link = None;
    let notice = |code: u16, retry: u32, text: &str| {
        [
            &code.to_be_bytes()[..],
            &retry.to_be_bytes(),
            text.as_bytes(),
        ]
        .concat()
    };
    for (close, status, retry, body) in [
        (notice(0, 0, ""), 204, None, ""),
        (notice(440, 0, "out"), 440, None, "out\n"),
        (vec![], 440, None, "\n"),
        (notice(429, 1500, "slow"), 429, Some("2"), "slow\n"),
        (notice(7, 0, "odd"), 502, None, "odd\n"),
    ] {
        send(&mut socket, &request("POST /game", "", b"?")).await;
        if link.is_none() {
            link = Some(backend.link().await);
        }
        let link = link.as_mut().expect("a link");
        let id = link.opened().await.session_id;
        link.data().await;
        link.send(Kind::Close, id, &close).await;
        let response = Response::read(&mut socket).await;
        assert_eq!(response.status, status);
        assert_eq!(response.header("retry-after"), retry);
        assert_eq!(String::from_utf8_lossy(&response.body), body);
    }
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_504() {
    let timeout = Duration::from_secs(1);
    let (gateway, backend) = scripted(|config| config.listen.http.timeout = timeout).await;
    let mut socket = connect(&gateway).await;
    send(&mut socket, &request("POST /game", "", b"?")).await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    assert_eq!(Response::read(&mut socket).await.status, 504);
    assert_eq!(link.closed().await, (id, 504));
    // A body that does not come is the client's fault.
    send(
        &mut socket,
        b"POST /game HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel",
    )
    .await;
    assert_eq!(Response::all(&rest(&mut socket).await)[0].status, 408);
}

#[tokio::test]
async fn a_service_that_cannot_be_reached() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    assert_eq!(ask(&gateway, "POST /nowhere", "", b"?").await.status, 404);
    drop(backend);
    assert_eq!(ask(&gateway, "POST /game", "", b"?").await.status, 502);
}

#[tokio::test]
async fn paths_methods_and_headers() {
    let gateway = echo(|_| ()).await;
    let bad_realm = "X-Realm-Id: 4294967296\r\n";
    for (line, headers, status) in [
        ("GET /health", "", 200),
        ("HEAD /health", "", 200),
        ("GET /health?probe", "Origin: https://elsewhere\r\n", 200),
        ("PUT /health", "", 405),
        ("GET /game", "", 405),
        ("HEAD /game", "", 405),
        ("PUT /game", "", 405),
        ("DELETE /game", "", 405),
        ("PATCH /game", "", 405),
        ("TRACE /game", "", 405),
        ("GET /", "", 404),
        ("POST /", "", 404),
        ("POST /Game", "", 404),
        ("POST /game/", "", 404),
        ("POST /g%61me", "", 404),
        ("POST //game", "", 404),
        ("POST /game", "", 200),
        ("POST http://x/game", "", 200),
        ("POST /game", bad_realm, 400),
        ("POST /game", "X-User-Id: 18446744073709551616\r\n", 400),
        ("POST /game", "X-User-Id: +1\r\n", 400),
        ("POST /game", "X-User-Id: 1\r\nX-User-Id: 2\r\n", 400),
        ("POST /game", "X-Realm-Id:\r\n", 400),
        ("OPTIONS *", "", 204),
        ("OPTIONS /game", "", 204),
    ] {
        let before = gateway.metric(&answered(status)).await;
        let all = [line, headers].concat();
        let wire = request(line, &format!("{headers}Connection: close\r\n"), b"");
        let got = String::from_utf8(answer(&gateway, &wire).await).expect("text");
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status} ")),
            "{all}: {got}"
        );
        assert_eq!(gateway.metric(&answered(status)).await, before + 1, "{all}");
        if status == 405 {
            assert!(got.to_lowercase().contains("\r\nallow: "), "{got}");
        }
        if line.starts_with("HEAD") {
            assert!(got.ends_with("\r\n\r\n"), "no body: {got}");
        }
    }
}

#[tokio::test]
async fn keep_alive_and_pipelining_keep_their_order() {
    let gateway = echo(|_| ()).await;
    let mut socket = connect(&gateway).await;
    for n in 0..3_u8 {
        send(&mut socket, &request("POST /game", "", &[n])).await;
        assert_eq!(Response::read(&mut socket).await.body, [n]);
    }
    let mut wire = Vec::new();
    for n in 0..40_u8 {
        wire.extend(request("POST /game", "", &[n]));
    }
    wire.extend(request("POST /game", "Connection: close\r\n", b"last"));
    send(&mut socket, &wire).await;
    let responses = Response::all(&rest(&mut socket).await);
    let bodies: Vec<&[u8]> = responses.iter().map(|r| &r.body[..]).collect();
    let expected: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n]).collect();
    assert_eq!(bodies[..40], expected);
    assert_eq!(bodies[40..], [b"last"]);
}

#[tokio::test]
async fn bodies_of_every_form_and_their_limit() {
    let gateway = echo(|config| config.listen.max_payload = 1000).await;
    let chunked = "Transfer-Encoding: chunked\r\nConnection: close\r\n";
    let post = |chunks: &[u8]| [&request("POST /game", chunked, b"")[..], chunks].concat();
    let chunk = |n: usize| [format!("{n:x}\r\n").as_bytes(), &vec![b'x'; n], b"\r\n"].concat();
    let cases = [
        (
            post(b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n"),
            200,
            "abcde",
        ),
        (post(b"0\r\n\r\n"), 200, ""),
        (
            post(&[&chunk(999)[..], &chunk(1), b"0\r\n\r\n"].concat()),
            200,
            &"x".repeat(1000),
        ),
        (
            post(&[&chunk(999)[..], &chunk(2), b"0\r\n\r\n"].concat()),
            413,
            "payload over the limit\n",
        ),
        (post(&chunk(1001)), 413, "payload over the limit\n"),
        (
            request("POST /game", "Connection: close\r\n", &[b'y'; 1000]),
            200,
            &"y".repeat(1000),
        ),
        (
            request("POST /game", "", &[b'y'; 1001]),
            413,
            "payload over the limit\n",
        ),
        (
            b"POST /game HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
            413,
            "payload over the limit\n",
        ),
        (
            b"POST /game HTTP/1.0\r\nContent-Length: 3\r\n\r\nold".to_vec(),
            200,
            "old",
        ),
    ];
    for (wire, status, body) in cases {
        let shown = String::from_utf8_lossy(&wire[..wire.len().min(120)]).into_owned();
        let responses = Response::all(&answer(&gateway, &wire).await);
        assert_eq!(responses.len(), 1, "{shown}");
        assert_eq!(responses[0].status, status, "{shown}");
        assert_eq!(String::from_utf8_lossy(&responses[0].body), body, "{shown}");
    }
}

#[tokio::test]
async fn large_bodies_go_both_ways_whole() {
    let gateway = echo(|config| {
        config.listen.max_payload = 1 << 20;
        config.session.outbound_queue = 2 << 20;
    })
    .await;
    let body: Vec<u8> = (0..1_u32 << 20).map(|n| (n % 251) as u8).collect();
    let mut socket = connect(&gateway).await;
    for _ in 0..2 {
        send(&mut socket, &request("POST /game", "", &body)).await;
        let response = Response::read(&mut socket).await;
        assert!(response.status == 200 && response.body == body);
    }
}

#[tokio::test]
async fn expect_100_continue_is_answered_before_the_body() {
    let gateway = echo(|_| ()).await;
    let mut socket = connect(&gateway).await;
    let expecting = |length: &str, path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    send(&mut socket, expecting("5", "/game").as_bytes()).await;
    let mut go = [0; 25];
    soon(socket.read_exact(&mut go)).await.expect("100");
    assert_eq!(&go, b"HTTP/1.1 100 Continue\r\n\r\n");
    send(&mut socket, b"hello").await;
    assert_eq!(Response::read(&mut socket).await.body, b"hello");
    for (length, path, status) in [("65537", "/game", 413), ("5", "/Game", 404)] {
        let responses = Response::all(&answer(&gateway, expecting(length, path).as_bytes()).await);
        assert_eq!((responses.len(), responses[0].status), (1, status));
    }
}

#[tokio::test]
async fn browsers_ask_first() {
    let allowed = "https://play.example.com,https://test.example.com";
    let allowed = allowed.parse().expect("origins");
    let gateway = echo(|config| config.listen.http.allowed_origins = allowed).await;
    let asking =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-user-id\r\n";
    let good = "Origin: https://play.example.com\r\n";
    let bad = "Origin: https://evil.example.com\r\n";
    let preflight = ask(&gateway, "OPTIONS /game", &[good, asking].concat(), b"").await;
    assert_eq!(preflight.status, 204);
    let header = |name| preflight.header(name).unwrap_or_default();
    assert_eq!(
        header("access-control-allow-origin"),
        "https://play.example.com"
    );
    assert!(header("access-control-allow-methods").contains("POST"));
    assert!(header("access-control-allow-headers").contains("x-user-id"));
    assert_eq!(header("vary"), "origin");
    let posted = ask(&gateway, "POST /game", good, b"x").await;
    let allowed = posted.header("access-control-allow-origin");
    assert_eq!(
        (posted.status, allowed),
        (200, Some("https://play.example.com"))
    );
    for line in ["OPTIONS /game", "POST /game"] {
        let refused = ask(&gateway, line, bad, b"").await;
        assert_eq!(
            (
                refused.status,
                refused.header("access-control-allow-origin")
            ),
            (403, None)
        );
    }
    // Clients other than browsers have no origin.
    assert_eq!(ask(&gateway, "POST /game", "", b"x").await.status, 200);
    let closed = echo(|_| ()).await;
    assert_eq!(ask(&closed, "POST /game", good, b"x").await.status, 403);
}

#[tokio::test]
async fn a_full_gateway_and_a_draining_one_say_503() {
    let gateway = echo(|config| config.listen.max_connections = 1).await;
    let _first = connect(&gateway).await;
    gateway.until("game_gateway_connections", |n| n == 1).await;
    for line in ["POST /game", "GET /health"] {
        let got = answer(&gateway, &request(line, "", b"")).await;
        let responses = Response::all(&got);
        assert_eq!((responses.len(), responses[0].status), (1, 503), "{line}");
        assert!(responses[0].header("retry-after").is_some(), "{line}");
        gateway.until("game_gateway_connections", |n| n == 1).await;
    }

    let gateway = echo(|config| {
        config.drain.accept_grace = Duration::ZERO;
        config.drain.window = Duration::from_secs(20);
    })
    .await;
    // Somebody plays on, so that the drain does not end.
    let mut player = crate::support::wire::Player::connect(&gateway).await;
    player.data("game", b"x").await;
    player.answer().await;
    let mut kept = connect(&gateway).await;
    send(&mut kept, &request("POST /game", "", b"x")).await;
    assert_eq!(Response::read(&mut kept).await.status, 200);
    gateway.drain();
    let refused = soon(async {
        loop {
            let response = ask(&gateway, "POST /game", "", b"x").await;
            if response.status == 503 {
                return response;
            }
        }
    })
    .await;
    assert_eq!(refused.header("connection"), Some("close"));
    send(&mut kept, &request("POST /game", "", b"x")).await;
    assert_eq!(Response::all(&rest(&mut kept).await)[0].status, 503);
}

/// Balancers that probe only this port notice a drain when it begins, while newcomers are served.
#[tokio::test]
async fn health_turns_when_a_drain_begins() {
    let gateway = echo(|config| {
        config.drain.accept_grace = Duration::from_secs(3600);
        config.drain.window = Duration::from_secs(3600);
    })
    .await;
    let mut player = crate::support::wire::Player::connect(&gateway).await;
    player.data("game", b"x").await;
    player.answer().await;
    let mut probe = connect(&gateway).await;
    send(&mut probe, &request("GET /health", "", b"")).await;
    assert_eq!(Response::read(&mut probe).await.status, 200);
    gateway.drain();
    gateway
        .until("game_gateway_ready", |ready| ready == 0)
        .await;
    for line in ["GET /health", "HEAD /health"] {
        let got = answer(&gateway, &request(line, "Connection: close\r\n", b"")).await;
        assert!(got.starts_with(b"HTTP/1.1 503 "), "{line}");
    }
    send(&mut probe, &request("GET /health", "", b"")).await;
    assert_eq!(Response::read(&mut probe).await.status, 503);
    assert_eq!(ask(&gateway, "POST /game", "", b"x").await.status, 200);
}

#[tokio::test]
async fn health_waits_for_routes() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_unready("", |_| ());
    let response = ask(&gateway, "GET /health", "", b"").await;
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
    gateway.set_routes(&backend.routes());
    gateway
        .until("game_gateway_ready", |ready| ready == 1)
        .await;
    assert_eq!(ask(&gateway, "GET /health", "", b"").await.status, 200);
}

#[tokio::test]
async fn requests_under_way_are_answered_at_the_end_of_a_drain() {
    let (gateway, backend) = scripted(|config| {
        config.drain.accept_grace = Duration::ZERO;
        config.drain.window = Duration::from_secs(1);
    })
    .await;
    let mut idle = connect(&gateway).await;
    send(&mut idle, &request("GET /health", "", b"")).await;
    assert_eq!(Response::read(&mut idle).await.status, 200);
    let mut busy = connect(&gateway).await;
    send(&mut busy, &request("POST /game", "", b"x")).await;
    let mut link = backend.link().await;
    link.opened().await;
    link.data().await;
    gateway.drain();
    let responses = Response::all(&rest(&mut busy).await);
    assert_eq!((responses.len(), responses[0].status), (1, 503));
    assert!(responses[0].header("retry-after").is_some());
    assert!(rest(&mut idle).await.is_empty());
    gateway.ended().await;
}

#[tokio::test]
async fn requests_count_as_frames_of_their_connection() {
    let gateway = echo(|config| config.limits.frames_per_second = 1).await;
    let mut socket = connect(&gateway).await;
    let refused = loop {
        send(&mut socket, &request("POST /game", "", b"again")).await;
        let response = Response::read(&mut socket).await;
        if response.status != 200 {
            break response;
        }
    };
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(gateway.metric(&answered(429)).await, 1);
    // Who asks for the gateway's health asks for no session, and the rate comes back.
    for _ in 0..5 {
        send(&mut socket, &request("GET /health", "", b"")).await;
        assert_eq!(Response::read(&mut socket).await.status, 200);
    }
    loop {
        send(&mut socket, &request("POST /game", "", b"again")).await;
        if Response::read(&mut socket).await.status == 200 {
            break;
        }
    }
}

#[tokio::test]
async fn bodies_count_as_bytes_of_their_connection() {
    let gateway = echo(|config| {
        config.limits.bytes_per_second = 1;
        config.listen.http.trusted_proxies = "127.0.0.1".parse().expect("networks");
    })
    .await;
    let proxied = "X-Forwarded-For: 192.0.2.7\r\n";
    let mut shared = connect(&gateway).await;
    for _ in 0..3 {
        send(&mut shared, &request("POST /game", proxied, &[b'x'; 1000])).await;
        assert_eq!(Response::read(&mut shared).await.status, 200);
    }

    let gateway = echo(|config| config.limits.bytes_per_second = 1).await;
    let chunked = |bytes: &[u8]| {
        let size = format!("{:x}\r\n", bytes.len());
        let head = request("POST /game", "Transfer-Encoding: chunked\r\n", b"");
        [&head, size.as_bytes(), bytes, b"\r\n0\r\n\r\n"].concat()
    };
    // More than a second's worth is taken from a full bucket, and paid for afterwards: for 1000 seconds.
    for first in [
        request("POST /game", "", &[b'x'; 1000]),
        chunked(&[b'x'; 1000]),
    ] {
        let mut socket = connect(&gateway).await;
        for (wire, status) in [
            (first, 200),
            (request("POST /game", "", b"x"), 429),
            (chunked(b"x"), 429),
            (request("POST /game", "", b""), 200),
            (request("OPTIONS /game", "", b"x"), 204),
        ] {
            send(&mut socket, &wire).await;
            let response = Response::read(&mut socket).await;
            assert_eq!(response.status, status);
            assert_eq!(response.header("retry-after").is_some(), status == 429);
        }
    }
}
