//! A great many players whose connections are cut at once, whose gateway is gone, or has to go.

use std::time::{Duration, Instant};

use crate::load::{Fleet, Load, SERVICE, exact};
use crate::stage::{alone, size};
use crate::support::authority::Authority;
use crate::support::namespace::{cut, mend, reset};
use crate::support::wire::Player;

const SESSIONS: &str = "game_gateway_sessions";
const RESUMED: &str = "game_gateway_resumed_sessions_total{how=\"exact\"}";

/// For longer than any of these cases takes.
const ENDLESS: &str = "--duration=10m";
/// From SIGTERM to SIGKILL.
const NODE: Duration = Duration::from_secs(15);

/// Nobody gets 410, and nobody has a gap.
#[test]
fn everybody_for_five_seconds() {
    alone("cuts::everybody_for_five_seconds", || async {
        let players = size(2000, 20_000);
        let fleet = Fleet::start(2, "").await;
        let half = players / 2;
        let loads = [0, 1].map(|n| Load::start(fleet.players(n), half, &[ENDLESS]));
        fleet.play(players).await;
        for n in [0, 1] {
            reset(fleet.players(n).port());
        }
        // The length of the outage; nothing is waited for.
        tokio::time::sleep(Duration::from_secs(5)).await;
        mend();
        // On a busy machine some have nothing to say for so long, and do not notice. The others have until the end.
        for n in [0, 1] {
            fleet.at_least(n, RESUMED, half * 9 / 10).await;
        }
        for report in loads.map(Load::end) {
            exact(&report);
            let silence = &report["longest_silence_ms"];
            println!("{half} of {players} players cut for 5 s: longest silence, ms: {silence}");
        }
        fleet.unharmed("cut for 5 s", &[0, 1]).await;
    });
}

/// Nobody is silent for longer than 15 s, of which 10 are the client's own clock; and each is told of a gap once.
#[test]
fn a_gateway_that_nobody_reaches() {
    alone("cuts::a_gateway_that_nobody_reaches", || async {
        let players = 1000;
        let mut fleet = Fleet::start(2, "").await;
        let address = fleet.deployment.balance().await;
        let load = Load::start(address, players, &[ENDLESS]);
        fleet.play(players).await;
        let place = &fleet.deployment.places[0];
        // Packets to and from it are dropped, whoever they are for.
        for end in [place.players, place.peer, place.admin] {
            cut(end.port());
        }
        fleet.at_least(1, SESSIONS, players).await;
        mend();
        fleet.none(0, SESSIONS).await;
        let report = load.end();
        assert_eq!(report["ok"], true, "{report}");
        assert_eq!(report["gaps"], report["moves"], "{report}");
        let silence = &report["longest_silence_ms"];
        println!("{players} players, a gateway of two cut off: longest silence, ms: {silence}");
        // Twice the bound, for a busy machine.
        assert!(silence["max"].as_f64() < Some(30_000.0), "{report}");
        fleet
            .unharmed("a gateway that nobody reaches", &[0, 1])
            .await;
    });
}

