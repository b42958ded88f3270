//! Users' assignments in Redis: where their sessions go, what changes that, and what goes wrong.

use std::net::SocketAddr;

use game_gateway::codec::client::{self, Header};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link::{self, Features, Kind, OPEN_TRANSFERRED, Open, Transfer};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::stage::{named, ready, set_rules, wait_for_subscriber_of};
use crate::support::http::{Response, request};
use crate::support::redis::RedisServer;
use crate::support::wire::{Backend, Gateway, Link, Player, ask, soon};

pub(crate) const KEY: &str = "game-gateway:assign:battle";
const NOTIFY: &str = "game-gateway:assign:battle:notify";
const LOOKUPS: &str = "game_gateway_assignment_lookup_seconds_count";

/// Nothing is read again but on notification.
const FOR_EVER: [(&str, &str); 2] = [
    ("redis.assignment_ttl", "1h"),
    ("redis.assignment_negative_ttl", "1h"),
];
/// Everything is read each time.
const NEVER: [(&str, &str); 2] = [
    ("redis.assignment_ttl", "0s"),
    ("redis.assignment_negative_ttl", "0s"),
];

/// Rules with `battle`, which reads assignments, and `lobby` at this address.
fn rules(lobby: SocketAddr) -> String {
    json!({
        "battle": {"strategy": "assigned", "assignments": "redis", "assignable": ["127.0.0.0/8"]},
        "lobby": {"strategy": "round_robin", "endpoints": [lobby.to_string()]},
    })
    .to_string()
}

/// Assigns a user and tells nobody.
fn assign(redis: &RedisServer, user_id: u64, endpoint: impl ToString) {
    redis.command(&["HSET", KEY, &user_id.to_string(), &endpoint.to_string()]);
}

fn notify(redis: &RedisServer, text: &str) {
    redis.command(&["PUBLISH", NOTIFY, text]);
}

/// Starts a gateway on a server with an empty hash, and waits until it hears of changes.
async fn gateway(redis: &RedisServer, more: &[(&str, &str)]) -> Gateway {
    let lobby = named("lobby").await;
    set_rules(redis, &rules(lobby));
    let patient = [
        ("redis.timeout", "20s"),
        ("backend.connect_timeout", "20s"),
        ("backend.ping_interval", "10m"),
        ("backend.probe_interval", "0s"),
    ];
    let more: Vec<_> = patient.iter().chain(more).copied().collect();
    let gateway = ready(&redis.url(), &more).await;
    until_connected(&gateway).await;
    wait_for_subscriber_of(redis, NOTIFY);
    gateway
}

async fn until_connected(gateway: &Gateway) {
    gateway
        .until("game_gateway_assignments_connected", |is| is == 1)
        .await;
}

async fn says(player: &mut Player, user_id: u64, service: &str, payload: &[u8]) {
    let header = Header {
        user_id,
        ..Header::default()
    };
    player.send(header, service, payload).await;
}

/// Reads the name of a backend, or the code of an ERROR.
async fn hears(player: &mut Player) -> String {
    let frame = player.next().await.expect("a frame");
    if frame.header.kind == client::Kind::Data as u8 {
        return String::from_utf8_lossy(&frame.payload).into_owned();
    }
    let notice = Notice::decode(&frame.payload, Code::NORMAL);
    notice.code.0.to_string()
}

/// Where a new session of this user comes to.
async fn visit(gateway: &Gateway, user_id: u64) -> String {
    let mut player = Player::connect(gateway).await;
    says(&mut player, user_id, "battle", b"who?").await;
    hears(&mut player).await
}

