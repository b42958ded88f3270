//! Requests behind each other on a connection: each has its own answer, whatever the others are.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::get;
use crate::support::http::Response;
use crate::support::wire::{Backend, Gateway, soon};

const LAST: &str = "Connection: close\r\n";

async fn gateway() -> Gateway {
    let backend = Backend::start().await;
    Gateway::start(&backend.routes()).await
}

async fn connect(at: SocketAddr) -> TcpStream {
    soon(TcpStream::connect(at)).await.expect("the admin port")
}

async fn send(socket: &mut TcpStream, text: &str) {
    soon(socket.write_all(text.as_bytes())).await.expect("sent");
}

fn asked(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

fn old(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n")
}

/// Returns the answers to these requests until the connection ends.
async fn answers(at: SocketAddr, requests: &[String]) -> String {
    let mut socket = connect(at).await;
    send(&mut socket, &requests.concat()).await;
    let mut text = String::new();
    soon(socket.read_to_string(&mut text)).await.expect("text");
    text
}

#[tokio::test]
async fn an_upgrade_that_is_not_wanted_is_ignored() {
    let gateway = gateway().await;
    for headers in [
        // Java's HttpClient.
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
        // nginx with the usual lines for WebSockets.
        "Connection: upgrade\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "Upgrade: websocket\r\n",
    ] {
        let mut socket = connect(gateway.admin).await;
        for path in ["/health", "/ready", "/api/v1/info"] {
            send(&mut socket, &asked(&format!("GET {path}"), headers)).await;
            let answer = Response::read(&mut socket).await;
            assert_eq!(answer.status, 200, "{path} with {headers}");
            assert_eq!(answer.header("connection"), None, "{path} with {headers}");
        }
    }
}

#[tokio::test]
async fn head_takes_no_other_answers_body() {
    let gateway = gateway().await;
    let requests = [
        asked("GET /health", ""),
        asked("HEAD /health", ""),
        asked("GET /health", ""),
        asked("HEAD /health", LAST),
    ];
    let text = answers(gateway.admin, &requests).await;
    let all: Vec<&str> = text.split("HTTP/1.1 200 OK\r\n").skip(1).collect();
    let body = |answer: &&str| answer.split_once("\r\n\r\n").expect("a head").1.to_owned();
    let full = r#"{"status":"ok"}"#;
    assert_eq!(
        all.iter().map(body).collect::<Vec<_>>(),
        [full, "", full, ""]
    );
    let length = format!("content-length: {}\r\n", full.len());
    assert!(all.iter().all(|answer| answer.contains(&length)), "{text}");
}

#[tokio::test]
async fn what_is_behind_close_is_not_executed() {
    let gateway = gateway().await;
    let requests = [
        asked("GET /health", ""),
        asked("GET /ready", LAST),
        asked("POST /api/v1/drain", ""),
    ];
    let text = answers(gateway.admin, &requests).await;
    let all = Response::all(text.as_bytes());
    let closes: Vec<_> = all
        .iter()
        .map(|answer| answer.header("connection"))
        .collect();
    assert_eq!(closes, [None, Some("close")], "{text}");
    let drain = get(gateway.admin, "/api/v1/drain").await.json();
    assert_eq!(drain["state"], "serving");
}

#[tokio::test]
async fn a_version_is_for_its_own_answer() {
    let gateway = gateway().await;
    let requests = [
        asked("GET /health", ""),
        old("GET /health", "Connection: keep-alive\r\n"),
        asked("GET /health", ""),
        old("GET /health", ""),
        asked("GET /health", ""),
    ];
    let text = answers(gateway.admin, &requests).await;
    let heads: Vec<&str> = text.split("HTTP/").skip(1).map(|a| &a[..7]).collect();
    assert_eq!(
        heads,
        ["1.1 200", "1.0 200", "1.1 200", "1.0 200"],
        "{text}"
    );
    let all = Response::all(text.as_bytes());
    let connection: Vec<_> = all.iter().map(|a| a.header("connection")).collect();
    assert_eq!(connection, [None, Some("keep-alive"), None, Some("close")]);
}

/// More of them than a library may pool heads for.
#[tokio::test]
async fn an_old_client_closes_no_other_connection() {
    let gateway = gateway().await;
    let mut kept = connect(gateway.admin).await;
    for _ in 0..2 {
        for _ in 0..200 {
            let text = answers(gateway.admin, &[old("GET /health", "")]).await;
            assert_eq!(Response::all(text.as_bytes()).len(), 1);
        }
        for _ in 0..3 {
            send(&mut kept, &asked("GET /health", "")).await;
            let answer = Response::read(&mut kept).await;
            assert_eq!((answer.status, answer.header("connection")), (200, None));
        }
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_understood_ends_the_connection() {
    let gateway = gateway().await;
    let long = format!(
        "GET /health HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(40_000)
    );
    for (wrong, status, code) in [
        ("GET\r\n\r\n", 400, "bad_request"),
        (
            "GET /health HTTP/1.1\r\nHost: a b\r\n\r\n",
            400,
            "bad_request",
        ),
        (
            "GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            400,
            "bad_request",
        ),
        (
            "POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            400,
            "bad_request",
        ),
        (&long, 431, "too_large"),
    ] {
        let requests = [
            asked("GET /ready", ""),
            wrong.to_owned(),
            asked("POST /api/v1/drain", ""),
        ];
        let text = answers(gateway.admin, &requests).await;
        let all = Response::all(text.as_bytes());
        assert_eq!(all.len(), 2, "{text}");
        assert_eq!(
            (all[1].status, all[1].header("connection")),
            (status, Some("close"))
        );
        let error: serde_json::Value = serde_json::from_slice(&all[1].body).expect("JSON");
        assert_eq!(error["error"]["code"], code);
    }
    let drain = get(gateway.admin, "/api/v1/drain").await.json();
    assert_eq!(drain["state"], "serving");
}

/// `curl` asks so before it sends a long body.
#[tokio::test]
async fn a_body_is_asked_for_once() {
    let gateway = gateway().await;
    let mut socket = connect(gateway.admin).await;
    let json = "Content-Type: application/json\r\nExpect: 100-continue\r\n";
    let headers = format!("{json}Content-Length: 2\r\n");
    send(&mut socket, &asked("POST /api/v1/drain", &headers)).await;
    let mut go_on = [0; 25];
    soon(socket.read_exact(&mut go_on)).await.expect("a line");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    send(&mut socket, "[]").await;
    assert_eq!(Response::read(&mut socket).await.status, 400);
    // One that is too long is not asked for.
    let headers = format!("{json}Content-Length: 20000\r\n");
    send(&mut socket, &asked("POST /api/v1/drain", &headers)).await;
    let answer = Response::read(&mut socket).await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (413, Some("close"))
    );
}
