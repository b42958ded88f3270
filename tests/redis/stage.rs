//! Support of the tests: a gateway on Redis, backends that answer with their name, the routing data.

use std::net::SocketAddr;

use game_gateway::codec::client::{self, Header};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::link;
use game_gateway::config;

use crate::support::redis::{RedisServer, wait_until};
use crate::support::resp::Reply;
use crate::support::wire::{Backend, DEADLINE, Gateway, Link, Player, get, soon};

pub(crate) const RULES: &str = "game-gateway:routing:rules";
pub(crate) const REALMS: &str = "game-gateway:realm:mapping";

/// Returns the environment of a gateway with its routes at this URL, read again only on notification.
/// `more` are configuration keys; later ones win.
pub(crate) fn environment(url: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let keys = [
        ("gateway.id", "gw-test"),
        ("gateway.workers", "1"),
        ("listen.address", "127.0.0.1:0"),
        ("admin.address", "127.0.0.1:0"),
        ("routes.source", "redis"),
        ("redis.url", url),
        ("redis.refresh", "1h"),
        // This is a time to look again too.
        ("backend.resolve_interval", "1h"),
    ];
    let variable = |key: &str| format!("GATEWAY__{}", key.replace('.', "__").to_uppercase());
    let all = keys.iter().chain(more);
    all.map(|(key, value)| (variable(key), (*value).to_owned()))
        .collect()
}

/// Starts a gateway and does not wait for its routes.
pub(crate) fn unready(url: &str, more: &[(&str, &str)]) -> Gateway {
    let environment = environment(url, more);
    Gateway::start_unready("{}", |config| {
        *config = config::load(None, environment.into_iter()).expect("a good configuration");
    })
}

/// Starts a gateway and waits until it is ready.
pub(crate) async fn ready(url: &str, more: &[(&str, &str)]) -> Gateway {
    let gateway = unready(url, more);
    until_ready(&gateway).await;
    gateway
}

pub(crate) async fn until_ready(gateway: &Gateway) {
    gateway
        .until("game_gateway_ready", |ready| ready == 1)
        .await;
}

/// Waits until `/ready` has this text in it; returns the status and all of it.
pub(crate) async fn until_ready_says(gateway: &Gateway, text: &str) -> (u16, String) {
    until_ready_at(gateway.admin, text).await
}

/// Does the same for any admin API.
pub(crate) async fn until_ready_at(admin: SocketAddr, text: &str) -> (u16, String) {
    let mut last = (0, String::new());
    let said = async {
        while !last.1.contains(text) {
            last = get(admin, "/ready").await;
        }
    };
    // A test that fails shows what came instead.
    if tokio::time::timeout(DEADLINE, said).await.is_err() {
        panic!("no {text:?} in {last:?}");
    }
    last
}

/// Starts a backend that answers everything with its name.
pub(crate) async fn named(name: &'static str) -> SocketAddr {
    let backend = Backend::start().await;
    let address = backend.address;
    tokio::spawn(async move {
        loop {
            tokio::spawn(say(name, backend.link().await));
        }
    });
    address
}

async fn say(name: &str, mut link: Link) {
    while let Some(frame) = link.next().await {
        if frame.kind == link::Kind::Data as u8 {
            link.send(link::Kind::Data, frame.session_id, name.as_bytes())
                .await;
        }
    }
}

/// Sends the first frame of a new session; returns the name of its backend, or the error's code.
pub(crate) async fn visit(gateway: &Gateway, service: &str, realm_id: u32) -> String {
    let mut player = Player::connect(gateway).await;
    let header = Header {
        realm_id,
        ..Header::default()
    };
    player.send(header, service, b"who?").await;
    let frame = player.next().await.expect("a frame");
    if frame.header.kind == client::Kind::Data as u8 {
        return String::from_utf8_lossy(&frame.payload).into_owned();
    }
    Notice::decode(&frame.payload, Code::NORMAL)
        .code
        .0
        .to_string()
}

/// Waits until new sessions of `game` come to this backend.
pub(crate) async fn until_at(gateway: &Gateway, name: &str) {
    until_realm_at(gateway, "game", 0, name).await;
}

/// Waits until new sessions of a service and realm come to this backend.
pub(crate) async fn until_realm_at(gateway: &Gateway, service: &str, realm_id: u32, name: &str) {
    soon(async {
        while visit(gateway, service, realm_id).await != name {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

/// Rules with the round_robin service `game` at this address.
pub(crate) fn game_at(address: SocketAddr) -> String {
    format!(r#"{{"game":{{"strategy":"round_robin","endpoints":["{address}"]}}}}"#)
}

/// Writes rules and tells nobody.
pub(crate) fn set_rules(server: &RedisServer, rules: &str) {
    server.command(&["SET", RULES, rules]);
}

/// Says that rules have changed; returns how many gateways heard it.
pub(crate) fn notify(server: &RedisServer) -> i64 {
    let channel = format!("{RULES}:notify");
    match server.command(&["PUBLISH", &channel, "changed"]) {
        Reply::Number(heard) => heard,
        other => panic!("{other:?}"),
    }
}

/// Waits until a gateway listens for changes, without telling it of any.
pub(crate) fn wait_for_subscriber(server: &RedisServer) {
    wait_for_subscriber_of(server, &format!("{RULES}:notify"));
}

/// Waits until a gateway listens on a channel, without telling it anything.
pub(crate) fn wait_for_subscriber_of(server: &RedisServer, channel: &str) {
    wait_until("a subscriber", || {
        match server.command(&["PUBSUB", "NUMSUB", channel]) {
            Reply::List(answer) => answer[1] != Reply::Number(0),
            other => panic!("{other:?}"),
        }
    });
}

/// Returns the words of the command in docs/operations.md that makes this user, with the password
/// `secret`.
pub(crate) fn documented_user(name: &str) -> Vec<&'static str> {
    let page = include_str!("../../docs/operations.md");
    let command = format!("ACL SETUSER {name} ");
    let line = page.lines().find(|line| line.contains(&command));
    let words = line.expect("the command").split_whitespace();
    let quoted = words.map(|word| word.trim_matches('\''));
    quoted.skip_while(|word| *word != "ACL").collect()
}

/// Checks that Redis has refused nobody anything.
pub(crate) fn nothing_was_refused(server: &RedisServer) {
    let refused = server.command(&["ACL", "LOG"]);
    assert_eq!(refused, Reply::List(Vec::new()));
}
