//! `/api/v1/events`: what is live, as server-sent events.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpSocket, TcpStream};

use crate::http::{get, request};
use crate::support::wire::{Backend, Gateway, Player, soon};

/// A stream that is read.
struct Events {
    lines: Lines<BufReader<TcpStream>>,
    head: Vec<String>,
}

impl Events {
    async fn open(admin: SocketAddr) -> Events {
        Events::over(soon(TcpStream::connect(admin)).await.expect("the port")).await
    }

    /// Opens one from another address.
    async fn open_from(address: [u8; 4], admin: SocketAddr) -> Events {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((address, 0).into()).expect("an address");
        Events::over(soon(socket.connect(admin)).await.expect("the port")).await
    }

    async fn over(mut socket: TcpStream) -> Events {
        let asked = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
        soon(socket.write_all(asked.as_bytes()))
            .await
            .expect("sent");
        let mut lines = BufReader::new(socket).lines();
        let mut head = Vec::new();
        loop {
            let line = soon(lines.next_line())
                .await
                .expect("text")
                .expect("a head");
            if line.is_empty() {
                return Events { lines, head };
            }
            head.push(line.to_ascii_lowercase());
        }
    }

    /// Returns the next event and its data; none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        while let Some(line) = soon(self.lines.next_line()).await.expect("text") {
            match line.split_once(": ") {
                Some(("event", event)) => event.clone_into(&mut name),
                Some(("data", data)) => {
                    return Some((name, serde_json::from_str(data).expect("JSON")));
                }
                _ => assert!(line.is_empty() || line.starts_with(": "), "{line}"),
            }
        }
        None
    }

    /// Reads on until an event of this name has the right data.
    async fn until(&mut self, name: &str, right: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (event, data) = self.next().await.expect("it goes on");
            if event == name && right(&data) {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn everything_at_first_and_then_what_changes() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut events = Events::open(gateway.admin).await;
    let has = |line: &str| events.head.iter().any(|header| header == line);
    assert!(has("http/1.1 200 ok") && has("content-type: text/event-stream"));
    assert!(has("cache-control: no-store"), "{:?}", events.head);
    let (first, history) = events.next().await.expect("an event");
    assert_eq!(
        (first.as_str(), &history["step_ms"]),
        ("history", &json!(1_000))
    );
    let mut seen = BTreeMap::new();
    let names = [
        "backends", "drain", "errors", "gateway", "memory", "process", "refusals", "routes",
        "traffic", "workers",
    ];
    while !names.iter().all(|name| seen.contains_key(*name)) {
        let (name, data) = events.next().await.expect("it goes on");
        seen.insert(name, data);
    }
    assert_eq!(seen["gateway"]["state"], "serving");
    assert_eq!(
        seen["backends"]["rows"][0]["endpoint"],
        backend.address.to_string()
    );
    assert_eq!(seen["routes"]["services"], 1);
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"hello").await;
    let mut link = backend.link().await;
    link.opened().await;
    events
        .until("traffic", |point| point["sessions"] == 1)
        .await;
    let workers = events.until("workers", |_| true).await;
    assert!(workers[0]["frames_in_per_second"].is_u64(), "{workers}");
    player.data("nowhere", b"hello").await;
    let refusals = events.until("refusals", |data| data["groups"] == 1).await;
    assert_eq!(refusals["rows"][0]["service"], "nowhere");
    events.until("talkers", |_| true).await;
    request(gateway.admin, "POST /api/v1/drain", &[], "").await;
    let drain = events
        .until("drain", |data| data["state"] != "serving")
        .await;
    assert_eq!(drain["by"], "admin");
}

