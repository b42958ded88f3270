//! Players on two gateways of one deployment, of which the first goes.

use std::net::TcpListener;

use clap::Parser;

use super::*;
use crate::cli::loadtest::BackendProtocol;
use crate::cli::loadtest::echo::{Echo, Settings};
use crate::config::{self, Config, Secret};
use crate::run::{self, Running, Totals};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    loadtest: LoadtestArgs,
}

fn arguments(line: &str) -> LoadtestArgs {
    let words = ["loadtest", "--expect-moves"].into_iter();
    Line::parse_from(words.chain(line.split_whitespace())).loadtest
}

fn gateway(id: &str, players: &str, routes: &std::path::Path) -> Running {
    let mut config: Config = config::load(None, std::iter::empty()).unwrap();
    config.gateway.id = id.to_owned();
    config.gateway.workers = 1;
    config.listen.address = players.parse().unwrap();
    config.admin.address = "127.0.0.1:0".parse().unwrap();
    config.peer.address = Some("127.0.0.1:0".parse().unwrap());
    config.session.token_keys = vec![Secret::new("k".repeat(32))];
    config.drain.window = Duration::from_secs(2);
    config.drain.accept_grace = Duration::ZERO;
    config.routes.file = routes.to_owned();
    // Else backends that start after it are down until they are asked again.
    config.backend.probe_interval = Duration::ZERO;
    run::start(config).unwrap()
}

#[test]
fn players_move_when_their_gateway_goes() {
    let any = "127.0.0.1:0".parse().unwrap();
    let backend = Echo::start(any, &Settings::of(BackendProtocol::Link)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let routes = directory.path().join("routes.json");
    let rules = format!(
        r#"{{"rules":{{"echo":{{"strategy":"round_robin","endpoints":["{}"]}}}}}}"#,
        backend.address
    );
    std::fs::write(&routes, rules).unwrap();
    let (first, second) = (
        gateway("gw-a", "127.0.0.1:0", &routes),
        gateway("gw-b", "127.0.0.1:0", &routes),
    );
    // A minimal load balancer: connections go to the first gateway while it accepts new ones, then to
    // the second.
    let balancer = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = balancer.local_addr().unwrap();
    let moved = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (before, after, gone) = (first.players, second.players, Arc::clone(&moved));
    std::thread::spawn(move || {
        for client in balancer.incoming().flatten() {
            let gone = gone.load(std::sync::atomic::Ordering::Acquire);
            let to = if gone { after } else { before };
            let server = std::net::TcpStream::connect(to).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    let line = format!(
        "--target {target} --sessions 20 --transport tcp,websocket --think 5ms --duration 4s \
         --warmup 0ms --connect-rate 1000/s"
    );
    let args = arguments(&line);
    let load = std::thread::spawn(move || drive(&args));
    let all_play = |totals: Totals| totals.sessions == 20 && totals.client_frames_in >= 200;
    while !all_play(first.totals()) {
        std::thread::yield_now();
    }
    moved.store(true, std::sync::atomic::Ordering::Release);
    first.drain();
    first.wait().unwrap();
    let report = load.join().unwrap().unwrap();
    assert!(report.ok, "{report}");
    assert_eq!(
        (report.started, report.moves, report.gaps),
        (20, 20, 0),
        "{report}"
    );
    assert_eq!(report.sent, report.answered);
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["moves_per_session"]["max"], 1.0);
    assert!(json["longest_silence_ms"]["max"].as_f64().unwrap() > 0.0);
    assert!(report.to_string().ends_with("ok"), "{report}");
}

#[test]
fn backends_are_upgraded_in_turn() {
    // Both at once, so that they are not the same.
    let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [one, two] = free.map(|listener| listener.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let routes = directory.path().join("routes.json");
    let rules = format!(
        r#"{{"rules":{{"echo":{{"strategy":"consistent_hash","hash_key":"realm_id","endpoints":["{one}","{two}"]}}}}}}"#
    );
    std::fs::write(&routes, rules).unwrap();
    let gateway = gateway("gw-a", "127.0.0.1:0", &routes);
    let line = format!(
        "--target {} --with-backend {one},{two} --sessions 20 --match-size 5 --pushes 20ms \
         --transport tcp,websocket --think 20ms --duration 3s --warmup 0ms --connect-rate 1000/s \
         --grace 30s",
        gateway.players
    );
    let report = drive(&arguments(&line)).unwrap();
    assert!(report.ok, "{report}");
    let upgraded = (report.backend_upgrades, report.backend_cut_off);
    assert_eq!(upgraded, (2, 0), "{report}");
    assert_eq!((report.states_same, report.states_different), (20, 0));
    assert_eq!((report.moves, report.errors, report.told), (0, 0, 0));
    gateway.drain();
    gateway.wait().unwrap();
}

#[test]
fn sessions_that_never_began_are_a_failure() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = nobody.local_addr().unwrap();
    drop(nobody);
    let line = format!("--target {target} --sessions 2 --duration 1ms --warmup 0ms --grace 1ms");
    let report = drive(&arguments(&line)).unwrap();
    assert!(!report.ok, "{report}");
    assert_eq!((report.started, report.answered), (0, 0));
}

#[test]
fn a_session_over_http_does_not_move() {
    let error = drive(&arguments("--transport tcp,http")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("--expect-moves: not supported over HTTP"),
        "{error}"
    );
}
