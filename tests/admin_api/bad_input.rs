//! Everything that can be wrong with a request, and what is said about it.

use crate::http::{get, request, send};
use crate::support::wire::{Backend, Gateway};

async fn gateway() -> Gateway {
    let backend = Backend::start().await;
    Gateway::start(&backend.routes()).await
}

#[tokio::test]
async fn unknown_paths() {
    let gateway = gateway().await;
    for path in [
        "/nothing",
        "/api/v1",
        "/api/v1/",
        "/api/v1/sessions/",
        "/api/v1/sessions/7/more",
        "/api/v2/info",
        "/api/docs",
        "//health",
        "/health/",
    ] {
        let message = get(gateway.admin, path).await.error(404, "not_found");
        assert_eq!(message, format!("there is no {path}"));
    }
}

#[tokio::test]
async fn wrong_methods_are_told_the_right_ones() {
    let gateway = gateway().await;
    for (line, allow) in [
        ("POST /", "GET, HEAD"),
        ("POST /health", "GET, HEAD"),
        ("DELETE /metrics", "GET, HEAD"),
        ("PUT /api/v1/info", "GET, HEAD"),
        ("POST /api/v1/actors", "GET, HEAD"),
        ("DELETE /api/v1/actors/router-0", "GET, HEAD"),
        ("POST /api/v1/actors/busiest", "GET, HEAD"),
        ("GET /api/v1/actors/router-0/restart", "POST"),
        ("POST /api/v1/sessions", "GET, HEAD"),
        ("DELETE /api/v1/sessions", "GET, HEAD"),
        ("PUT /api/v1/sessions/7", "GET, HEAD, DELETE"),
        ("POST /api/v1/backends", "GET, HEAD"),
        (
            "DELETE /api/v1/backends/127.0.0.1:1/state",
            "GET, HEAD, PUT",
        ),
        ("DELETE /api/v1/refusals", "GET, HEAD"),
        ("POST /api/v1/top-talkers", "GET, HEAD"),
        ("PUT /api/v1/routes", "GET, HEAD"),
        ("POST /api/v1/routes/resolve?service=game", "GET, HEAD"),
        ("PUT /api/v1/drain", "GET, HEAD, POST, DELETE"),
        ("PATCH /api/v1/drain", "GET, HEAD, POST, DELETE"),
        ("PUT /api/v1/limits", "GET, HEAD, PATCH, DELETE"),
        ("POST /api/v1/log-level", "GET, HEAD, PUT"),
        ("OPTIONS /api/v1/config", "GET, HEAD"),
        ("TRACE /api/v1/config", "GET, HEAD"),
        ("NONSENSE /api/openapi.json", "GET, HEAD"),
    ] {
        let answer = request(gateway.admin, line, &[], "").await;
        assert_eq!(answer.header("allow"), Some(allow), "{line}");
        let message = answer.error(405, "method_not_allowed");
        let (method, _) = line.split_once(' ').expect("a method");
        assert!(
            message.ends_with(&format!("does not take {method}")),
            "{message}"
        );
    }
}

