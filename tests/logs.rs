//! What the program writes to stderr and stdout, and that nobody has to read it.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use game_gateway::config::LogFormat;
use game_gateway::logging::{FLUSH_TIMEOUT, Log};
use serde_json::Value;
use tempfile::TempDir;

/// Timeout of anything that a test waits for; only a failing test waits this long.
const DEADLINE: Duration = Duration::from_secs(60);

const ROUTES: &str =
    r#"{"rules": {"game": {"strategy": "round_robin", "endpoints": ["127.0.0.1:1"]}}}"#;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    command.env_remove("POD_NAME").stdin(Stdio::null());
    command
}

/// A gateway as a process; killed when dropped.
struct Served {
    child: Child,
    admin: SocketAddr,
    directory: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        // Both fail only where it has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a configuration with `more` lines, and returns the command that serves it.
fn configured(more: &str) -> (TempDir, Command) {
    let directory = tempfile::tempdir().expect("a directory");
    let routes = directory.path().join("routes.json");
    std::fs::write(&routes, ROUTES).expect("routes");
    let file = directory.path().join("gateway.toml");
    let text = format!(
        "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
         gateway.workers = 1\ndrain.window = \"0\"\nroutes.file = {routes:?}\n{more}\n"
    );
    std::fs::write(&file, text).expect("configuration");
    let mut command = program();
    command.arg("serve").arg("--config").arg(&file);
    (directory, command)
}

/// Returns the admin address that a line of the log has.
fn admin_of(line: &str) -> SocketAddr {
    let (_, rest) = line.split_once("admin=").expect("an admin address");
    let text = rest.split_whitespace().next().expect("an address");
    text.parse().expect("an address")
}

/// Reads stderr up to the line that has `text`.
fn wait_for(stderr: &mut impl BufRead, text: &str) -> String {
    let mut read = String::new();
    loop {
        let before = read.len();
        let bytes = stderr.read_line(&mut read).expect("text");
        assert_ne!(bytes, 0, "no {text:?} in {read}");
        if read[before..].contains(text) {
            return read[before..].to_owned();
        }
    }
}

impl Served {
    /// Starts a gateway whose stderr is returned, read up to its start.
    fn start(more: &str, stdout: Stdio) -> (Served, BufReader<PipeReader>) {
        let (directory, mut command) = configured(more);
        let (reader, writer) = pipe().expect("a pipe");
        let child = command.stdout(stdout).stderr(writer).spawn();
        let child = child.expect("it starts");
        drop(command);
        let mut stderr = BufReader::with_capacity(1024, reader);
        let admin = admin_of(&wait_for(&mut stderr, "the gateway listens"));
        let served = Served {
            child,
            admin,
            directory,
        };
        (served, stderr)
    }

    /// Sends a request to the admin API; returns status and body.
    fn ask(&self, line: &str, body: &str) -> (u16, String) {
        self.ask_with("", line, body)
    }

    /// The same with a header more.
    fn ask_with(&self, header: &str, line: &str, body: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.admin).expect("the admin port");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        socket.write_all(head.as_bytes()).expect("sent");
        let mut answer = String::new();
        let read = socket.read_to_string(&mut answer);
        read.unwrap_or_else(|error| panic!("{line} is not answered: {error}"));
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status");
        (status.parse().expect("a number"), body.to_owned())
    }

    fn dropped(&self) -> u64 {
        let (_, metrics) = self.ask("GET /metrics", "");
        let name = "game_gateway_dropped_log_lines_total ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the counter").parse().expect("a number")
    }

    /// Has it log more than anybody reads, until lines are dropped.
    fn flood(&self) {
        let level = format!("info{}", ",a=off".repeat(160));
        let body = format!("{{\"level\": \"{level}\"}}");
        while self.dropped() == 0 {
            for _ in 0..64 {
                assert_eq!(self.ask("PUT /api/v1/log-level", &body).0, 200);
            }
        }
    }

    fn until_version(&self, version: u64) {
        let wanted = format!("\"version\":{version},");
        while !self.ask("GET /api/v1/routes", "").1.contains(&wanted) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    fn terminate(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.expect("kill").success());
        self.wait()
    }

    /// Waits for its end.
    fn wait(&mut self) -> ExitStatus {
        let (tell, ended) = channel();
        let id = self.child.id();
        std::thread::spawn(move || {
            if ended.recv_timeout(DEADLINE).is_err() {
                // The wait below returns, and the test fails.
                let _ = Command::new("kill")
                    .args(["-KILL", &id.to_string()])
                    .status();
            }
        });
        let status = self.child.wait().expect("it ends");
        let _ = tell.send(());
        status
    }
}