async fn until_at(gateway: &Gateway, user_id: u64, name: &str) {
    soon(async {
        while visit(gateway, user_id).await != name {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

/// How many look-ups have ended so.
async fn ended(gateway: &Gateway, outcome: &str) -> u64 {
    let name = format!(r#"{LOOKUPS}{{outcome="{outcome}"}}"#);
    gateway.metric(&name).await
}

async fn shown(gateway: &Gateway) -> Value {
    let (status, body) = gateway.get("/api/v1/routes").await;
    assert_eq!(status, 200, "{body}");
    let mut routes: Value = serde_json::from_str(&body).expect("JSON");
    routes["assignments"].take()
}

async fn until_error(gateway: &Gateway, part: &str) {
    soon(async {
        loop {
            let error = shown(gateway).await["error"].take();
            if error.as_str().is_some_and(|error| error.contains(part)) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn users_go_where_redis_says() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    assign(&redis, 1, a);
    assign(&redis, u64::MAX, b);
    let gateway = gateway(&redis, &FOR_EVER).await;
    for _ in 0..2 {
        assert_eq!(visit(&gateway, 1).await, "a");
        assert_eq!(visit(&gateway, u64::MAX).await, "b");
        assert_eq!(visit(&gateway, 2).await, "404");
        assert_eq!(visit(&gateway, 0).await, "404");
    }
    let outcomes = ["read", "read_none", "known", "known_none"];
    for (outcome, times) in outcomes.into_iter().zip([2, 1, 2, 1]) {
        assert_eq!(ended(&gateway, outcome).await, times, "{outcome}");
    }
    assert_eq!(gateway.metric("game_gateway_cached_assignments").await, 3);
    assert_eq!(
        shown(&gateway).await,
        json!({"key": "game-gateway:assign:{service}", "services": 1, "connected": true,
            "cached": 3, "max_cached": 65536, "error": null})
    );
    let resolve = "/api/v1/routes/resolve?service=battle&user_id=";
    let (_, answer) = gateway.get(&format!("{resolve}1")).await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["endpoint"], a.to_string());
    assert_eq!(
        answer["why"],
        format!("assigned, user 1 in redis key {KEY}")
    );
    for stranger in ["2", "0"] {
        let (status, answer) = gateway.get(&format!("{resolve}{stranger}")).await;
        assert_eq!(status, 404, "{answer}");
    }
    // A one-shot session is one too.
    for (user, status) in [("1", 200), ("2", 404)] {
        let mut socket = TcpStream::connect(gateway.players).await.expect("a port");
        let user = format!("X-User-Id: {user}\r\n");
        let request = request("POST /battle", &user, b"who?");
        socket.write_all(&request).await.expect("sent");
        assert_eq!(Response::read(&mut socket).await.status, status);
    }
}

#[tokio::test]
async fn a_change_that_is_announced_counts_from_then_on() {
    let (a, b) = (named("a").await, named("b").await);
    for options in ["", "notify-keyspace-events Kgh"] {
        let redis = RedisServer::start_with(options);
        let gateway = gateway(&redis, &FOR_EVER).await;
        let writes_tell = !options.is_empty();
        for user_id in [1, 2] {
            assign(&redis, user_id, a);
            assert_eq!(visit(&gateway, user_id).await, "a");
            assert_eq!(visit(&gateway, 3).await, "404");
        }
        let mut stays = Player::connect(&gateway).await;
        says(&mut stays, 1, "battle", b"who?").await;
        assert_eq!(hears(&mut stays).await, "a");

        assign(&redis, 1, b);
        assign(&redis, 2, b);
        if !writes_tell {
            notify(&redis, "1");
            until_at(&gateway, 1, "b").await;
            assert_eq!(visit(&gateway, 2).await, "a", "nobody has said that");
            notify(&redis, "the fleet has changed");
        }
        until_at(&gateway, 1, "b").await;
        until_at(&gateway, 2, "b").await;
        assign(&redis, 3, a);
        if !writes_tell {
            notify(&redis, "3");
        }
        until_at(&gateway, 3, "a").await;
        redis.command(&["HDEL", KEY, "3"]);
        if !writes_tell {
            notify(&redis, "3");
        }
        until_at(&gateway, 3, "404").await;
        // A change moves nobody.
        says(&mut stays, 1, "battle", b"who?").await;
        assert_eq!(hears(&mut stays).await, "a");
    }
}

#[tokio::test]
async fn without_a_word_an_assignment_lives_its_time() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    assign(&redis, 1, a);
    let gateway = gateway(&redis, &NEVER).await;
    assert_eq!(visit(&gateway, 1).await, "a");
    assert_eq!(visit(&gateway, 2).await, "404");
    assign(&redis, 1, b);
    assign(&redis, 2, b);
    assert_eq!(visit(&gateway, 1).await, "b");
    assert_eq!(visit(&gateway, 2).await, "b");
    assert_eq!(ended(&gateway, "known").await, 0);
}

#[tokio::test]
async fn while_redis_is_gone_what_is_known_counts() {
    let (a, b) = (named("a").await, named("b").await);
    let mut redis = RedisServer::start();
    assign(&redis, 1, a);
    let gateway = gateway(&redis, &NEVER).await;
    assert_eq!(visit(&gateway, 1).await, "a");
    assert_eq!(visit(&gateway, 2).await, "404");
    redis.stop("KILL");
    assert_eq!(visit(&gateway, 1).await, "a");
    let mut player = Player::connect(&gateway).await;
    says(&mut player, 2, "battle", b"who?").await;
    let refused = player.next().await.expect("a frame");
    let notice = Notice::decode(&refused.payload, Code::NORMAL);
    assert_eq!(notice.code, Code::UNAVAILABLE);
    assert!(notice.retry_after_ms > 0, "{notice:?}");
    until_error(&gateway, "refused").await;
    let (_, answer) = gateway
        .get("/api/v1/routes/resolve?service=battle&user_id=2")
        .await;
    assert!(answer.contains("Redis cannot be asked"), "{answer}");
    assert!(ended(&gateway, "last_good").await >= 1);
    assert!(ended(&gateway, "failed").await >= 1);

    redis.change_while_down(|redis| {
        set_rules(redis, &rules(a));
        assign(redis, 1, b);
        assign(redis, 2, b);
    });
    redis.start_again();
    until_at(&gateway, 1, "b").await;
    // The same session.
    soon(async {
        loop {
            says(&mut player, 2, "battle", b"who?").await;
            if hears(&mut player).await == "b" {
                return;
            }
        }
    })
    .await;
    until_connected(&gateway).await;
    assert_eq!(shown(&gateway).await["error"], Value::Null);
}

#[tokio::test]
async fn a_redis_that_hangs_keeps_only_those_waiting_who_need_it() {
    let a = named("a").await;
    let redis = RedisServer::start();
    assign(&redis, 1, a);
    let gateway = gateway(&redis, &NEVER).await;
    redis.pause();
    let mut player = Player::connect(&gateway).await;
    says(&mut player, 1, "battle", b"who?").await;
    for _ in 0..3 {
        says(&mut player, 1, "lobby", b"who?").await;
        assert_eq!(hears(&mut player).await, "lobby");
    }
    // It waits for at most redis.timeout, and this is known before.
    redis.go_on();
    assert!(["a", "503"].contains(&hears(&mut player).await.as_str()));
    until_at(&gateway, 1, "a").await;
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_waited_for() {
    let a = named("a").await;
    let redis = RedisServer::start();
    assign(&redis, 1, a);
    set_rules(&redis, &rules(a));
    for missing in ["-hget", "resetkeys"] {
        redis.command(&crate::stage::documented_user("gateway"));
        let keys = [("redis.username", "gateway"), ("redis.password", "secret")];
        let gateway = ready(&redis.url(), &keys).await;
        until_connected(&gateway).await;
        redis.command(&["ACL", "SETUSER", "gateway", missing]);
        assert_eq!(visit(&gateway, 1).await, "503");
        let error = shown(&gateway).await["error"].take();
        let error = error.as_str().expect("an error").to_owned();
        let cure = format!("; grant this user +hget and ~{KEY}");
        assert!(
            error.starts_with(&format!("redis key {KEY}: NOPERM ")) && error.ends_with(&cure),
            "{error}"
        );
        redis.command(&crate::stage::documented_user("gateway"));
        until_at(&gateway, 1, "a").await;
        assert_eq!(shown(&gateway).await["error"], Value::Null);
    }
}

#[tokio::test]
async fn what_is_mistaken_is_no_assignment() {
    let a = named("a").await;
    let redis = RedisServer::start();
    let gateway = gateway(&redis, &NEVER).await;
    let malformed = ["", "nonsense", "127.0.0.1", "127.0.0.1:0", "\u{1b}[2J:1"];
    for (user_id, value) in (1..).zip(malformed) {
        assign(&redis, user_id, value);
        assert_eq!(visit(&gateway, user_id).await, "404", "{value:?}");
    }
    assign(&redis, 6, "10.1.2.3:7000");
    assign(&redis, 7, "game.internal:7000");
    for user_id in [6, 7] {
        assert_eq!(visit(&gateway, user_id).await, "404");
    }
    // This one would be an endpoint, but nobody reads so much; others' are read over the same connection.
    assign(&redis, 8, format!("{}:{:0>2000}", a.ip(), a.port()));
    assign(&redis, 9, a);
    for (user_id, expected) in [(8, "404"), (9, "a"), (8, "404")] {
        assert_eq!(visit(&gateway, user_id).await, expected);
    }
    let count = async |name: &str| gateway.metric(&format!("game_gateway_{name}_total")).await;
    let mistaken = malformed.len() as u64 + 2;
    assert_eq!(count("malformed_assignments").await, mistaken);
    assert_eq!(count("disallowed_assignments").await, 2);
    redis.command(&["DEL", KEY]);
    redis.command(&["SET", KEY, "no hash"]);
    assert_eq!(visit(&gateway, 1).await, "503");
    let error = shown(&gateway).await["error"].to_string();
    assert!(
        error.contains("WRONGTYPE") && error.contains("expected a hash"),
        "{error}"
    );
    redis.command(&["DEL", KEY]);
    assign(&redis, 1, a);
    assert_eq!(visit(&gateway, 1).await, "a");
}

#[tokio::test]
async fn a_flood_of_strangers_stays_within_the_bound() {
    let a = named("a").await;
    let redis = RedisServer::start();
    assign(&redis, 1, a);
    let small = ("redis.max_assignments", "64");
    let more = [FOR_EVER[0], FOR_EVER[1], small];
    let gateway = gateway(&redis, &more).await;
    assert_eq!(visit(&gateway, 1).await, "a");
    let mut player = Player::connect(&gateway).await;
    for user_id in 1000..1400 {
        says(&mut player, user_id, "battle", b"who?").await;
        assert_eq!(hears(&mut player).await, "404");
    }
    assert_eq!(ended(&gateway, "read_none").await, 400);
    let cached = gateway.metric("game_gateway_cached_assignments").await;
    assert!((2..=64).contains(&cached), "{cached}");
    let (_, memory) = gateway.get("/api/v1/memory").await;
    let memory: serde_json::Value = serde_json::from_str(&memory).expect("JSON");
    let held = memory["parts"]["assignments"].as_u64().expect("bytes");
    assert!((cached * 50..64 * 1024).contains(&held), "{held}");
    let known = ended(&gateway, "known").await;
    assert_eq!(visit(&gateway, 1).await, "a");
    assert_eq!(ended(&gateway, "known").await, known + 1);
}

#[tokio::test]
async fn ten_thousand_users() {
    const USERS: u64 = 10_000;
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    let words: Vec<String> = (1..=USERS)
        .flat_map(|user_id| {
            [
                user_id.to_string(),
                [a, b][user_id as usize % 2].to_string(),
            ]
        })
        .collect();
    let mut command = vec!["HSET", KEY];
    command.extend(words.iter().map(String::as_str));
    redis.command(&command);
    let gateway = gateway(&redis, &FOR_EVER).await;
    for (outcome, users) in [("read", USERS), ("known", USERS / 20)] {
        let visits = (0..20).map(|lane| {
            let gateway = &gateway;
            async move {
                for user_id in (1..=users).skip(lane).step_by(20) {
                    let name = ["a", "b"][user_id as usize % 2];
                    assert_eq!(visit(gateway, user_id).await, name, "{user_id}");
                }
            }
        });
        futures_util::future::join_all(visits).await;
        assert_eq!(ended(&gateway, outcome).await, users);
    }
    let cached = gateway.metric("game_gateway_cached_assignments").await;
    assert_eq!(cached, USERS);
}

/// A session of user 1 in `battle`, at a backend that Redis names.
struct Fight {
    gateway: Gateway,
    player: Player,
    link: Link,
    id: u64,
    _backend: Backend,
}

impl Fight {
    async fn start(redis: &RedisServer) -> Fight {
        let backend = Backend::start().await;
        assign(redis, 1, backend.address);
        let gateway = gateway(redis, &FOR_EVER).await;
        let mut player = Player::connect(&gateway).await;
        says(&mut player, 1, "battle", b"hello").await;
        let mut link = backend.link().await;
        let id = link.opened().await.session_id;
        assert_eq!(&link.data().await.payload[..], b"hello");
        Fight {
            gateway,
            player,
            link,
            id,
            _backend: backend,
        }
    }

    async fn ordered_to(&self, to: SocketAddr) -> Value {
        let line = format!("POST /api/v1/sessions/{}/assign", self.id);
        let body = json!({"service": "battle", "endpoint": to.to_string()});
        let (_, answer) = ask(self.gateway.admin, &line, &body.to_string()).await;
        serde_json::from_str(&answer).expect("JSON")
    }
}

#[tokio::test]
async fn behind_a_lost_link_redis_is_asked_again() {
    let b = named("b").await;
    let redis = RedisServer::start();
    let mut fight = Fight::start(&redis).await;
    // Nobody tells the gateway.
    assign(&redis, 1, b);
    drop(fight.link);
    assert_eq!(fight.player.error().await.0, 502);
    fight.player.data("battle", b"who?").await;
    assert_eq!(hears(&mut fight.player).await, "b");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_looked_up_again() {
    let b = named("b").await;
    let redis = RedisServer::start();
    let fight = Fight::start(&redis).await;
    let Fight {
        gateway,
        link,
        _backend: gone,
        ..
    } = fight;
    drop((gone, link));
    assign(&redis, 1, b);
    assert_eq!(visit(&gateway, 1).await, "b");
}

#[tokio::test]
async fn assign_goes_before_redis() {
    let redis = RedisServer::start();
    let mut fight = Fight::start(&redis).await;
    let other = Backend::start().await;
    let answer = fight.ordered_to(other.address).await;
    assert_eq!(answer["outcome"], "replaced", "{answer}");
    notify(&redis, "1");
    for _ in 0..2 {
        fight.player.data("battle", b"here").await;
        let mut link = other.link().await;
        link.opened().await;
        assert_eq!(&link.data().await.payload[..], b"here");
        drop(link);
        assert_eq!(fight.player.error().await.0, 502);
    }
}

#[tokio::test]
async fn a_session_that_is_given_away_goes_where_redis_says() {
    let redis = RedisServer::start();
    let mut fight = Fight::start(&redis).await;
    let id = fight.id;
    let features = Features { transfer: true }.encode();
    fight.link.send(Kind::Features, 0, &features).await;
    let mut anywhere = Vec::new();
    Transfer { endpoint: "" }.encode(&mut anywhere);
    fight.link.send(Kind::Transfer, id, &anywhere).await;
    // It is where Redis says.
    let moved = fight.link.next().await.expect("MOVED");
    assert_eq!(
        (moved.kind, &moved.payload[..]),
        (Kind::Moved as u8, &404_u16.to_be_bytes()[..])
    );

    let other = Backend::start().await;
    assign(&redis, 1, other.address);
    fight.link.send(Kind::Transfer, id, &anywhere).await;
    assert_eq!(fight.link.closed().await, (id, 307));
    let state = [&307_u16.to_be_bytes()[..], &[0; 4], b"the state"].concat();
    fight.link.send(Kind::Close, id, &state).await;
    let mut link = other.link().await;
    let open = link.opened().await;
    let opened = Open::decode(&open.payload).expect("a payload");
    assert_eq!(
        (opened.flags, opened.state),
        (OPEN_TRANSFERRED, &b"the state"[..])
    );
    link.send(Kind::Accept, id, &opened.epoch.to_be_bytes())
        .await;
    let moved = fight.link.next().await.expect("MOVED");
    assert_eq!(
        (moved.kind, &moved.payload[..]),
        (Kind::Moved as u8, &[0, 0][..])
    );
    fight.player.data("battle", b"on").await;
    assert_eq!(&link.data().await.payload[..], b"on");
    link.send(link::Kind::Data, id, b"and on").await;
    assert_eq!(&fight.player.answer().await.payload[..], b"and on");
}

#[tokio::test]
async fn who_is_not_bound_is_not_looked_up_where_that_is_required() {
    let a = named("a").await;
    let redis = RedisServer::start();
    assign(&redis, 1, a);
    let rules = r#"{"battle":{"strategy":"assigned","assignments":"redis","require_bind":true,"assignable":["127.0.0.0/8"]}}"#;
    set_rules(&redis, rules);
    let gateway = ready(&redis.url(), &[]).await;
    assert_eq!(visit(&gateway, 1).await, "401");
    // A rule that comes later is followed, and one that goes is not.
    set_rules(&redis, &rules.replace("true", "false"));
    crate::stage::notify(&redis);
    until_at(&gateway, 1, "a").await;
    set_rules(
        &redis,
        &rules.replace(r#""assignments":"redis","require_bind":true,"#, ""),
    );
    crate::stage::notify(&redis);
    until_at(&gateway, 1, "404").await;
    let is = "game_gateway_assignments_connected";
    gateway.until(is, |is| is == 0).await;
}

#[tokio::test]
async fn nobody_notices_that_the_reader_starts_anew() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    assign(&redis, 1, a);
    let gateway = gateway(&redis, &FOR_EVER).await;
    assert_eq!(visit(&gateway, 1).await, "a");
    // What has changed meanwhile is not missed.
    assign(&redis, 1, b);
    let restarted = gateway.inspector().restart("assignment_reader-0").await;
    assert!(matches!(restarted, Some(Ok(_))), "{restarted:?}");
    assert_eq!(visit(&gateway, 1).await, "b");
}
