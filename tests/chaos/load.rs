//! Players in processes of their own: `game-gateway loadtest`, each with one frame under way, on a deployment of
//! gateways.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::snapshot::{Snapshot, memory_kib, status_kib};
use crate::stage::size;
use crate::support::process::Process;
use crate::support::redis::free_port;
use crate::support::wire::{DEADLINE, get, metric};

/// Gateways, and a service that echoes, in a process of its own.
pub(crate) struct Fleet {
    pub(crate) deployment: Deployment,
    /// Of each gateway, when all of its links are there and nobody plays.
    before: Vec<Snapshot>,
    _echo: Process,
}

/// The service that echoes.
pub(crate) const SERVICE: &str = "echo";

impl Fleet {
    pub(crate) async fn start(gateways: usize, config: &str) -> Fleet {
        // Links are there for those who play, so that their number is known.
        let config = format!("backend.probe_interval = \"0s\"\n{config}");
        let deployment = Deployment::start(gateways, &config).await;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut echo = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
        echo.args(["loadtest", "--backend-only", &address.to_string()]);
        let echo = Process::spawn(&mut echo);
        deployment.add_service(SERVICE, address).await;
        let mut fleet = Fleet {
            deployment,
            before: Vec::new(),
            _echo: echo,
        };
        for number in 0..gateways {
            let address = fleet.players(number);
            // One that has no answer in time is followed by another.
            while Load::start(address, 1, &["--duration=100ms"]).report()["answered"] == 0 {}
            fleet.none(number, "game_gateway_connections").await;
            let place = &fleet.deployment.places[number];
            let mut before = Snapshot::take(place.admin, place.process.id()).await;
            // Gateways keep their connections to each other.
            before.files += 2 * (gateways - 1);
            fleet.before.push(before);
        }
        fleet
    }

    /// Where players reach a gateway.
    pub(crate) fn players(&self, number: usize) -> SocketAddr {
        self.deployment.places[number].players
    }

    /// Waits until a metric of a gateway has this value at least.
    pub(crate) async fn at_least(&self, number: usize, name: &str, value: usize) {
        patiently(async {
            while self.metric(number, name).await < value {
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }

    /// Waits until a gauge of a gateway is 0.
    pub(crate) async fn none(&self, number: usize, gauge: &str) {
        patiently(async {
            while self.metric(number, gauge).await > 0 {
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }

    /// Waits until so many players have sent a second frame, so that each has heard that its session can be resumed.
    pub(crate) async fn play(&self, players: usize) {
        let places = &self.deployment.places;
        patiently(async {
            let mut all = 0;
            while all < players {
                // It is cheaper to ask whether that can be so.
                let mut frames = 0;
                for number in 0..places.len() {
                    frames += self
                        .metric(number, "game_gateway_client_in_frames_total")
                        .await;
                }
                all = 0;
                for place in places.iter().filter(|_| frames >= 2 * players) {
                    all += begun(place.admin).await;
                }
            }
        })
        .await;
    }

    /// Returns a metric of a gateway, over all its labels.
    pub(crate) async fn metric(&self, number: usize, name: &str) -> usize {
        let (_, body) = get(self.deployment.places[number].admin, "/metrics").await;
        metric(&body, name) as usize
    }

    /// Waits until a gateway has sent its players so many frames more.
    pub(crate) async fn goes_on(&self, number: usize, frames: usize) {
        let sent = "game_gateway_client_out_frames_total";
        let goal = self.metric(number, sent).await + frames;
        self.at_least(number, sent, goal).await;
    }

    /// Waits until gateways, of which none was replaced, are what they were, and prints their memory.
    pub(crate) async fn unharmed(&self, case: &str, gateways: &[usize]) {
        for &number in gateways {
            let place = &self.deployment.places[number];
            let process = place.process.id();
            self.before[number].comes_back(place.admin, process).await;
            assert_eq!(get(place.admin, "/health").await.0, 200);
            let (now_kib, peak_kib) = (memory_kib(process), status_kib(process, "VmHWM:"));
            println!("{case}: gateway {number}: memory {now_kib} KiB, {peak_kib} at the most");
        }
    }
}

/// Waits for what must happen, for longer where cases have their full size.
async fn patiently(what: impl Future<Output = ()>) {
    let deadline = DEADLINE * size(1, 8) as u32;
    let waited = tokio::time::timeout(deadline, what).await;
    waited.expect("what must happen has not happened");
}

/// Counts the sessions with more frames than their first.
async fn begun(admin: SocketAddr) -> usize {
    let (mut count, mut path) = (0, "/api/v1/sessions?limit=1000".to_owned());
    loop {
        let (status, body) = get(admin, &path).await;
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).expect("JSON");
        let sessions = page["sessions"].as_array().expect("sessions").iter();
        count += sessions
            .filter(|s| s["frames_in"].as_u64() > Some(1))
            .count();
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/sessions?limit=1000&cursor={cursor}"),
            None => return count,
        }
    }
}

/// A process of players.
pub(crate) struct Load(Process);

impl Load {
    /// Starts so many resumable players, each with one frame under way and a second between its frames.
    pub(crate) fn start(at: SocketAddr, players: usize, more: &[&str]) -> Load {
        let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
        command.args(["loadtest", "--expect-moves", "--json", "--service", SERVICE]);
        command.args([
            "--target",
            &at.to_string(),
            "--sessions",
            &players.to_string(),
        ]);
        let rate = format!("--connect-rate={}/s", size(300, 1000));
        command.args(["--think=1s", "--warmup=0s", "--grace=20s"]);
        if !more
            .iter()
            .any(|option| option.starts_with("--connect-rate"))
        {
            command.arg(rate);
        }
        Load(Process::spawn(command.args(more)))
    }

    /// Ends it, and returns what its players have seen.
    pub(crate) fn end(self) -> Value {
        self.0.signal("TERM");
        self.report()
    }

    /// Returns what its players have seen when it has ended.
    fn report(mut self) -> Value {
        self.0.wait_for_exit();
        let output = self.0.output();
        let report = output.lines().find(|line| line.starts_with('{'));
        serde_json::from_str(report.expect(&output)).expect("JSON")
    }
}

/// Asserts that players have lost nothing, that nothing was doubled or late, and that no session ended early, with
/// 410 for example.
pub(crate) fn exact(report: &Value) {
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(
        (&report["gaps"], &report["errors"]),
        (&json!(0), &json!(0)),
        "{report}"
    );
}
