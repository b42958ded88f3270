//! Commands that somebody watches: in a terminal, without one, and on Ctrl-C.

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::address;
use support::process::Process;
use support::wire::{get, soon};
use tempfile::TempDir;

/// Timeout of a command in a terminal; only a failing test waits this long.
const DEADLINE: Duration = Duration::from_secs(60);
const PROGRAM: &str = env!("CARGO_BIN_EXE_game-gateway");

/// A command in a terminal of its own; killed when dropped.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: String,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only where it has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Terminal {
    fn start(arguments: &str) -> Terminal {
        let command = format!("stty -echo; exec {PROGRAM} {arguments}");
        let mut child = Command::new("script")
            .args(["-qfec", &command, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script");
        Terminal {
            keyboard: child.stdin.take().expect("piped"),
            screen: child.stdout.take().expect("piped"),
            child,
            shown: String::new(),
        }
    }

    /// Reads until the screen has shown this.
    fn wait_for(&mut self, text: &str) {
        let begun = Instant::now();
        let mut bytes = [0; 4096];
        while !self.shown.contains(text) {
            let read = self.screen.read(&mut bytes).expect("a screen");
            let late = begun.elapsed() > DEADLINE;
            assert!(read > 0 && !late, "no {text:?} in {}", self.shown);
            self.shown
                .push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    /// Types Ctrl-C; returns the exit code, and all that was shown.
    fn interrupt(mut self) -> (Option<i32>, String) {
        self.keyboard.write_all(b"\x03").expect("typed");
        let mut rest = Vec::new();
        // The end of a terminal is an error on Linux.
        let _ = self.screen.read_to_end(&mut rest);
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        let status = self.child.wait().expect("it ends");
        (status.code(), std::mem::take(&mut self.shown))
    }
}

/// A gateway whose service `echo` is at an address where a load test can have its backend.
struct Served {
    _gateway: Process,
    players: SocketAddr,
    admin: SocketAddr,
    backend: SocketAddr,
    _directory: TempDir,
}

fn serve() -> Served {
    let free = std::net::TcpListener::bind(address::own()).expect("a port");
    let backend = free.local_addr().expect("an address");
    drop(free);
    let directory = tempfile::tempdir().expect("a directory");
    let routes = directory.path().join("routes.json");
    let rules = format!(
        r#"{{"rules": {{"echo": {{"strategy": "round_robin", "endpoints": ["{backend}"]}}}}}}"#
    );
    std::fs::write(&routes, rules).expect("routes");
    let file = directory.path().join("gateway.toml");
    let text = format!(
        "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
         gateway.workers = 1\nroutes.file = {routes:?}\n"
    );
    std::fs::write(&file, text).expect("configuration");
    let mut command = Command::new(PROGRAM);
    let gateway = Process::spawn(command.arg("serve").arg("--config").arg(&file));
    let ready = gateway.wait_for_line("game-gateway ready: players on ");
    let (players, admin) = ready.split_once(", admin on ").expect("both addresses");
    Served {
        players: players.parse().expect("an address"),
        admin: admin.parse().expect("an address"),
        _gateway: gateway,
        backend,
        _directory: directory,
    }
}

/// Waits until players come from all of these addresses, and frames flow.
async fn until_busy(admin: SocketAddr, sources: &[&str]) {
    soon(async {
        loop {
            let (_, sessions) = get(admin, "/api/v1/sessions?limit=1000").await;
            let from = |source: &&str| sessions.contains(&format!("\"client\":\"{source}:"));
            if sources.iter().all(from) && !sessions.contains("\"frames_out\":0,") {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_load_test_prints_its_figures_on_ctrl_c() {
    let served = serve();
    let (target, backend) = (served.players.to_string(), served.backend.to_string());
    for mode in [
        &["--in-flight", "2"][..],
        &["--rate", "200"],
        &["--expect-moves"],
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(["loadtest", "--target", &target, "--with-backend", &backend]);
        command.args(["--duration", "1h", "--sessions", "4", "--json"]);
        let moves = mode.contains(&"--expect-moves");
        if !moves {
            command.args(["--bind", "127.0.0.2,127.0.0.3", "--warmup", "0s"]);
        }
        let mut test = Process::spawn(command.args(mode));
        let sources = if moves {
            &["127.0.0.1"][..]
        } else {
            &["127.0.0.2", "127.0.0.3"]
        };
        until_busy(served.admin, sources).await;
        test.signal("INT");
        let ended = tokio::task::spawn_blocking(move || (test.wait_for_exit(), test.output()));
        let (status, output) = ended.await.expect("no panic");
        assert_eq!(status.code(), Some(0), "{mode:?}: {output}");
        let json: Value = output
            .lines()
            .find_map(|line| serde_json::from_str(line).ok())
            .unwrap_or_else(|| panic!("no JSON in {output}"));
        assert_eq!(json["interrupted"], true, "{output}");
        assert!(
            json["duration_seconds"]
                .as_f64()
                .is_some_and(|s| s < 3600.0),
            "{output}"
        );
        assert!(json["answered"].as_u64() > Some(0), "{output}");
        assert_eq!(json["lost"], 0, "{output}");
    }
}

#[test]
fn a_load_test_shows_a_bar_in_a_terminal() {
    let served = serve();
    let (target, backend) = (served.players, served.backend);
    let mut terminal = Terminal::start(&format!(
        "loadtest --target {target} --with-backend {backend} --duration 1h --sessions 4 --warmup 0s"
    ));
    terminal.wait_for("measuring: 4 sessions, ");
    let (code, shown) = terminal.interrupt();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("s measured, interrupted"), "{shown}");
    assert!(shown.contains("round trips/s"), "{shown}");
}

#[test]
fn a_demo_plays_until_ctrl_c_in_a_terminal() {
    let mut terminal = Terminal::start("demo --sessions 6");
    terminal.wait_for("It plays until Ctrl-C.");
    terminal.wait_for("answers/s");
    let (code, shown) = terminal.interrupt();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("Nothing was lost"), "{shown}");
    assert!(shown.contains("admin on http://127.0.0.1:"), "{shown}");

    let mut command = Command::new(PROGRAM);
    let demo = Process::spawn(command.args(["demo", "--sessions", "3"]));
    assert_eq!(demo.wait_for_line("It plays for "), "20s, or until Ctrl-C.");
}
