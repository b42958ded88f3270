//! Counters that add up.

use std::net::SocketAddr;

use game_gateway::codec::client::{Header, Kind};
use tokio::net::TcpSocket;

use crate::stage::{echo, player};
use crate::support::wire::{Backend, Gateway, Player, ask, soon};

/// Connects from this address of the loopback network.
async fn connect_from(gateway: &Gateway, address: &str) -> Player {
    let socket = TcpSocket::new_v4().expect("a socket");
    let own = SocketAddr::new(address.parse().expect("an address"), 0);
    socket.bind(own).expect("bound");
    Player::over(
        soon(socket.connect(gateway.players))
            .await
            .expect("connected"),
    )
}

#[tokio::test]
async fn what_is_accepted_is_open_or_counted_as_closed() {
    let backend = Backend::start().await;
    let routes = backend.routes();
    echo(backend);
    let gateway = Gateway::start_with(&routes, |config| {
        config.limits.deny = "127.0.0.2/32".parse().expect("networks");
        config.listen.max_connections = 2;
    })
    .await;
    gateway.ban(r#"{"address": "127.0.0.3"}"#).await;
    let mut first = player(&gateway, "game", b"1").await;
    first.answer().await;
    let _second = Player::connect(&gateway).await;
    gateway.until("game_gateway_connections", |n| n == 2).await;
    // Denied, banned, and one too many.
    for address in ["127.0.0.2", "127.0.0.3", "127.0.0.2"] {
        assert_eq!(connect_from(&gateway, address).await.next().await, None);
    }
    let mut full = player(&gateway, "game", b"2").await;
    assert_eq!(full.closed().await.0, 503);
    let adds_up = async |accepted: u64, connections: u64| {
        gateway
            .until("game_gateway_connections", |n| n == connections)
            .await;
        let count = async |name| gateway.metric(name).await;
        assert_eq!(
            count("game_gateway_accepted_connections_total").await,
            accepted
        );
        let closed = count("game_gateway_closed_connections_total").await;
        assert_eq!(closed + connections, accepted);
    };
    adds_up(6, 2).await;
    // Ends of other kinds: a broken frame, an HTTP request, the player's own.
    drop(first);
    adds_up(6, 1).await;
    let mut broken = Player::connect(&gateway).await;
    broken
        .raw(b"\xa7\x47\x09............................")
        .await;
    assert_eq!(broken.closed().await.0, 400);
    drop(broken);
    adds_up(7, 1).await;
    assert_eq!(ask(gateway.players, "POST /game", "hello").await.0, 200);
    adds_up(8, 1).await;
    let mut last = player(&gateway, "game", b"3").await;
    last.answer().await;
    let close = Header {
        kind: Kind::Close as u8,
        ..Header::default()
    };
    last.send(close, "", &[0; 6]).await;
    assert_eq!(last.next().await, None);
    drop(last);
    adds_up(9, 1).await;
}
