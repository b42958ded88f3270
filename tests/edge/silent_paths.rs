//! Paths that die without a word: packets are dropped, and nobody gets FIN or RST.

use std::time::Duration;

use game_gateway::codec::client::FLAG_RESUMABLE;
use game_gateway::codec::client::Header;
use game_gateway::codec::link::Kind;
use game_gateway::config::Config;

use crate::scene::{closed, scripted};
use crate::support::namespace::{alone, cut};
use crate::support::wire::{Backend, Gateway, Link, Player};

/// Soon, and nothing of the gateway's own notices before it.
fn soon_dead(config: &mut Config) {
    config.listen.dead_after = Duration::from_secs(1);
    config.backend.ping_interval = Duration::from_secs(600);
}

/// A resumable session, and all that it needs.
async fn session() -> (Gateway, Backend, Link, Player, u64) {
    let (gateway, backend) = scripted(soon_dead).await;
    let mut player = Player::connect(&gateway).await;
    let header = Header {
        flags: FLAG_RESUMABLE,
        ..Header::default()
    };
    player.send(header, "game", b"hello").await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    (gateway, backend, link, player, id)
}

/// Cuts a player's path; then the backend hears that its session is suspended.
async fn suspended(talk: bool) {
    let (gateway, _backend, mut link, player, id) = session().await;
    cut(player.local_port());
    if talk {
        link.send(Kind::Data, id, b"into the void").await;
    }
    let frame = link.next().await.expect("SUSPEND");
    assert_eq!(
        (frame.kind, frame.session_id),
        (Kind::Suspend as u8, id),
        "{frame:?}"
    );
    assert_eq!(gateway.metric(&closed("failed")).await, 1);
}

#[test]
fn of_a_player_that_is_idle() {
    alone("silent_paths::of_a_player_that_is_idle", || {
        suspended(false)
    });
}

#[test]
fn of_a_player_while_it_is_sent_something() {
    alone(
        "silent_paths::of_a_player_while_it_is_sent_something",
        || suspended(true),
    );
}

#[test]
fn of_a_link_that_is_idle() {
    alone("silent_paths::of_a_link_that_is_idle", || async {
        let (gateway, backend, _link, mut player, _) = session().await;
        cut(backend.address.port());
        player.until_error(502).await;
        let lost = "game_gateway_ended_links_total{reason=\"io_error\"}";
        gateway.until(lost, |n| n == 1).await;
    });
}

#[test]
fn of_a_link_that_is_talked_to() {
    alone("silent_paths::of_a_link_that_is_talked_to", || async {
        let (gateway, backend, _link, mut player, _) = session().await;
        cut(backend.address.port());
        player.data("game", b"into the void").await;
        player.until_error(502).await;
        let lost = "game_gateway_ended_links_total{reason=\"io_error\"}";
        gateway.until(lost, |n| n == 1).await;
    });
}
