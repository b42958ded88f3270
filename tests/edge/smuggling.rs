//! Requests that two readers could understand differently: each is refused with 400 and the
//! connection is closed, so that nothing behind it is taken for a request.

use crate::scene::{Response, answer, echo};

/// The smuggled request. If it were answered, there would be two responses.
const SMUGGLED: &str = "POST /game HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nsmuggled";

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table: one line a case")]
async fn ambiguous_requests_are_refused_and_closed() {
    let gateway = echo(|_| ()).await;
    let chunked = "Transfer-Encoding: chunked\r\n";
    let headers = |headers: &str, body: &str| {
        format!("POST /game HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}")
    };
    let cases = [
        headers(
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        headers(
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "0\r\n\r\n",
        ),
        headers("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"),
        headers("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
        headers("Content-Length: 3, 3\r\n", "abc"),
        headers("Content-Length: +3\r\n", "abc"),
        headers("Content-Length: -3\r\n", "abc"),
        headers("Content-Length: 0x3\r\n", "abc"),
        headers("Content-Length: 3 3\r\n", "abc"),
        headers("Content-Length: \r\n", "abc"),
        headers("Content-Length: 99999999999999999999\r\n", "abc"),
        headers("Content-Length : 3\r\n", "abc"),
        headers("Content-Length: 3\r\n folded\r\n", "abc"),
        headers("X-A: b\r\n\tfolded\r\nContent-Length: 3\r\n", "abc"),
        headers("Content\u{b}-Length: 3\r\n", "abc"),
        headers("Content-Length: 3\r\nX: a\0b\r\n", "abc"),
        headers("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        headers("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        headers("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        headers("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"),
        headers("Transfer-Encoding: identity\r\n", ""),
        headers("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        headers(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        headers("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
        headers(chunked, "x\r\nabc\r\n0\r\n\r\n"),
        headers(chunked, "-1\r\nabc\r\n0\r\n\r\n"),
        headers(chunked, "0x3\r\nabc\r\n0\r\n\r\n"),
        headers(chunked, "3\r\nabcd\r\n0\r\n\r\n"),
        headers(chunked, "3\nabc\r\n0\r\n\r\n"),
        headers(chunked, "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n"),
        headers(chunked, "\r\nabc\r\n0\r\n\r\n"),
        headers("Host: y\r\n", ""),
        "POST /game HTTP/1.1\r\n\r\n".to_owned(),
        "POST /game HTTP/1.1\rHost: x\r\n\r\n".to_owned(),
        "POST /game HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n".to_owned(),
        "POST /game HTTP/1.1\r\n Host: x\r\n\r\n".to_owned(),
        "POST /game HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n".to_owned(),
        "POST /game HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "POST /game HTTP/9.9\r\nHost: x\r\n\r\n".to_owned(),
        "POST /game HTTP/1.1 \r\nHost: x\r\n\r\n".to_owned(),
        "POST /game\r\nHost: x\r\n\r\n".to_owned(),
        "POST  /game HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "POST /ga\tme HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
    ];
    let count = cases.len() as u64;
    for case in cases {
        let wire = format!("{case}{SMUGGLED}");
        let got = answer(&gateway, wire.as_bytes()).await;
        let responses = Response::all(&got);
        let statuses: Vec<u16> = responses.iter().map(|r| r.status).collect();
        assert_eq!(statuses, [400], "{case:?}");
    }
    let refused = "game_gateway_http_responses_total{status=\"400\"}";
    gateway.until(refused, |n| n == count).await;
    let started = gateway.metric("game_gateway_started_sessions_total").await;
    assert_eq!(started, 0, "none of them was a session");
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let gateway = echo(|_| ()).await;
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let long = format!("X: {}\r\n", "y".repeat(200_000));
    for headers in [many, long] {
        let wire = format!("POST /game HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let got = answer(&gateway, wire.as_bytes()).await;
        assert_eq!(Response::all(&got)[0].status, 431);
    }
}
