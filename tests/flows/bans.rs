//! Bans at run time: who is shut out, who is ended, and who stays.

use game_gateway::codec::client::{Header, Kind};
use game_gateway::codec::link::{self, Bind};
use serde_json::Value;

use crate::scene::{Scene, data};
use crate::stage::echo;
use crate::support::wire::{Backend, Gateway, Player};

const BANNED: &str = "game_gateway_closed_connections_total{reason=\"banned\"}";

fn user(user_id: u64) -> Header {
    Header {
        user_id,
        ..Header::default()
    }
}

fn numbers(ban: &Value) -> (u64, u64) {
    let number = |name: &str| ban[name].as_u64().expect("a number");
    (number("refusals"), number("ended_sessions"))
}

async fn echoing(change: impl FnOnce(&mut game_gateway::config::Config)) -> Gateway {
    let backend = Backend::start().await;
    let routes = backend.routes();
    echo(backend);
    Gateway::start_with(&routes, change).await
}

/// A player of this user who has got an answer.
async fn playing(gateway: &Gateway, user_id: u64) -> Player {
    let mut player = Player::connect(gateway).await;
    player.send(user(user_id), "game", b"hello").await;
    player.answer().await;
    player
}

#[tokio::test]
async fn a_banned_address_is_shut_out_and_who_is_there_ends() {
    let mut scene = Scene::start().await;
    let mut idle = Player::connect(&scene.gateway).await;
    scene
        .gateway
        .until("game_gateway_connections", |n| n == 2)
        .await;
    let ban = scene
        .gateway
        .ban(r#"{"address": "127.0.0.1", "reason": "flood"}"#)
        .await;
    assert_eq!(
        (&ban["id"], &ban["address"]),
        (&"127.0.0.1".into(), &"127.0.0.1".into())
    );
    assert_eq!(numbers(&ban), (0, 1));
    assert_eq!(scene.player.closed().await.0, 440);
    assert_eq!(scene.a.closed().await, (scene.id, 440));
    assert_eq!(scene.b.closed().await, (scene.id, 440));
    assert_eq!(idle.next().await, None, "nothing is sent");
    let mut next = Player::connect(&scene.gateway).await;
    assert_eq!(next.next().await, None, "nothing is sent");
    scene.gateway.until(BANNED, |n| n == 3).await;
    // The operator has the same address.
    let ban = scene.gateway.only_ban().await;
    assert_eq!((numbers(&ban), &ban["reason"]), ((1, 1), &"flood".into()));
    for (name, expected) in [
        ("game_gateway_bans", 1),
        ("game_gateway_ban_refusals_total", 1),
        ("game_gateway_ban_ended_sessions_total", 1),
        ("game_gateway_connections", 0),
        ("game_gateway_sessions", 0),
    ] {
        scene.gateway.until(name, |n| n == expected).await;
    }
    scene.gateway.unban("127.0.0.1").await;
    let mut again = Player::connect(&scene.gateway).await;
    again.data("a", b"again").await;
    scene.a.opened().await;
    assert_eq!(&scene.a.data().await.payload[..], b"again");
}

#[tokio::test]
async fn a_ban_that_is_over_is_as_if_it_had_not_been() {
    let gateway = echoing(|_| ()).await;
    let ban = gateway
        .ban(r#"{"address": "127.0.0.0/8", "for": "100ms"}"#)
        .await;
    assert_eq!(ban["id"], "127.0.0.0-8");
    gateway.until("game_gateway_bans", |n| n == 0).await;
    playing(&gateway, 0).await;
}

#[tokio::test]
async fn networks_are_those_of_the_players_not_of_their_balancer() {
    let gateway = echoing(|config| {
        config.listen.proxy_protocol_from = "127.0.0.0/8".parse().expect("networks");
        config.gateway.workers = 2;
    })
    .await;
    let proxied = async |source: &str| {
        let mut player = Player::connect(&gateway).await;
        let family = if source.contains(':') { "TCP6" } else { "TCP4" };
        let to = if source.contains(':') {
            "::1"
        } else {
            "10.0.0.1"
        };
        let header = format!("PROXY {family} {source} {to} 4711 7000\r\n");
        player
            .raw(&[header.into_bytes(), data("game", b"hello")].concat())
            .await;
        player
    };
    for (network, of_it, next, other) in [
        ("192.0.2.0/24", "192.0.2.9", "192.0.2.200", "192.0.3.1"),
        (
            "192.0.2.0/24",
            "::ffff:192.0.2.9",
            "::ffff:192.0.2.7",
            "::192.0.2.9",
        ),
        (
            "::ffff:198.51.100.7",
            "198.51.100.7",
            "::ffff:198.51.100.7",
            "198.51.100.8",
        ),
        (
            "2001:db8:0:1::/64",
            "2001:db8:0:1::7",
            "2001:db8:0:1:ffff::1",
            "2001:db8:0:2::7",
        ),
        (
            "2001:db8:0:1::7",
            "2001:db8:0:1::7",
            "2001:db8:0:1::7",
            "2001:db8:0:1::8",
        ),
    ] {
        let mut there = proxied(of_it).await;
        there.answer().await;
        let mut stays = proxied(other).await;
        stays.answer().await;
        let ban = gateway.ban(&format!(r#"{{"address": "{network}"}}"#)).await;
        assert_eq!(numbers(&ban).1, 1, "{network}");
        assert_eq!(there.closed().await.0, 440, "{network}");
        let mut denied = proxied(next).await;
        assert_eq!(denied.next().await, None, "{network}: nothing is sent");
        stays.data("game", b"still").await;
        assert_eq!(&stays.answer().await.payload[..], b"still");
        proxied(other).await.answer().await;
        gateway.unban(ban["id"].as_str().expect("an id")).await;
        proxied(next).await.answer().await;
    }
    // The balancer's own address is nobody's.
    let mut there = proxied("192.0.2.9").await;
    there.answer().await;
    let ban = gateway.ban(r#"{"address": "127.0.0.0/8"}"#).await;
    assert_eq!(numbers(&ban), (0, 0));
    there.data("game", b"still").await;
    there.answer().await;
    proxied("192.0.2.9").await.answer().await;
    // Also where it names itself, as for a health check; another address of these networks is a player's.
    proxied("127.0.0.1").await.answer().await;
    assert_eq!(proxied("127.0.0.2").await.next().await, None);
}

#[tokio::test]
async fn a_banned_user_neither_stays_nor_begins() {
    let gateway = echoing(|config| config.gateway.workers = 3).await;
    let mut his = Vec::new();
    for _ in 0..12 {
        his.push(playing(&gateway, 4711).await);
    }
    let mut other = playing(&gateway, 4712).await;
    let mut nobody = playing(&gateway, 0).await;
    let ban = gateway.ban(r#"{"user_id": "4711"}"#).await;
    assert_eq!((&ban["id"], numbers(&ban)), (&"user-4711".into(), (0, 12)));
    for player in &mut his {
        assert_eq!(player.closed().await.0, 440);
    }
    let mut next = Player::connect(&gateway).await;
    next.send(user(4711), "game", b"hello").await;
    assert_eq!(next.closed().await.0, 440);
    for player in [&mut other, &mut nobody] {
        player.data("game", b"still").await;
        player.answer().await;
    }
    // Who claims to be him later is he.
    other.send(user(4711), "game", b"hello").await;
    assert_eq!(other.closed().await.0, 440);
    assert_eq!(numbers(&gateway.only_ban().await), (2, 12));
    gateway.until("game_gateway_sessions", |n| n == 1).await;
    // What came before goes its way.
    nobody
        .raw(
            &[
                data("game", b"before"),
                crate::support::frames::encoded(user(4711), "game", b"x"),
            ]
            .concat(),
        )
        .await;
    let mut kinds = Vec::new();
    while let Some(frame) = nobody.next().await {
        kinds.push(frame.header.kind);
    }
    assert_eq!(kinds.last(), Some(&(Kind::Close as u8)), "{kinds:?}");
}

#[tokio::test]
async fn a_bind_to_a_banned_user_ends_the_session_on_all_backends() {
    let mut scene = Scene::start().await;
    scene.gateway.ban(r#"{"user_id": "42"}"#).await;
    let bind = |user_id| {
        Bind {
            user_id,
            realm_id: 0,
        }
        .encode()
    };
    scene.a.send(link::Kind::Bind, scene.id, &bind(41)).await;
    assert_eq!(
        scene.b.next().await.expect("BOUND").kind,
        link::Kind::Bound as u8
    );
    // Bound to another one, his name is a contradiction and no more.
    scene.player.send(user(42), "a", b"hello").await;
    assert_eq!(scene.player.error().await.0, 403);
    scene.unharmed().await;
    scene.b.send(link::Kind::Bind, scene.id, &bind(42)).await;
    assert_eq!(scene.player.closed().await.0, 440);
    assert_eq!(scene.a.closed().await, (scene.id, 440));
    assert_eq!(scene.b.closed().await, (scene.id, 440));
    assert_eq!(numbers(&scene.gateway.only_ban().await), (1, 0));
}

#[tokio::test]
async fn whom_a_backend_has_bound_is_no_longer_who_he_claims_to_be() {
    let mut scene = Scene::start().await;
    scene.player.send(user(41), "a", b"hello").await;
    scene.a.data().await;
    let bind = Bind {
        user_id: 42,
        realm_id: 0,
    };
    scene
        .a
        .send(link::Kind::Bind, scene.id, &bind.encode())
        .await;
    assert_eq!(
        scene.b.next().await.expect("BOUND").kind,
        link::Kind::Bound as u8
    );
    assert_eq!(
        numbers(&scene.gateway.ban(r#"{"user_id": "41"}"#).await).1,
        0
    );
    scene.unharmed().await;
    assert_eq!(
        numbers(&scene.gateway.ban(r#"{"user_id": "42"}"#).await).1,
        1
    );
    assert_eq!(scene.player.closed().await.0, 440);
}

#[tokio::test]
async fn nobody_slips_in_while_bans_come_and_go() {
    let gateway = echoing(|config| config.gateway.workers = 2).await;
    for round in 0..20 {
        let newcomers = async {
            let mut players = Vec::new();
            for _ in 0..8 {
                let mut player = Player::connect(&gateway).await;
                player.send(user(7), "game", b"hello").await;
                players.push(player);
            }
            players
        };
        let (mut players, ban) = tokio::join!(newcomers, gateway.ban(r#"{"user_id": "7"}"#));
        for player in &mut players {
            // An answer where it was quicker than the ban, and then CLOSE all the same.
            let mut last = player.next().await;
            if last
                .as_ref()
                .is_some_and(|f| f.header.kind == Kind::Data as u8)
            {
                last = player.next().await;
            }
            let kind = last.map(|frame| frame.header.kind);
            assert_eq!(kind, Some(Kind::Close as u8), "round {round}: {ban}");
        }
        gateway.unban("user-7").await;
    }
    gateway.until("game_gateway_sessions", |n| n == 0).await;
}
