//! `/api/v1/traces`: what a trace tells, of whom, to whom, and what it never tells.

use game_gateway::codec::client::{Header, Kind};
use game_gateway::codec::link;
use game_gateway::config::Config;
use game_gateway::session::trace_id::TraceId;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::http::{Answer, get, request, send};
use crate::support::process::Process;
use crate::support::wire::{Backend, Gateway, Link, Player, soon};
use crate::terminal;

/// What a player and its backend say to each other, which nobody else may learn.
const SECRET: &str = "swordfish";

async fn gateway(change: impl FnOnce(&mut Config)) -> (Gateway, Backend) {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), change).await;
    (gateway, backend)
}

/// Begins a trace; returns its id.
async fn begin(gateway: &Gateway, wish: &Value) -> String {
    let answer = post(gateway, wish).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

async fn post(gateway: &Gateway, wish: &Value) -> Answer {
    send(gateway.admin, "POST /api/v1/traces", &wish.to_string()).await
}

async fn events(gateway: &Gateway, id: &str, after: u64) -> Value {
    let path = format!("/api/v1/traces/{id}/events?after={after}&limit=1000");
    let answer = get(gateway.admin, &path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.body.contains(SECRET), "{}", answer.body);
    answer.json()
}

/// The events so far, one word each: frames as `>DATA` from the client and `<DATA` to it.
fn names(page: &Value) -> Vec<String> {
    let events = page["events"].as_array().expect("events").iter();
    let name = |event: &Value| match event["event"].as_str().expect("a name") {
        "frame" => {
            let frame = &event["frame"];
            let way = match frame["direction"].as_str() {
                Some("from_client") => ">",
                _ => "<",
            };
            format!("{way}{}", frame["kind"].as_str().expect("a kind"))
        }
        name => name.to_owned(),
    };
    events.map(name).collect()
}

/// Waits until a trace has an event of this name; returns all of them.
async fn until(gateway: &Gateway, id: &str, name: &str) -> Value {
    let wait = async {
        loop {
            let page = events(gateway, id, 0).await;
            if names(&page).iter().any(|seen| seen == name) {
                return page;
            }
            crate::support::wire::look_again().await;
        }
    };
    soon(wait).await
}

fn user(user_id: u64) -> Header {
    Header {
        user_id,
        realm_id: 7,
        ..Header::default()
    }
}

/// Says a secret.
async fn say(player: &mut Player, user_id: u64) {
    player.send(user(user_id), "game", SECRET.as_bytes()).await;
}

/// Takes the secret and says another one; returns the session.
async fn reply(player: &mut Player, link: &mut Link) -> u64 {
    let mut frame = link.next().await.expect("a frame");
    while frame.kind != link::Kind::Data as u8 {
        frame = link.next().await.expect("a frame");
    }
    link.send(link::Kind::Data, frame.session_id, SECRET.as_bytes())
        .await;
    player.answer().await;
    frame.session_id
}

#[tokio::test]
async fn a_user_is_traced_from_the_first_frame_to_the_last() {
    let (gateway, backend) = gateway(|_| ()).await;
    let id = begin(&gateway, &json!({"user_id": "4711"})).await;
    let (mut traced, mut other) = (
        Player::connect(&gateway).await,
        Player::connect(&gateway).await,
    );
    say(&mut traced, 4711).await;
    let mut link = backend.link().await;
    let session = reply(&mut traced, &mut link).await;
    say(&mut other, 4712).await;
    reply(&mut other, &mut link).await;
    traced.send(user(4711), "nowhere", SECRET.as_bytes()).await;
    traced.until_error(404).await;
    let close = [&440_u16.to_be_bytes()[..], &[0; 4], SECRET.as_bytes()].concat();
    link.send(link::Kind::Close, session, &close).await;
    traced.closed().await;
    let page = until(&gateway, &id, "connection_ended").await;
    let expected = [
        "user_known",
        ">DATA",
        "routing",
        "routed",
        "services_changed",
        "<DATA",
        ">DATA",
        "routing",
        "route_failed",
        "refused",
        "<ERROR",
        "backend_closed",
        "session_ended",
        "connection_ended",
    ];
    assert_eq!(names(&page), expected, "{page:#}");
    assert_eq!((&page["lost"], &page["next"]), (&json!(0), &json!(14)));
    let trace_id = TraceId::of(session).expect("a session").to_string();
    for event in page["events"].as_array().expect("events") {
        assert_eq!(event["session_id"], session.to_string(), "{event}");
        assert_eq!(event["global_id"], format!("gw-test:{session}"));
        assert_eq!(event["trace_id"], trace_id);
        assert_eq!(event["user_id"], "4711", "{event}");
        assert_eq!(
            event["client"],
            format!("127.0.0.1:{}", traced.local_port())
        );
    }
    let of = |n: usize| page["events"][n].clone();
    assert_eq!(
        of(1)["frame"],
        json!({"direction": "from_client", "fate": "taken", "kind": "DATA", "flags": 0, "realm_id": 7,
               "user_id": "4711", "session_id": "0", "service": "game", "payload_bytes": SECRET.len()})
    );
    assert_eq!(of(3)["endpoint"], backend.address.to_string());
    let why = of(3)["detail"].as_str().expect("why").to_owned();
    assert!(why.starts_with("round_robin, turn 1 of 1, after "), "{why}");
    assert_eq!(
        (&of(8)["code"], &of(8)["service"]),
        (&json!(404), &json!("nowhere"))
    );
    assert_eq!(of(10)["code"], 404);
    assert_eq!(
        (&of(12)["code"], &of(12)["detail"]),
        (&json!(440), &json!("backend"))
    );
}

#[tokio::test]
async fn those_who_are_there_are_found_on_every_worker() {
    let (gateway, backend) = gateway(|config| {
        config.gateway.workers = 2;
        config.backend.probe_interval = std::time::Duration::ZERO;
    })
    .await;
    let mut players = Vec::new();
    for _ in 0..8 {
        players.push(Player::connect(&gateway).await);
    }
    gateway.until("game_gateway_connections", |n| n == 8).await;
    let begun = post(&gateway, &json!({"address": "127.0.0.0/8"}))
        .await
        .json();
    assert_eq!(
        (&begun["clients"], &begun["silent_workers"]),
        (&json!(8), &json!([]))
    );
    assert_eq!(begun["address"], "127.0.0.0/8");
    let all = begun["id"].as_str().expect("an id");
    say(&mut players[0], 1).await;
    let mut link = backend.link().await;
    let session = reply(&mut players[0], &mut link).await;
    let wish = json!({"session": format!("gw-test:{session}")});
    let begun = post(&gateway, &wish).await.json();
    assert_eq!(
        (&begun["clients"], &begun["session_id"]),
        (&json!(1), &json!(session.to_string()))
    );
    let one = begun["id"].as_str().expect("an id");
    say(&mut players[0], 1).await;
    reply(&mut players[0], &mut link).await;
    let late = Player::connect(&gateway).await;
    let seen = until(&gateway, all, "connected").await;
    let connected = format!("127.0.0.1:{}", late.local_port());
    let events = seen["events"].as_array().expect("events");
    assert!(events.iter().any(|e| e["client"] == connected), "{seen:#}");
    assert!(
        names(&seen).contains(&"session_started".to_owned()),
        "{seen:#}"
    );
    assert_eq!(
        names(&until(&gateway, one, "<DATA").await),
        [">DATA", "<DATA"]
    );
    // What it has of an address goes with the trace, and so do those who were marked.
    assert_eq!(delete(&gateway, all).await.status, 204);
    delete(&gateway, all).await.error(404, "not_found");
    say(&mut players[0], 1).await;
    reply(&mut players[0], &mut link).await;
    assert_eq!(
        names(&events_behind(&gateway, one, 2).await),
        [">DATA", "<DATA"]
    );
}

async fn events_behind(gateway: &Gateway, id: &str, after: u64) -> Value {
    let wait = async {
        loop {
            let page = events(gateway, id, after).await;
            if names(&page).len() == 2 {
                return page;
            }
            crate::support::wire::look_again().await;
        }
    };
    soon(wait).await
}

async fn delete(gateway: &Gateway, id: &str) -> Answer {
    let line = format!("DELETE /api/v1/traces/{id}");
    request(gateway.admin, &line, &[], "").await
}

/// A stream of events that is read.
struct Stream(BufReader<TcpStream>);

impl Stream {
    async fn open(gateway: &Gateway, id: &str, header: &str) -> Stream {
        let mut socket = soon(TcpStream::connect(gateway.admin))
            .await
            .expect("the port");
        let asked =
            format!("GET /api/v1/traces/{id}/events HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
        soon(socket.write_all(asked.as_bytes()))
            .await
            .expect("sent");
        Stream(BufReader::new(socket))
    }

    /// Returns the next event with its number, empty where it has none; none at the end.
    async fn next(&mut self) -> Option<(String, String)> {
        let (mut number, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            if soon(self.0.read_line(&mut line)).await.expect("text") == 0 {
                return None;
            }
            assert!(!line.contains(SECRET), "{line}");
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut number),
                Some(("event", event)) => return Some((event.to_owned(), number)),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn events_are_streamed_and_gone_on_with() {
    let (gateway, backend) = gateway(|_| ()).await;
    let id = begin(&gateway, &json!({"user_id": "7", "for": "1h"})).await;
    let mut stream = Stream::open(&gateway, &id, "").await;
    let mut player = Player::connect(&gateway).await;
    say(&mut player, 7).await;
    let mut link = backend.link().await;
    reply(&mut player, &mut link).await;
    let numbered = |name: &str, n: &str| Some((name.to_owned(), n.to_owned()));
    for (n, name) in [
        "user_known",
        "frame",
        "routing",
        "routed",
        "services_changed",
        "frame",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(stream.next().await, numbered(name, &(n + 1).to_string()));
    }
    let mut again = Stream::open(&gateway, &id, "Last-Event-ID: 4\r\n").await;
    assert_eq!(again.next().await, numbered("services_changed", "5"));
    assert_eq!(delete(&gateway, &id).await.status, 204);
    assert_eq!(stream.next().await, numbered("end", ""));
    assert_eq!(stream.next().await, None);
    assert_eq!(again.next().await, numbered("frame", "6"));
    assert_eq!(again.next().await, numbered("end", ""));
}

#[tokio::test]
async fn a_trace_ends_by_itself() {
    let (gateway, _backend) = gateway(|_| ()).await;
    let id = begin(&gateway, &json!({"user_id": "7", "for": "1ms"})).await;
    let mut stream = Stream::open(&gateway, &id, "").await;
    assert_eq!(stream.next().await, Some(("end".to_owned(), String::new())));
    gateway.until("game_gateway_traces", |n| n == 0).await;
    let one = get(gateway.admin, &format!("/api/v1/traces/{id}"))
        .await
        .json();
    assert_eq!(
        (&one["state"], &one["remaining_seconds"]),
        (&json!("over"), &json!(0))
    );
    let page = events(&gateway, &id, 0).await;
    assert_eq!((&page["end"], &page["events"]), (&json!(true), &json!([])));
}

/// Streams that nobody reads hold back nobody, and a flood is counted where it is not recorded.
#[tokio::test]
async fn who_does_not_read_misses_events_and_is_told() {
    let (gateway, backend) = gateway(|_| ()).await;
    let id = begin(&gateway, &json!({"user_id": "7"})).await;
    let mut unread = Vec::new();
    for _ in 0..50 {
        unread.push(Stream::open(&gateway, &id, "").await);
    }
    gateway
        .until("game_gateway_event_streams", |n| n == 50)
        .await;
    let mut player = Player::connect(&gateway).await;
    say(&mut player, 7).await;
    let mut link = backend.link().await;
    reply(&mut player, &mut link).await;
    let mut flood = Vec::new();
    let ping = Header {
        kind: Kind::Ping as u8,
        ..Header::default()
    };
    game_gateway::codec::client::encode(&mut flood, &ping, "", SECRET.as_bytes());
    for _ in 0..100 {
        // Twenty and their answers, so that neither waits for the other.
        player.raw(&flood.repeat(20)).await;
        for _ in 0..20 {
            player.next().await.expect("a PONG");
        }
    }
    let trace = get(gateway.admin, &format!("/api/v1/traces/{id}"))
        .await
        .json();
    let (all, page) = (
        trace["events"].as_u64().expect("a number"),
        events(&gateway, &id, 0).await,
    );
    assert_eq!(all, 4_006);
    let kept = page["events"].as_array().expect("events").len() as u64;
    assert!(
        page["lost"].as_u64().expect("a number") + kept <= all,
        "{trace}"
    );
    let recorded = gateway.metric("game_gateway_trace_events_total").await;
    let lost = gateway.metric("game_gateway_trace_lost_events_total").await;
    assert_eq!(recorded + lost, all);
    drop(unread);
    gateway
        .until("game_gateway_event_streams", |n| n == 0)
        .await;
}

#[tokio::test]
async fn a_thousand_traces_are_too_many() {
    let (gateway, _backend) = gateway(|_| ()).await;
    let mut ids = Vec::new();
    for user in 1..=1000 {
        let answer = post(&gateway, &json!({"user_id": user.to_string()})).await;
        if user <= 32 {
            ids.push(answer.json()["id"].as_str().expect("an id").to_owned());
        } else {
            let said = answer.error(409, "conflict");
            assert!(said.starts_with("32 traces are under way"), "{said}");
        }
    }
    let list = get(gateway.admin, "/api/v1/traces").await.json();
    let listed = list["traces"].as_array().expect("traces").iter();
    let listed: Vec<_> = listed.map(|trace| trace["id"].clone()).collect();
    assert_eq!(listed, ids);
    assert_eq!(gateway.metric("game_gateway_traces").await, 32);
    assert_eq!(delete(&gateway, &ids[0]).await.status, 204);
    begin(&gateway, &json!({"user_id": "1"})).await;
}

#[test]
fn a_terminal_follows_a_user_until_it_is_interrupted() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let backend = runtime.block_on(Backend::start());
    let served = terminal::serve("", &backend.routes());
    let url = served.url();
    let arguments = [
        "admin", "--url", &url, "trace", "--user", "4711", "--for", "1h",
    ];
    let mut follower = Process::spawn(terminal::program().args(arguments));
    let said = runtime.block_on(async {
        let admin = url
            .trim_start_matches("http://")
            .parse()
            .expect("an address");
        let begun = async {
            while !get(admin, "/api/v1/traces").await.body.contains("4711") {
                crate::support::wire::look_again().await;
            }
        };
        soon(begun).await;
        let mut player = Player::connect_to(served.players).await;
        say(&mut player, 4711).await;
        let mut link = backend.link().await;
        let session = reply(&mut player, &mut link).await;
        (admin, session, player, link)
    });
    let (admin, session, ..) = &said;
    let wanted = format!(" gw-t:{session} < DATA game 9 bytes");
    while !follower.wait_for_line("").contains(&wanted) {}
    follower.signal("INT");
    assert_eq!(follower.wait_for_exit().code(), Some(0));
    let output = follower.output();
    for line in [
        " user_known: over tcp",
        " > DATA game 9 bytes realm_id=7 user_id=4711",
        " routed game at ",
    ] {
        assert!(
            output.contains(&format!(" gw-t:{session}{line}")),
            "{line}: {output}"
        );
    }
    assert!(
        !output.contains(SECRET) && !output.contains('\u{1b}'),
        "{output}"
    );
    let left = runtime.block_on(get(*admin, "/api/v1/traces")).json();
    assert_eq!(left["traces"], json!([]), "it was deleted");
    served.process.sigterm();
}

#[tokio::test]
async fn mistakes_are_named() {
    let (gateway, _backend) = gateway(|_| ()).await;
    for (body, message) in [
        (json!({}), "address, user_id, session: one of them"),
        (json!({"user_id": 4711}), "user_id: `4711` is not a text"),
        (
            json!({"address": "192.0.2.1/24"}),
            "address: invalid network",
        ),
        (json!({"session": "x"}), "session: `x` is no session's id"),
        (
            json!({"user_id": "1", "for": "25h"}),
            "for: duration `25h` too long",
        ),
        (
            json!({"user_id": "1", "payloads": true}),
            "the body: unknown field `payloads`",
        ),
        (json!(null), "the body is missing"),
    ] {
        let said = post(&gateway, &body).await.error(400, "bad_request");
        assert!(said.starts_with(message), "{body}: {said}");
    }
    for id in [
        "x",
        "0",
        "00000000000000G0",
        "00C0FFEE00C0FFEE",
        "%00",
        "00c0ffee00c0ffee0",
    ] {
        for line in [
            "GET /api/v1/traces/{}",
            "GET /api/v1/traces/{}/events",
            "DELETE /api/v1/traces/{}",
        ] {
            let answer = request(gateway.admin, &line.replace("{}", id), &[], "").await;
            let said = answer.error(400, "bad_request");
            assert!(
                said.ends_with("is no trace's id; one has 16 lowercase hexadecimal digits"),
                "{said}"
            );
        }
    }
    let unknown = "/api/v1/traces/00c0ffee00c0ffee/events";
    get(gateway.admin, unknown).await.error(404, "not_found");
    let wish = json!({"user_id": "1", "id": "00c0ffee00c0ffee"});
    assert_eq!(begin(&gateway, &wish).await, "00c0ffee00c0ffee");
    post(&gateway, &wish).await.error(409, "conflict");
    let everywhere = get(gateway.admin, &format!("{unknown}?deployment=true")).await;
    everywhere.error(409, "conflict");
    let id = begin(&gateway, &json!({"user_id": "1"})).await;
    for query in [
        "after=x",
        "after=-1",
        "limit=0",
        "limit=1001",
        "since=1",
        "after=1&after=2",
    ] {
        let path = format!("/api/v1/traces/{id}/events?{query}");
        get(gateway.admin, &path).await.error(400, "bad_request");
    }
    let beyond = events(&gateway, &id, u64::MAX).await;
    assert_eq!((&beyond["next"], &beyond["lost"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn who_may_read_may_not_begin_or_end_one() {
    let (gateway, _backend) = gateway(|config| {
        config.admin.tokens = r#"[{"name": "wall", "role": "read", "token": "look"},
                                  {"name": "anna", "role": "operate", "token": "touch"}]"#
            .parse()
            .expect("tokens");
    })
    .await;
    let ask = async |line: &str, token: &str, body: &str| {
        let token = format!("Authorization: Bearer {token}");
        let headers = [token.as_str(), "Content-Type: application/json"];
        request(gateway.admin, line, &headers, body).await
    };
    let wish = r#"{"user_id": "7"}"#;
    ask("POST /api/v1/traces", "look", wish)
        .await
        .error(403, "forbidden");
    let begun = ask("POST /api/v1/traces", "touch", wish).await.json();
    let by = begun["by"].as_str().expect("who");
    assert!(by.starts_with("anna at 127.0.0.1:"), "{by}");
    let id = begun["id"].as_str().expect("an id");
    let (one, events) = (
        format!("/api/v1/traces/{id}"),
        format!("/api/v1/traces/{id}/events?after=0"),
    );
    for path in ["/api/v1/traces", &one, &events] {
        assert_eq!(
            ask(&format!("GET {path}"), "look", "").await.status,
            200,
            "{path}"
        );
        get(gateway.admin, path).await.error(401, "unauthorized");
    }
    ask(&format!("DELETE {one}"), "look", "")
        .await
        .error(403, "forbidden");
    assert_eq!(ask(&format!("DELETE {one}"), "touch", "").await.status, 204);
}
