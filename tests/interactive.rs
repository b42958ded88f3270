//! Commands that somebody watches: in a terminal, without one, and on Ctrl-C.

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::address;
use support::process::Process;
use support::redis::RedisServer;
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
        Terminal::sized(arguments, 80, 24)
    }

    fn sized(arguments: &str, columns: u16, rows: u16) -> Terminal {
        let command = format!("stty -echo cols {columns} rows {rows}; exec {PROGRAM} {arguments}");
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

    /// Types keys, and forgets what was shown before.
    fn press(&mut self, keys: &str) {
        self.shown.clear();
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    /// Sends the program a signal.
    fn signal(&self, name: &str) {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let program = children.expect("children").trim().to_owned();
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(program)
            .status();
        assert!(sent.expect("kill").success());
    }

    /// Types Ctrl-C; returns the exit code, and all that was shown.
    fn interrupt(mut self) -> (Option<i32>, String) {
        self.keyboard.write_all(b"\x03").expect("typed");
        self.end()
    }

    /// Waits for the end; returns the exit code, and all that was shown.
    fn end(mut self) -> (Option<i32>, String) {
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
    serve_on("127.0.0.1:0")
}

fn serve_on(admin: &str) -> Served {
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
        "listen.address = \"127.0.0.1:0\"\nadmin.address = \"{admin}\"\n\
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

/// What takes a terminal back from the program's screen.
const RESTORED: &str = "\x1b[?1049l";

#[test]
fn top_shows_a_gateway_and_restores_the_terminal_however_it_ends() {
    let served = serve();
    let watch = || {
        let mut top = Terminal::start(&format!("top --url http://{} --interval 1", served.admin));
        // Single words: what stays the same between two frames, such as a space, is not drawn again.
        top.wait_for("serving");
        top
    };
    let mut top = watch();
    top.press("2");
    top.wait_for("ENDPOINT");
    top.press("/nobody");
    top.wait_for("none");
    top.press("\x1b");
    top.wait_for("reverse");
    top.press("?");
    top.wait_for("around");
    for ended in [
        top.interrupt(),
        {
            let mut top = watch();
            top.press("q");
            top.end()
        },
        {
            let top = watch();
            top.signal("TERM");
            top.end()
        },
    ] {
        let (code, shown) = ended;
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.contains(RESTORED), "{shown:?}");
    }
    let mut top = watch();
    // The key of a fault that the program has only in tests.
    top.press("!");
    let (code, shown) = top.end();
    assert_eq!(code, Some(101), "{shown}");
    let (_, message) = shown.split_once(RESTORED).expect("restored");
    assert!(message.contains("fault injection"), "{shown:?}");
}

/// Whoever sits at a terminal is shown what would change, and asked; anything but yes is no.
#[test]
fn a_rollback_is_asked_about_in_a_terminal() {
    let redis = RedisServer::start();
    let url = redis.url();
    let routes = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("routes").args(arguments);
        let done = command
            .args(["--redis-url", &url])
            .output()
            .expect("it runs");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).expect("UTF-8")
    };
    let directory = tempfile::tempdir().expect("a directory");
    for port in [1, 2] {
        let file = directory.path().join("routes.json");
        let rule = format!(
            r#"{{"rules": {{"game": {{"strategy": "round_robin", "endpoints": ["127.0.0.1:{port}"]}}}}}}"#
        );
        std::fs::write(&file, rule).expect("routes");
        routes(&["set", file.to_str().expect("UTF-8")]);
    }
    let rollback = || {
        let mut asked = Terminal::start(&format!("routes rollback 1 --redis-url {url}"));
        asked.wait_for("write this? [y/N] ");
        let shown = asked.shown.clone();
        assert!(shown.contains("[127.0.0.1:2] -> [127.0.0.1:1]"), "{shown}");
        asked
    };
    // The last one is the end of input.
    for no in ["n\n", "\n", "yess\n", "\x04"] {
        let mut asked = rollback();
        asked.press(no);
        let (code, shown) = asked.end();
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown.contains("nothing was written"), "{shown}");
    }
    let versions = |count: usize| {
        let history: Value = serde_json::from_str(&routes(&["history", "--json"])).expect("JSON");
        assert_eq!(
            history["versions"].as_array().map(Vec::len),
            Some(count),
            "{history}"
        );
    };
    versions(2);
    let mut asked = rollback();
    asked.press("y\n");
    let (code, shown) = asked.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("written: version 3"), "{shown}");
    versions(3);
    assert!(routes(&["get"]).contains("127.0.0.1:1"));
}

#[test]
fn top_goes_on_while_a_gateway_hangs_and_finds_one_that_comes_back() {
    // It accepts by itself, and never answers.
    let hung = std::net::TcpListener::bind(address::own()).expect("a port");
    let hung = hung
        .local_addr()
        .map(|address| (hung, address))
        .expect("an address");
    let served = serve_on(&address::own().to_string());
    let admin = served.admin;
    let urls = format!("http://{},http://{admin}", hung.1);
    let mut top = Terminal::sized(&format!("top --url {urls} --interval 1"), 120, 30);
    top.wait_for("asked");
    top.press("\t");
    top.wait_for("serving");
    top.shown.clear();
    drop(served);
    top.wait_for("AWAY");
    top.shown.clear();
    let served = serve_on(&admin.to_string());
    assert_eq!(served.admin, admin);
    top.wait_for("serving");
    let (code, shown) = top.interrupt();
    assert_eq!(code, Some(0), "{shown}");
}

#[test]
fn top_without_a_terminal_is_an_error_or_one_frame() {
    let served = serve();
    let url = format!("http://{}", served.admin);
    let run = |more: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command
            .args(["top", "--url", &url, "--interval", "1"])
            .args(more);
        command.stdin(Stdio::null()).output().expect("it runs")
    };
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(
        said,
        "game-gateway top: this is no terminal; --once prints one frame as text\n"
    );
    for (view, expected) in [
        ("overview", "event loop lag"),
        ("backends", "ENDPOINT"),
        ("actors", "└─ router-0"),
        ("sessions", "0 sessions"),
        ("talkers", "0 by session"),
        ("refusals", "0 refusals"),
        ("drain", "no drain"),
    ] {
        let frame = run(&["--once", "--view", view]);
        let text = String::from_utf8_lossy(&frame.stdout).into_owned();
        assert_eq!(frame.status.code(), Some(0), "{text}");
        assert!(
            text.contains(expected) && !text.contains('\u{1b}'),
            "{text}"
        );
    }
    drop(served);
    let gone = run(&["--once"]);
    assert_eq!(gone.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&gone.stderr).lines().count(), 1);
}

#[test]
fn nobody_drains_all_gateways_by_accident() {
    // Nobody listens there: the question comes first.
    let drain = "admin --url http://127.0.0.1:1 drain --deployment";
    for (no, expected) in [
        ("n\n", "nothing was drained"),
        ("\n", "nothing was drained"),
        ("y\n", "http://127.0.0.1:1: "),
    ] {
        let mut asked = Terminal::start(drain);
        asked.wait_for("so that none takes players? [y/N] ");
        asked.press(no);
        let (code, shown) = asked.end();
        assert!(code == Some(1) && shown.contains(expected), "{shown}");
    }
    let sure = Terminal::start(&format!("{drain} --yes"));
    let (code, shown) = sure.end();
    assert!(code == Some(1) && !shown.contains("[y/N]"), "{shown}");
}
