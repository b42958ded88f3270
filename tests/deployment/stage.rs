//! Gateways of one deployment in this process, each with players.

use std::net::SocketAddr;
use std::time::Duration;

use game_gateway::codec::client::{FLAG_RESUMABLE, Header};
use game_gateway::config::{Config, Secret};
use game_gateway::sdk::backend::{self, Backend};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::address;
use crate::support::wire::{Gateway, Player, ask, soon};

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Three gateways, the last of which speaks an earlier version of the peer channel.
pub(crate) struct Deployment {
    pub(crate) a: Gateway,
    pub(crate) b: Gateway,
    _old: Gateway,
    _backend: Backend,
}

/// A backend that echoes, and routes that lead there.
pub(crate) async fn backend() -> (Backend, String) {
    let backend = Backend::start(address::own(), backend::echo).await;
    let backend = backend.expect("a backend");
    let rule = serde_json::json!({"strategy": "round_robin", "endpoints": [backend.address().to_string()]});
    let routes = serde_json::json!({"rules": {"game": rule}}).to_string();
    (backend, routes)
}

pub(crate) fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(",")
}

impl Deployment {
    pub(crate) async fn start() -> Deployment {
        Deployment::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl Fn(&mut Config)) -> Deployment {
        let (backend, routes) = backend().await;
        let addresses = [address::fixed(), address::fixed(), address::fixed()];
        let start = async |id: &str, own: usize, version: u8| {
            Gateway::start_with(&routes, |config| {
                config.gateway.id = id.to_owned();
                config.gateway.workers = 2;
                config.session.token_keys = vec![Secret::new(KEY.to_owned())];
                config.backend.connect_timeout = Duration::from_secs(30);
                config.peer.address = Some(addresses[own]);
                config.peer.gateways = list(&addresses).parse().expect("gateways");
                config.peer.channel.version = version;
                config.peer.channel.patience = Duration::from_secs(25);
                change(config);
            })
            .await
        };
        Deployment {
            a: start("gw-a", 0, u8::MAX).await,
            b: start("gw-b", 1, u8::MAX).await,
            _old: start("gw-old", 2, 2).await,
            _backend: backend,
        }
    }

    /// A player whose session has begun, of this user.
    pub(crate) async fn player(&self, gateway: &Gateway, user_id: u64) -> Player {
        player(gateway.players, user_id).await
    }
}

/// A player whose session has begun, of this user.
pub(crate) async fn player(gateway: SocketAddr, user_id: u64) -> Player {
    let mut player = Player::connect_to(gateway).await;
    let header = Header {
        flags: FLAG_RESUMABLE,
        user_id,
        ..Header::default()
    };
    player.send(header, "game", b"hello").await;
    player.next().await.expect("OPENED");
    assert_eq!(&player.answer().await.payload[..], b"hello");
    player
}

/// Sends JSON with one more header; returns status and text.
pub(crate) async fn shown(to: &Gateway, line: &str, header: &str, body: &str) -> (u16, String) {
    let (head, body) = shown_at(to.admin, line, header, body).await;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    (status.expect("a status"), body)
}

/// Sends JSON with one more header; returns the head and the body of the answer.
pub(crate) async fn shown_at(
    to: SocketAddr,
    line: &str,
    header: &str,
    body: &str,
) -> (String, String) {
    let text = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = soon(TcpStream::connect(to)).await.expect("connected");
    socket.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    soon(socket.read_to_string(&mut answer))
        .await
        .expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

/// Asks with a method, a path and a body; returns status and JSON.
pub(crate) async fn tell(to: &Gateway, line: &str, body: &str) -> (u16, Value) {
    tell_at(to.admin, line, body).await
}

/// The same of a gateway's admin API.
pub(crate) async fn tell_at(to: SocketAddr, line: &str, body: &str) -> (u16, Value) {
    let (status, text) = soon(ask(to, line, body)).await;
    let json = if text.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_str(&text)
    };
    (status, json.unwrap_or_else(|_| panic!("no JSON: {text}")))
}

/// Asks for something.
pub(crate) async fn get(to: &Gateway, path: &str) -> (u16, Value) {
    tell(to, &format!("GET {path}"), "").await
}

/// The values of a member of each entry of a list.
pub(crate) fn members<'a>(answer: &'a Value, list: &str, member: &str) -> Vec<&'a Value> {
    let list = answer[list]
        .as_array()
        .unwrap_or_else(|| panic!("no {list}: {answer}"));
    list.iter().map(|entry| &entry[member]).collect()
}