/// Requests below `/api/v1/`, and the beginning of their error messages.
const BAD_QUERIES: &[(&str, &str)] = &[
    ("sessions?limit=0", "limit: must be 1 to 1000, not 0"),
    ("sessions?limit=1001", "limit: must be 1 to 1000, not 1001"),
    ("sessions?limit=abc", "limit: `abc` is not a whole number"),
    ("sessions?limit=-1", "limit: `-1` is not a whole number"),
    ("sessions?limit=1.5", "limit: `1.5` is not a whole number"),
    ("sessions?limit=", "limit: `` is not a whole number"),
    ("sessions?limit", "limit: `` is not a whole number"),
    (
        "sessions?limit=99999999999999999999",
        "limit: `99999999999999999999` is not a whole",
    ),
    ("sessions?limit=1&limit=2", "limit: given twice"),
    (
        "sessions?cursor=%20",
        "cursor: the cursor is not one that this gateway has given",
    ),
    ("sessions?cursor=", "cursor: the cursor is not one"),
    ("sessions?nonsense=1", "unknown query parameter `nonsense`"),
    ("sessions?Limit=1", "unknown query parameter `Limit`"),
    (
        "sessions?user_id=18446744073709551616",
        "user_id: `18446744073709551616` is not a decimal id",
    ),
    ("sessions?user_id=-1", "user_id: `-1`"),
    ("sessions?user_id=0x1", "user_id: `0x1`"),
    (
        "sessions?realm_id=4294967296",
        "realm_id: `4294967296` is not a whole number from 0 to 4294967295",
    ),
    (
        "sessions?service=GAME",
        "service: `GAME` is not a service name",
    ),
    ("sessions?service=", "service: `` is not a service name"),
    (
        "sessions?backend=localhost:1",
        "backend: `localhost:1` is not an address",
    ),
    (
        "sessions?backend=127.0.0.1",
        "backend: `127.0.0.1` is not an address",
    ),
    ("sessions?address=localhost", "address: `localhost` is not"),
    (
        "sessions?address=127.0.0.1/8",
        "address: invalid network `127.0.0.1/8`: host bits set",
    ),
    (
        "sessions?transport=pigeon",
        "transport: unknown variant `pigeon`",
    ),
    ("sessions?bound=yes", "bound: `yes` is not true or false"),
    ("sessions?bound=", "bound: `` is not true or false"),
    ("sessions?state=happy", "state: unknown variant `happy`"),
    (
        "sessions?service=%zz",
        "`service=%zz` is not percent-encoded UTF-8",
    ),
    (
        "sessions?service=%C3%28",
        "`service=%C3%28` is not percent-encoded UTF-8",
    ),
    (
        "sessions?service=a%",
        "`service=a%` is not percent-encoded UTF-8",
    ),
    ("sessions?%ff=1", "`%ff=1` is not percent-encoded UTF-8"),
    ("top-talkers?by=nobody", "by: unknown variant `nobody`"),
    ("top-talkers?sort=", "sort: unknown variant ``"),
    ("sessions?sort=name", "sort: unknown variant `name`"),
    (
        "sessions?sort=bytes&cursor=1",
        "sort: one page of this gateway's sessions, without a cursor",
    ),
    ("top-talkers?limit=0", "limit: must be 1 to 1000, not 0"),
    ("top-talkers?cursor=1", "unknown query parameter `cursor`"),
    ("refusals?limit=0", "limit: must be 1 to 1000, not 0"),
    ("refusals?code=65536", "code: `65536` is not a whole number"),
    ("refusals?code=x", "code: `x` is not a whole number"),
    (
        "refusals?realm_id=-7",
        "realm_id: `-7` is not a whole number",
    ),
    (
        "refusals?service=%1b",
        "service: `\u{1b}` is not a service name",
    ),
    ("refusals?user_id=7", "unknown query parameter `user_id`"),
    ("actors?kind=nonsense", "kind: unknown variant `nonsense`"),
    (
        "actors?kind=link&limit=0",
        "limit: must be 1 to 1000, not 0",
    ),
    (
        "actors?kind=link&cursor=%00",
        "cursor: the cursor is not one",
    ),
    ("routes/resolve", "missing query parameter `service`"),
    (
        "routes/resolve?service=a&session_id=x",
        "session_id: `x` is not a decimal id",
    ),
    ("info?a=1", "unknown query parameter `a`"),
    ("actors/router-0?a=1", "unknown query parameter `a`"),
    ("actors/busiest?by=size", "by: unknown variant `size`"),
    (
        "actors/busiest?limit=1001",
        "limit: must be 1 to 1000, not 1001",
    ),
    ("backends?a=1", "unknown query parameter `a`"),
    ("routes?a", "unknown query parameter `a`"),
    ("drain?a=1", "unknown query parameter `a`"),
    ("config?a=1", "unknown query parameter `a`"),
];

#[tokio::test]
async fn bad_queries_are_refused_by_name() {
    let gateway = gateway().await;
    for (path, message) in BAD_QUERIES {
        let answer = get(gateway.admin, &format!("/api/v1/{path}")).await;
        let said = answer.error(400, "bad_request");
        assert!(said.starts_with(message), "{path}: {said}");
    }
}