#[test]
fn a_stderr_that_nobody_reads_stops_nothing() {
    let (mut served, stderr) = Served::start("", Stdio::null());
    served.flood();
    assert_eq!(served.ask("GET /health", "").0, 200);
    served.until_version(1);
    let changed = ROUTES.replace("127.0.0.1:1", "127.0.0.1:2");
    let routes = served.directory.path().join("routes.json");
    std::fs::write(routes, changed).expect("routes");
    served.until_version(2);
    assert_eq!(served.terminate().code(), Some(0));
    drop(stderr);
}

/// A line a second tells of changes that a token may not make, and misses none.
#[test]
fn changes_that_are_refused_fill_no_log() {
    const CHANGES: u64 = 300;
    let tokens = r#"admin.tokens = [{ name = "wall", role = "read", token = "wall-token" }]"#;
    let (served, mut stderr) = Served::start(tokens, Stdio::null());
    let begun = Instant::now();
    for n in 0..CHANGES {
        let header = "Authorization: Bearer wall-token\r\n";
        let line = format!("POST /api/v1/drain?{n}");
        assert_eq!(served.ask_with(header, &line, "").0, 403);
    }
    let (mut told, mut lines) = (0, 0);
    while told < CHANGES {
        let line = wait_for(&mut stderr, "a change is refused");
        assert!(line.contains("by=\"wall at 127.0.0.1:"), "{line}");
        let (_, changes) = line.trim_end().split_once("changes=").expect("a number");
        told += changes.parse::<u64>().expect("a number");
        lines += 1;
    }
    assert_eq!(told, CHANGES);
    let most = 1 + begun.elapsed().as_secs();
    assert!(lines <= most, "{lines} lines in {most} s");
}

#[test]
fn what_was_dropped_is_told_once_somebody_reads_again() {
    let (served, mut stderr) = Served::start("", Stdio::null());
    served.flood();
    let told = wait_for(&mut stderr, "log lines were dropped");
    assert!(told.contains("WARN") && told.contains("dropped="), "{told}");
}

/// Returns a pipe that is full, and stays so.
fn full() -> (PipeReader, PipeWriter) {
    const NONBLOCK: i32 = 0o4000;
    let (reader, writer) = pipe().expect("a pipe");
    // A description of its own, so that only the filling does not block.
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let filling = OpenOptions::new()
        .write(true)
        .custom_flags(NONBLOCK)
        .open(path);
    let mut filling = filling.expect("the pipe");
    for chunk in [&[b'x'; 4096][..], b"x"] {
        while filling.write(chunk).is_ok() {}
    }
    (reader, writer)
}

#[test]
fn a_stdout_that_cannot_be_written_stops_nothing() {
    let (reader, closed) = pipe().expect("a pipe");
    drop(reader);
    let no_space = OpenOptions::new().write(true).open("/dev/full");
    let (_reader, full) = full();
    for stdout in [
        Stdio::from(closed),
        Stdio::from(no_space.expect("/dev/full")),
        Stdio::from(full),
    ] {
        let (mut served, mut stderr) = Served::start("", stdout);
        assert_eq!(served.ask("GET /health", "").0, 200);
        assert_eq!(served.terminate().code(), Some(0));
        wait_for(&mut stderr, "cut_off=0");
    }
}

/// A rule that names an HTTP server.
#[test]
fn what_stays_wrong_with_a_backend_is_told_once_and_again_when_it_changes() {
    let http = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = http.local_addr().expect("an address").to_string();
    let waits = "backend.probe_interval = \"20ms\"\nbackend.max_backoff = \"20ms\"";
    let (served, mut stderr) = Served::start(waits, Stdio::null());
    let routes = served.directory.path().join("routes.json");
    let fresh = routes.with_extension("new");
    std::fs::write(&fresh, ROUTES.replace("127.0.0.1:1", &address)).expect("routes");
    std::fs::rename(&fresh, &routes).expect("renamed");
    for _ in 0..20 {
        let (mut socket, _) = http.accept().expect("a link");
        let read = socket.read(&mut [0; 1024]).expect("HELLO");
        assert!(read > 0);
        let answer = b"HTTP/1.0 400 Bad Request\r\n\r\n";
        socket.write_all(answer).expect("answered");
        // Until the gateway has had enough.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    drop(http);
    let mut told = Vec::new();
    while !told.iter().any(|line: &String| line.contains("refused")) {
        let line = wait_for(&mut stderr, &address);
        if line.contains("WARN") {
            told.push(line);
        }
    }
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("looks like HTTP"), "{told:?}");
}