/// All that may be there are, nobody reads them, and one more is told why not.
#[tokio::test]
async fn their_number_is_bounded_and_others_are_answered_all_the_same() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut open = Vec::new();
    for _ in 0..56 {
        open.push(Events::open(gateway.admin).await);
    }
    let refused = get(gateway.admin, "/api/v1/events").await;
    let why = refused.error(503, "too_many_streams");
    assert!(
        why.starts_with("56 event streams of 127.0.0.1 are open"),
        "{why}"
    );
    // Others find room all the same.
    for _ in 0..8 {
        open.push(Events::open_from([127, 0, 0, 2], gateway.admin).await);
    }
    let refused = get(gateway.admin, "/api/v1/events").await;
    let why = refused.error(503, "too_many_streams");
    assert!(why.starts_with("64 event streams are open"), "{why}");
    assert_eq!(gateway.metric("game_gateway_event_streams").await, 64);
    assert_eq!(
        gateway
            .metric("game_gateway_refused_event_streams_total")
            .await,
        2
    );
    // Idle connections fill the rest; none of the streams makes room for them.
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(
            soon(TcpStream::connect(gateway.admin))
                .await
                .expect("the port"),
        );
        assert_eq!(get(gateway.admin, "/health").await.status, 200);
    }
    assert_eq!(gateway.metric("game_gateway_event_streams").await, 64);
    // One leaves and makes room.
    open.pop();
    gateway
        .until("game_gateway_event_streams", |open| open == 63)
        .await;
    let mut more = Events::open_from([127, 0, 0, 2], gateway.admin).await;
    assert!(more.next().await.is_some());
    open[0]
        .until("gateway", |data| data["event_streams"] == 64)
        .await;
}

#[tokio::test]
async fn a_stream_ends_with_the_gateway_and_says_so() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut events = Events::open(gateway.admin).await;
    events.until("gateway", |_| true).await;
    gateway.drain();
    let (ended, end) = tokio::join!(gateway.ended(), events.until("end", |_| true));
    let () = ended;
    assert_eq!(end, json!({"reason": "shutdown"}));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_stream_is_asked_for_as_everything_else() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.admin.tokens = r#"[{"name": "wall", "role": "read", "token": "look"}]"#
            .parse()
            .expect("tokens");
    })
    .await;
    get(gateway.admin, "/api/v1/events")
        .await
        .error(401, "unauthorized");
    get(gateway.admin, "/api/v1/whoami")
        .await
        .error(401, "unauthorized");
    let token = ["Authorization: Bearer look"];
    let wrong = request(gateway.admin, "GET /api/v1/events?for=1s", &token, "").await;
    assert!(wrong.error(400, "bad_request").contains("for"));
    let who = request(gateway.admin, "GET /api/v1/whoami", &token, "").await;
    assert_eq!(who.json(), json!({"token": "wall", "role": "read"}));
    request(gateway.admin, "POST /api/v1/events", &token, "")
        .await
        .error(403, "forbidden");
    let head = request(gateway.admin, "HEAD /api/v1/events", &token, "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(gateway.metric("game_gateway_event_streams").await, 0);
}

/// One who never reads costs its place for a time, and nobody else anything.
#[tokio::test]
async fn a_stream_that_is_never_read_holds_nobody_up() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut unread = soon(TcpStream::connect(gateway.admin))
        .await
        .expect("the port");
    let asked = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    unread.write_all(asked.as_bytes()).await.expect("sent");
    let mut read = Events::open(gateway.admin).await;
    read.until("gateway", |data| data["event_streams"] == 2)
        .await;
    let first = read.until("traffic", |_| true).await["at_ms"].clone();
    read.until("traffic", |point| point["at_ms"] != first).await;
    // What was sent to it is there, whole.
    let mut begin = [0; 15];
    soon(unread.read_exact(&mut begin))
        .await
        .expect("an answer");
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
}

/// One who has read everything and leaves sends no reset, and what is written to it goes nowhere without an error.
#[tokio::test]
async fn a_reader_that_ends_its_side_gives_its_place_back() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    let mut events = Events::open(gateway.admin).await;
    events.until("gateway", |_| true).await;
    let socket = events.lines.get_mut().get_mut();
    soon(socket.shutdown()).await.expect("shut down");
    while events.next().await.is_some() {}
    gateway
        .until("game_gateway_event_streams", |open| open == 0)
        .await;
}