#[tokio::test]
async fn bad_ids() {
    let gateway = gateway().await;
    for id in [
        "x",
        "-1",
        "+1",
        "01",
        "1.0",
        "1e3",
        "18446744073709551616",
        ":1",
        "gw:",
        "a:b:1",
        "%20",
        "1%20",
        "%ff",
        "%zz",
        "1%00",
        "%F0%9F%92%A5",
        "%2F",
        "a b:1",
    ] {
        let id = id.replace(' ', "%20");
        for method in ["GET", "DELETE"] {
            let line = format!("{method} /api/v1/sessions/{id}");
            request(gateway.admin, &line, &[], "")
                .await
                .error(400, "bad_request");
        }
    }
    for file in ["%ff", "%zz"] {
        let answer = get(gateway.admin, &format!("/api/docs/{file}")).await;
        answer.error(400, "bad_request");
    }
    let long = "a".repeat(129);
    for id in ["%20", "a%2Fb", "%ff", "%zz", "%C3%A4", long.as_str()] {
        let answer = get(gateway.admin, &format!("/api/v1/actors/{id}")).await;
        answer.error(400, "bad_request");
    }
}

const PUT: &str = "PUT /api/v1/log-level";
const POST: &str = "POST /api/v1/drain";

/// The request, its body, and how the message begins.
const BAD_BODIES: &[(&str, &str, &str)] = &[
    (PUT, "", "the body is missing"),
    (PUT, "null", "the body is missing"),
    (PUT, "{", "the body: EOF while parsing"),
    (PUT, "[]", "the body: expected an object, not a list"),
    (PUT, "\"info\"", "the body: invalid type: string"),
    (PUT, "{}", "the body: missing field `level`"),
    (PUT, r#"{"level":7}"#, "the body: invalid type: integer"),
    (
        PUT,
        r#"{"level":"info","more":1}"#,
        "the body: unknown field `more`",
    ),
    (
        PUT,
        r#"{"level":"info","level":"info"}"#,
        "the body: duplicate field `level`",
    ),
    (
        PUT,
        r#"{"level":"info"} x"#,
        "the body: trailing characters",
    ),
    (
        POST,
        r#"{"window":"soon"}"#,
        "window: invalid duration `soon`",
    ),
    (
        POST,
        r#"{"window":"-1s"}"#,
        "window: invalid duration `-1s`",
    ),
    (
        POST,
        r#"{"window":"721h"}"#,
        "window: duration `721h` too long, limit 720h",
    ),
    (POST, r#"{"window":30}"#, "the body: invalid type: integer"),
    (
        POST,
        r#"{"windows":"30s"}"#,
        "the body: unknown field `windows`",
    ),
    (POST, "nonsense", "the body: expected ident"),
];

#[tokio::test]
async fn bad_bodies() {
    let gateway = gateway().await;
    for (line, body, message) in BAD_BODIES {
        let said = send(gateway.admin, line, body)
            .await
            .error(400, "bad_request");
        assert!(said.starts_with(message), "{line} {body}: {said}");
    }
    let info = r#"{"level":"info"}"#;
    for kind in [
        &[][..],
        &["Content-Type: text/plain"],
        &["Content-Type: application/jsonx"],
    ] {
        let answer = request(gateway.admin, PUT, kind, info).await;
        assert!(
            answer
                .error(415, "unsupported_media_type")
                .contains("application/json")
        );
    }
    let charset = &["Content-Type: application/json; charset=utf-8"];
    request(gateway.admin, PUT, charset, info)
        .await
        .error(501, "not_available");
    let large = format!("{{\"level\":\"{}\"}}", "a".repeat(16 * 1024));
    for line in [PUT, POST] {
        let said = send(gateway.admin, line, &large)
            .await
            .error(413, "too_large");
        assert_eq!(said, "the body is over 16384 bytes");
    }
    // Nothing of it has begun a drain.
    assert_eq!(
        get(gateway.admin, "/api/v1/drain").await.json()["state"],
        "serving"
    );
}

/// A request whose body does not come is answered all the same.
#[tokio::test]
async fn a_body_that_does_not_come() {
    let gateway = gateway().await;
    let headers = &["Content-Type: application/json", "Content-Length: 20"];
    request(gateway.admin, POST, headers, "")
        .await
        .error(408, "too_slow");
}