fn json_lines(text: &str) -> Vec<Value> {
    let line =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let lines: Vec<Value> = text.lines().map(line).collect();
    for line in &lines {
        for member in ["timestamp", "level", "target"] {
            assert!(line[member].is_string(), "no {member}: {line}");
        }
        assert!(line["fields"]["message"].is_string(), "{line}");
    }
    lines
}

#[test]
fn every_line_is_json() {
    let (directory, mut command) = configured("log.format = \"json\"");
    let (reader, writer) = pipe().expect("a pipe");
    let child = command.stdout(Stdio::piped()).stderr(writer).spawn();
    let mut child = child.expect("it starts");
    drop(command);
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut ready = String::new();
    stdout.read_line(&mut ready).expect("a line");
    let said = json_lines(&ready).remove(0);
    assert_eq!(said["fields"]["message"], "game-gateway ready");
    let admin = said["fields"]["admin"].as_str().expect("an address");
    let mut served = Served {
        child,
        admin: admin.parse().expect("an address"),
        directory,
    };
    assert_eq!(served.terminate().code(), Some(0));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("text");
    let said = json_lines(&rest);
    assert_eq!(said[0]["fields"]["message"], "game-gateway draining");
    let mut log = String::new();
    BufReader::new(reader)
        .read_to_string(&mut log)
        .expect("text");
    assert!(json_lines(&log).len() > 2, "{log}");
    assert!(
        !log.contains("workers\""),
        "the admin API's server says too much: {log}"
    );
    assert!(log.contains("\"by\":\"SIGTERM\""), "{log}");
}

#[test]
fn mistakes_are_json_too() {
    let (_directory, mut command) =
        configured("log.format = \"json\"\nlisten.nonsense = 1\nsession.max_services = 0");
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let lines = json_lines(&String::from_utf8_lossy(&output.stderr));
    let messages: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["fields"]["message"].as_str())
        .collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(
        messages[0].contains("listen.nonsense: unknown key"),
        "{messages:?}"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let (_directory, mut command) = configured("log.format = \"json\"");
    let address = taken.local_addr().expect("an address").to_string();
    let output = command.env("GATEWAY__LISTEN__ADDRESS", &address).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let lines = json_lines(&String::from_utf8_lossy(&output.stderr));
    assert!(
        lines
            .last()
            .is_some_and(|line| line.to_string().contains(&address))
    );
}

/// Not a test by itself: the program that the next one starts.
#[test]
#[ignore = "started by panics_are_lines_of_the_log"]
fn a_program_that_panics() {
    let format = match std::env::var("FORMAT").as_deref() {
        Ok("json") => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let log = Log::start(format).expect("a log");
    let died = std::thread::Builder::new()
        .name("victim".into())
        .spawn(|| panic!("over\nand out"));
    assert!(died.expect("a thread").join().is_err());
    log.flush(FLUSH_TIMEOUT);
}

#[test]
fn panics_are_lines_of_the_log() {
    let run = |format: &str| {
        let output = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "a_program_that_panics",
                "--ignored",
                "--nocapture",
            ])
            .env("FORMAT", format)
            .env_remove("RUST_BACKTRACE")
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    let lines = json_lines(&run("json"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["level"], "ERROR");
    let fields = &lines[0]["fields"];
    assert_eq!(
        (&fields["panic"], &fields["thread"]),
        (&"over\nand out".into(), &"victim".into())
    );
    assert!(
        fields["at"]
            .as_str()
            .is_some_and(|at| at.contains("logs.rs:")),
        "{fields}"
    );
    let text = run("text");
    assert!(
        text.contains("thread 'victim' panicked at tests/logs.rs:"),
        "{text}"
    );
    assert!(text.contains("\nover\nand out\n"), "{text}");
}