/// A node that shuts down gives its pods 15 s: by then everybody has moved.
#[test]
fn a_gateway_that_is_killed_fifteen_seconds_after_sigterm() {
    let name = "cuts::a_gateway_that_is_killed_fifteen_seconds_after_sigterm";
    alone(name, || async {
        let players = size(600, 3000);
        let mut fleet = Fleet::start(3, "").await;
        let address = fleet.deployment.balance().await;
        let load = Load::start(address, players, &[ENDLESS]);
        fleet.play(players).await;
        let process = &mut fleet.deployment.places[0].process;
        process.sigterm();
        let start = Instant::now();
        // The node's clock; it is empty and gone before.
        while process.runs() && start.elapsed() < NODE {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = start.elapsed().as_millis();
        if process.runs() {
            process.signal("KILL");
        }
        process.wait_for_exit();
        fleet.deployment.replace(0).await;
        let report = load.end();
        exact(&report);
        let silence = &report["longest_silence_ms"];
        let moves = &report["moves"];
        println!(
            "{players} players, {moves} moved in {took} ms from SIGTERM on: longest silence, ms: {silence}"
        );
        fleet.unharmed("SIGTERM and SIGKILL", &[1, 2]).await;
    });
}

/// Where all players of three gateways fill 95% of two, and come to them as fast as 95% of what they take.
#[test]
fn an_upgrade_with_every_limit_nearly_reached() {
    alone(
        "cuts::an_upgrade_with_every_limit_nearly_reached",
        || async {
            let authority = Authority::new();
            let issued = authority.issue("players", "IP:127.0.0.1");
            let limits = format!(
                "listen.max_connections = 79\nsession.max_suspended = 79\n\
                 listen.tls = {{ certificate = {:?}, key = {:?}, max_handshakes = 26, \
                 max_handshakes_per_second = 26 }}\n\
                 backend.connect_timeout = \"10s\"\n\
                 limits = {{ connections_per_ip = 79, connections_per_second_per_ip = 26, \
                 new_sessions_per_second = 26, frames_per_second = 3 }}\n",
                issued.certificate, issued.key
            );
            let mut fleet = Fleet::start(3, &limits).await;
            let address = fleet.deployment.balance().await;
            let ca = format!("--ca={}", authority.ca().display());
            let load = [ENDLESS, "--connect-rate=30/s", "--tls", &ca];
            let load = Load::start(address, 150, &load);
            fleet.play(150).await;
            fleet.deployment.places[0].process.sigterm();
            let status = fleet.deployment.places[0].process.wait_for_exit();
            assert!(status.success());
            for n in [1, 2] {
                fleet.at_least(n, SESSIONS, 71).await;
            }
            fleet.deployment.replace(0).await;
            let report = load.end();
            exact(&report);
            let (moves, silence) = (&report["moves"], &report["longest_silence_ms"]);
            println!(
                "150 players where limits are 95% reached, {moves} moved: longest silence, ms: {silence}"
            );
            fleet.unharmed("nearly full", &[1, 2]).await;
        },
    );
}

/// Has players who do not read hold so many bytes of a gateway's budget.
async fn hold(fleet: &Fleet, number: usize, bytes: usize) -> Vec<Player> {
    const FRAMES: usize = 40;
    let came = "game_gateway_link_in_frames_total";
    let mut stalled = Vec::new();
    while fleet.metric(number, "game_gateway_memory_held_bytes").await < bytes {
        let goal = fleet.metric(number, came).await + FRAMES;
        let mut player = Player::connect_narrow(fleet.players(number)).await;
        for _ in 0..FRAMES {
            player.data(SERVICE, &[7; 16 * 1024]).await;
        }
        fleet.at_least(number, came, goal).await;
        stalled.push(player);
    }
    stalled
}

/// At 95% of where new sessions are refused, which is 88%: from 75% of the budget on some may have to be told of a gap,
/// from 81% on who does not read is not read either.
#[test]
fn an_upgrade_where_memory_is_nearly_full() {
    const LIMIT: usize = 64 << 20;
    alone("cuts::an_upgrade_where_memory_is_nearly_full", || async {
        let mut fleet = Fleet::start(2, "limits.memory = \"64MiB\"\n").await;
        let stalled = hold(&fleet, 1, LIMIT * 84 / 100).await;
        let address = fleet.deployment.balance().await;
        let load = Load::start(address, 200, &[ENDLESS]);
        fleet.play(200).await;
        fleet.deployment.places[0].process.sigterm();
        let status = fleet.deployment.places[0].process.wait_for_exit();
        assert!(status.success());
        let held = fleet.metric(1, "game_gateway_memory_held_bytes").await;
        fleet.deployment.replace(0).await;
        let report = load.end();
        assert_eq!(report["ok"], true, "{report}");
        let percent = held * 100 / LIMIT;
        let (moves, gaps) = (&report["moves"], &report["gaps"]);
        println!(
            "200 players, {percent}% of memory held by {} who do not read: {moves} moved, {gaps} gaps",
            stalled.len()
        );
        drop(stalled);
        fleet.unharmed("memory nearly full", &[1]).await;
    });
}
