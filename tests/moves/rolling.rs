//! Every gateway in turn goes: in order, by force, or only its connections.

use std::time::Duration;

use game_gateway::codec::client::{Header, Kind};
use rand::Rng;

use crate::play::{Faults, Players, Summary};
use crate::stage::Deployment;
use crate::support::wire::Player;

/// Long enough for a slow machine: a gap because of a deadline would be told, and right.
const PATIENT: &str = "backend.connect_timeout = \"10s\"\n";

/// Asserts that no session is left anywhere, and that nothing was lost, doubled or late without notice.
async fn honest(summary: &Summary, sessions: usize, deployment: &Deployment) {
    eprintln!(
        "{} sessions; moves of each, and how many: {:?}; {} gaps, {} frames that players were told of, \
         {} errors",
        summary.sessions, summary.moves, summary.gaps, summary.told, summary.errors,
    );
    assert_eq!((summary.sessions, summary.ids), (sessions, sessions as u64));
    assert_eq!(summary.faults, Faults::default());
    assert_eq!(deployment.sessions(), 0);
    for number in 0..deployment.places.len() {
        deployment
            .until(number, "game_gateway_sessions", |n| n == 0)
            .await;
    }
}

/// Asserts the same, and that no player was told of a gap or an error.
async fn exact(summary: &Summary, sessions: usize, deployment: &Deployment) {
    honest(summary, sessions, deployment).await;
    assert_eq!((summary.gaps, summary.told, summary.errors), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_upgrade_that_no_player_notices() {
    let drain = "drain = { window = \"12s\", accept_grace = \"500ms\" }\n\
                 backend.connect_timeout = \"10s\"\n";
    let mut deployment = Deployment::start(3, drain).await;
    let address = deployment.balance().await;
    let players = Players::start(address, 300, 50).await;
    players.hear(2000).await;
    for number in 0..3 {
        deployment.places[number].process.sigterm();
        let status = deployment.places[number].process.wait_for_exit();
        assert!(
            status.success(),
            "{}",
            deployment.places[number].process.output()
        );
        deployment.replace(number).await;
        players.hear(500).await;
    }
    players.hear(5000).await;
    let summary = players.stop(&deployment.servers).await;
    exact(&summary, 300, &deployment).await;
    let moved: usize = summary
        .moves
        .iter()
        .filter(|(n, _)| **n > 0)
        .map(|(_, n)| n)
        .sum();
    assert_eq!(moved, 300, "everybody was asked to go at least once");
    assert!(
        summary.plain.iter().all(|p| p.told > 0 && p.cut == 0),
        "{:?}",
        summary.plain
    );
}

/// Connects one that does not go, so that a drain lasts for its whole window.
async fn stays(deployment: &Deployment, number: usize) -> Player {
    let mut player = Player::connect_to(deployment.places[number].players).await;
    let ping = Header {
        kind: Kind::Ping as u8,
        ..Header::default()
    };
    player.send(ping, "", b"").await;
    assert!(player.next().await.is_some());
    player
}

/// A node that shuts down gives its pods 15 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_fifteen_seconds_after_sigterm() {
    let mut deployment = Deployment::start(3, PATIENT).await;
    let address = deployment.balance().await;
    let players = Players::start(address, 300, 0).await;
    players.hear(2000).await;
    let _stays = stays(&deployment, 0).await;
    deployment.places[0].process.sigterm();
    // The node's clock; nothing is waited for.
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(deployment.places[0].process.runs(), "it waits for a client");
    deployment.places[0].process.signal("KILL");
    deployment.places[0].process.wait_for_exit();
    players.hear(1000).await;
    deployment.replace(0).await;
    let summary = players.stop(&deployment.servers).await;
    exact(&summary, 300, &deployment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_upgrade_while_the_first_one_drains() {
    let drain = "drain = { window = \"12s\", accept_grace = \"500ms\" }\n\
                 backend.connect_timeout = \"10s\"\n";
    let mut deployment = Deployment::start(3, drain).await;
    let address = deployment.balance().await;
    let players = Players::start(address, 150, 0).await;
    players.hear(1000).await;
    let _stay = [stays(&deployment, 0).await, stays(&deployment, 1).await];
    // Whoever leaves the first may come to the second, and is asked again there.
    for number in [0, 1] {
        deployment.places[number].process.sigterm();
        deployment
            .until(number, "game_gateway_goaways_total", |n| n > 0)
            .await;
    }
    for number in [0, 1] {
        let status = deployment.places[number].process.wait_for_exit();
        assert!(status.success());
        deployment.renew(number);
    }
    deployment.balanced(3).await;
    players.hear(1000).await;
    let summary = players.stop(&deployment.servers).await;
    exact(&summary, 150, &deployment).await;
}

/// Where all players of three gateways fill 95% of two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_where_the_others_are_nearly_full() {
    let limits = "listen.max_connections = 79\nsession.max_suspended = 79\n\
                  backend.connect_timeout = \"10s\"\n";
    let mut deployment = Deployment::start(3, limits).await;
    let address = deployment.balance().await;
    let players = Players::start(address, 150, 0).await;
    players.hear(1000).await;
    deployment.places[0].process.sigterm();
    let status = deployment.places[0].process.wait_for_exit();
    assert!(status.success());
    players.hear(1000).await;
    deployment.replace(0).await;
    let summary = players.stop(&deployment.servers).await;
    exact(&summary, 150, &deployment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_through_the_balancer() {
    let mut deployment = Deployment::start(3, PATIENT).await;
    let address = deployment.balance().await;
    let players = Players::start(address, 60, 0).await;
    for _ in 0..12 {
        players.hear(150).await;
        let number = rand::rng().random_range(0..3);
        deployment.tell_balancer(&format!("shutdown sessions server gateways/gw{number}"));
    }
    players.hear(500).await;
    let summary = players.stop(&deployment.servers).await;
    exact(&summary, 60, &deployment).await;
    assert!(summary.moves.keys().any(|moves| *moves > 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed() {
    let mut deployment = Deployment::start(3, PATIENT).await;
    let address = deployment.balance().await;
    let players = Players::start(address, 90, 0).await;
    players.hear(1000).await;
    deployment.places[1].process.signal("KILL");
    assert!(!deployment.places[1].process.wait_for_exit().success());
    deployment.balanced(2).await;
    players.hear(2000).await;
    deployment.replace(1).await;
    players.hear(500).await;
    let summary = players.stop(&deployment.servers).await;
    honest(&summary, 90, &deployment).await;
    // Exactly the players that were there have been told.
    assert!((1..90).contains(&summary.gaps), "{}", summary.gaps);
    assert_eq!(
        summary.moves.get(&0).copied(),
        Some(90 - summary.gaps as usize)
    );
}
