//! Requests behind each other on one connection: each has its own answer, whatever the others are.

use tokio::io::AsyncWriteExt;

use crate::scene::{Response, answer, ask, connect, echo, request, rest, scripted, send};
use crate::support::wire::soon;

const CLOSE: &str = "Connection: close\r\n";
const STARTED: &str = "game_gateway_started_sessions_total";

fn old(headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /game HTTP/1.0\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

async fn text(gateway: &crate::support::wire::Gateway, wire: &[Vec<u8>]) -> String {
    String::from_utf8(answer(gateway, &wire.concat()).await).expect("text")
}

#[tokio::test]
async fn head_takes_no_other_answers_body() {
    let gateway = echo(|_| ()).await;
    let post = request("POST /game", "", b"abc");
    let head = request("HEAD /health", "", b"");
    let last = request("GET /health", CLOSE, b"");
    let got = text(&gateway, &[post.clone(), head.clone(), post, head, last]).await;
    let answers: Vec<&str> = got.split("HTTP/1.1 200 OK\r\n").skip(1).collect();
    let bodies = answers
        .iter()
        .map(|a| a.split_once("\r\n\r\n").expect("a head").1);
    assert_eq!(bodies.collect::<Vec<_>>(), ["abc", "", "abc", "", "ok\n"]);
    assert!(
        answers.iter().all(|a| a.contains("content-length: 3\r\n")),
        "{got}"
    );
}

#[tokio::test]
async fn close_is_for_its_own_answer_and_the_last() {
    let gateway = echo(|_| ()).await;
    let first = request("POST /game", "", b"first");
    let last = request("POST /game", CLOSE, b"last");
    let behind = request("POST /game", "", b"behind");
    let got = answer(&gateway, &[first, last, behind].concat()).await;
    let answers = Response::all(&got);
    let closes: Vec<_> = answers.iter().map(|a| a.header("connection")).collect();
    assert_eq!(closes, [None, Some("close")]);
    assert_eq!(answers[1].body, b"last");
    assert_eq!(
        gateway.metric(STARTED).await,
        2,
        "what is behind it is not executed"
    );
}

#[tokio::test]
async fn a_version_is_for_its_own_answer() {
    let gateway = echo(|_| ()).await;
    let new = || request("POST /game", "", b"new");
    let kept = old("Connection: keep-alive\r\n", "old");
    let got = text(&gateway, &[new(), kept, new(), old("", "last"), new()]).await;
    let heads: Vec<&str> = got.split("HTTP/").skip(1).map(|a| &a[..7]).collect();
    assert_eq!(heads, ["1.1 200", "1.0 200", "1.1 200", "1.0 200"], "{got}");
    let answers = Response::all(got.as_bytes());
    let connection: Vec<_> = answers.iter().map(|a| a.header("connection")).collect();
    assert_eq!(connection, [None, Some("keep-alive"), None, Some("close")]);
}

/// More of them than a library may pool heads for.
#[tokio::test]
async fn an_old_client_closes_no_other_connection() {
    let gateway = echo(|_| ()).await;
    let mut kept = connect(&gateway).await;
    send(&mut kept, &request("POST /game", "", b"x")).await;
    assert_eq!(Response::read(&mut kept).await.header("connection"), None);
    for _ in 0..200 {
        assert_eq!(
            Response::all(&answer(&gateway, &old("", "x")).await).len(),
            1
        );
    }
    for _ in 0..3 {
        send(&mut kept, &request("POST /game", "", b"x")).await;
        let response = Response::read(&mut kept).await;
        assert_eq!(
            (response.status, response.header("connection")),
            (200, None)
        );
    }
}

#[tokio::test]
async fn a_refused_request_is_skipped_with_its_body() {
    let gateway = echo(|_| ()).await;
    let lost = b"POST /game HTTP/1.1\r\nHost: x\r\n\r\n";
    let chunked = b"POST /Nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        3d\r\nPOST /game HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nsmuggled..\r\n0\r\nT: x\r\n\r\n";
    let wire = [
        request("POST /Nowhere", "", lost),
        chunked.to_vec(),
        request("PUT /game", "", lost),
        request("POST /game", CLOSE, b"last"),
    ];
    let answers = Response::all(&answer(&gateway, &wire.concat()).await);
    let statuses: Vec<u16> = answers.iter().map(|a| a.status).collect();
    assert_eq!(statuses, [404, 404, 405, 200]);
    assert_eq!(answers[3].body, b"last");
    assert_eq!(gateway.metric(STARTED).await, 1);
    // One that is too long to be skipped ends the connection, and the response says so.
    let long = b"POST /Nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nx";
    let mut socket = connect(&gateway).await;
    send(&mut socket, long).await;
    let response = Response::read(&mut socket).await;
    assert_eq!(
        (response.status, response.header("connection")),
        (404, Some("close"))
    );
}

#[tokio::test]
async fn empty_lines_before_a_request_are_skipped() {
    let gateway = echo(|_| ()).await;
    let post = request("POST /game", "", b"x");
    let last = request("POST /game", CLOSE, b"x");
    for blank in [&b"\r\n"[..], b"\r\n\r\n", b"\n"] {
        let wire = [blank, &post, blank, blank, &last].concat();
        let answers = Response::all(&answer(&gateway, &wire).await);
        let statuses: Vec<u16> = answers.iter().map(|a| a.status).collect();
        assert_eq!(statuses, [200, 200], "{blank:?}");
    }
}

#[tokio::test]
async fn methods_and_hosts() {
    let gateway = echo(|_| ()).await;
    for (wire, status) in [
        ("BREW /game HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        ("VERSION-CONTROL / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        ("PATCH /game HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 405),
        ("GET /health HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: a,b\r\n\r\n", 200),
        (
            "GET /health HTTP/1.1\r\nHost: [2001:db8::7]:7000\r\n\r\n",
            200,
        ),
        ("GET /health HTTP/1.1\r\nHost:\r\n\r\n", 200),
        ("GET /health HTTP/1.0\r\n\r\n", 200),
    ] {
        let mut socket = connect(&gateway).await;
        send(&mut socket, wire.as_bytes()).await;
        let response = Response::read(&mut socket).await;
        assert_eq!(response.status, status, "{wire}");
        assert_eq!(response.header("allow").is_some(), status == 405, "{wire}");
    }
    // One that is not known does not end the connection.
    let wire = [
        request("BREW /game", "", b"tea"),
        request("POST /game", CLOSE, b"x"),
    ]
    .concat();
    let statuses = Response::all(&answer(&gateway, &wire).await);
    assert_eq!(
        statuses.iter().map(|a| a.status).collect::<Vec<_>>(),
        [501, 200]
    );
}

/// The response to an upload that is too large can be read by a client that goes on with it.
#[tokio::test]
async fn an_upload_that_goes_on_after_413_is_read() {
    let gateway = echo(|_| ()).await;
    for head in [
        "POST /game HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n",
        "POST /game HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1000000\r\n",
    ] {
        let mut socket = connect(&gateway).await;
        let (mut reader, mut writer) = socket.split();
        let uploading = async {
            writer.write_all(head.as_bytes()).await.expect("sent");
            writer.write_all(&vec![b'x'; 8 << 20]).await.expect("taken");
            writer.shutdown().await.expect("ended");
        };
        soon(uploading).await;
        let mut got = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut got);
        soon(reading).await.expect("no reset");
        let answers = Response::all(&got);
        assert_eq!((answers.len(), answers[0].status), (1, 413));
        assert_eq!(answers[0].header("connection"), Some("close"));
    }
}

/// A client that is gone while its request is answered gives its session up at once.
#[tokio::test]
async fn a_reset_ends_the_session_of_the_request() {
    let (gateway, backend) = scripted(|_| ()).await;
    let mut socket = connect(&gateway).await;
    send(&mut socket, &request("POST /game", "", b"?")).await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    socket.set_zero_linger().expect("set");
    drop(socket);
    assert_eq!(link.closed().await, (id, 0));
}

/// A client that has shut its sending side down gets its answers.
#[tokio::test]
async fn a_half_closed_client_is_answered() {
    let gateway = echo(|_| ()).await;
    let mut socket = connect(&gateway).await;
    let wire = [
        request("POST /game", "", b"1"),
        request("POST /game", "", b"2"),
    ]
    .concat();
    send(&mut socket, &wire).await;
    socket.shutdown().await.expect("ended");
    let answers = Response::all(&rest(&mut socket).await);
    let bodies: Vec<&[u8]> = answers.iter().map(|a| &a.body[..]).collect();
    assert_eq!(bodies, [b"1", b"2"]);
    assert_eq!(ask(&gateway, "POST /game", "", b"x").await.status, 200);
}
