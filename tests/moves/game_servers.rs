//! Upgrades of game servers under load: each says GOAWAY 01, has its matches moved, and is replaced.
//!
//! `game-gateway loadtest` plays: players of matches, whose frames are numbered both ways, servers that push, and the
//! final comparison of what each player has said and heard with the state that its server then has.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::play::{Players, SERVICE, Server};
use crate::stage::{Deployment, local};
use crate::support::process::Process;
use crate::support::wire::soon;

/// Long enough for a slow machine.
const DURATIONS: &str = "drain = { window = \"15s\", accept_grace = \"500ms\" }\n\
                         backend.connect_timeout = \"10s\"\nlisten.sniff_timeout = \"30s\"\n";
/// One scene at a time: two would need more than two cores.
static ALONE: Mutex<()> = Mutex::const_new(());
/// Players of a match.
const MATCH: usize = 10;

/// Returns the number of players whose sessions can be resumed; `GAME_SERVER_PLAYERS=300` asks for another one.
fn players() -> usize {
    let asked = std::env::var("GAME_SERVER_PLAYERS").ok();
    asked.map_or(150, |text| text.parse().expect("a number of players"))
}

/// Returns the number of players whose sessions cannot be resumed.
fn plain_players() -> u64 {
    players() as u64 / 6
}

fn game() -> Command {
    Command::new(env!("CARGO_BIN_EXE_game-gateway"))
}

/// A game server, in a process of its own, at an address that its successor takes over.
struct GameServer {
    address: SocketAddr,
    process: Process,
}

fn spawn(address: SocketAddr) -> Process {
    let mut server = game();
    server.args(["loadtest", "--backend-only", &address.to_string()]);
    Process::spawn(server.args(["--service", SERVICE, "--pushes", "1s"]))
}

impl GameServer {
    async fn start() -> GameServer {
        let address = local();
        let process = spawn(address);
        let server = GameServer { address, process };
        server.listens().await;
        server
    }

    async fn listens(&self) {
        soon(async {
            while TcpStream::connect(self.address).is_err() {
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }

    /// Waits until it has gone, with all of its sessions moved; returns how many.
    fn gone(&mut self) -> u64 {
        let status = self.process.wait_for_exit();
        let output = self.process.output();
        assert!(status.success(), "{output}");
        assert!(output.contains("\n0 sessions cut off\n"), "{output}");
        let (_, moved) = output.rsplit_once("moved_away: ").expect("its counters");
        let digits: String = moved.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    }

    async fn replace(&mut self) {
        self.process = spawn(self.address);
        self.listens().await;
    }
}

/// Two gateways behind HAProxy, three game servers, and all players.
struct Scene {
    deployment: Deployment,
    servers: Vec<GameServer>,
    load: Process,
    plain: Players,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    async fn start() -> Scene {
        let alone = ALONE.lock().await;
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(GameServer::start().await);
        }
        let endpoints: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
        // So a match is at one server, and goes to another one as a whole.
        let rule = json!({
            "strategy": "consistent_hash", "hash_key": "realm_id", "endpoints": endpoints,
        });
        let unused = [Server::start().await, Server::start().await];
        let rules = json!({ SERVICE: rule });
        let mut deployment = Deployment::start_with(2, unused, rules, DURATIONS);
        let address = deployment.balance().await;
        let (sessions, size) = (players().to_string(), MATCH.to_string());
        let mut load = game();
        load.args(["loadtest", "--expect-moves", "--json", "--service", SERVICE])
            .args(["--target", &address.to_string(), "--sessions", &sessions])
            .args(["--match-size", &size, "--transport", "tcp,websocket"])
            .args([
                "--connect-rate",
                "60/s",
                "--warmup",
                "0ms",
                "--think",
                "500ms",
            ])
            .args(["--duration", "10m", "--grace", "30s"]);
        let load = Process::spawn(&mut load);
        let plain = Players::start(address, 0, plain_players()).await;
        let all = players() as u64 + plain_players();
        let every = move |sessions| sessions == all;
        deployment.until_all("game_gateway_sessions", every).await;
        Scene {
            deployment,
            servers,
            load,
            plain,
            _alone: alone,
        }
    }

    /// Waits until all have played for a while.
    async fn play(&self) {
        self.plain.hear(10 * plain_players()).await;
    }

    /// Ends the load; returns its report, and that of the others.
    async fn stop(self) -> (Value, crate::play::Summary) {
        let Scene {
            mut load,
            plain,
            _alone,
            ..
        } = self;
        load.signal("INT");
        let status = load.wait_for_exit();
        let output = load.output();
        let report = output
            .lines()
            .find_map(|line| serde_json::from_str(line).ok());
        let report: Value = report.expect("its report");
        assert!(status.success(), "{report:#}");
        (report, plain.stop(&[]).await)
    }
}

/// Asserts that nothing was lost, doubled or late, that nobody was told of a gap or an error, and that every player's
/// match is as the player knows it.
fn exact(report: &Value) {
    eprintln!("{report}");
    assert_eq!(report["ok"], true, "{report:#}");
    for name in [
        "lost",
        "doubled",
        "reordered",
        "corrupted",
        "told",
        "gaps",
        "errors",
        "states_different",
    ] {
        assert_eq!(report[name], 0, "{name}: {report:#}");
    }
    assert_eq!(report["states_same"], players(), "{report:#}");
    assert_eq!(report["sent"], report["answered"]);
    assert_ne!(report["pushes"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_server_is_upgraded_and_no_player_notices() {
    let mut scene = Scene::start().await;
    let mut moved = 0;
    for number in 0..3 {
        scene.play().await;
        scene.servers[number].process.sigterm();
        moved += scene.servers[number].gone();
        scene.servers[number].replace().await;
    }
    scene.play().await;
    let sessions = players() as u64 + plain_players();
    assert!(moved >= sessions, "everybody was at one of them: {moved}");
    let (report, summary) = scene.stop().await;
    exact(&report);
    assert!(
        summary
            .plain
            .iter()
            .all(|p| (p.moves, p.told, p.cut) == (0, 0, 0)),
        "{:?}",
        summary.plain
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_upgraded_at_the_same_time() {
    let mut scene = Scene::start().await;
    scene.play().await;
    scene.deployment.places[0].process.sigterm();
    for number in 0..2 {
        scene.servers[number].process.sigterm();
        assert!(scene.servers[number].gone() > 0);
        scene.servers[number].replace().await;
    }
    let gateway = &mut scene.deployment.places[0].process;
    let status = gateway.wait_for_exit();
    assert!(status.success(), "{}", gateway.output());
    scene.deployment.replace(0).await;
    scene.play().await;
    let (report, summary) = scene.stop().await;
    exact(&report);
    assert_ne!(report["moves"], 0, "some were at that gateway");
    assert!(
        summary.plain.iter().all(|p| p.cut == 0),
        "{:?}",
        summary.plain
    );
}
