//! Real Redis servers and Sentinels that a test starts on free ports, breaks, and always ends.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::authority::openssl;
use super::process::Process;
use super::resp::{Connection, Reply};

/// Limit for the start of Redis; only a failing test waits so long.
const DEADLINE: Duration = Duration::from_secs(30);
/// Below the ports that systems give to outgoing connections: what stops may start there again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Returns a port of 127.0.0.1 that is free and is given to no other test of this process.
pub(crate) fn free_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Processes of one machine begin at different places.
    let first = (std::process::id() % u32::from(PORTS.end - PORTS.start)) as u16;
    loop {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let spread = first.wrapping_mul(7).wrapping_add(given) % (PORTS.end - PORTS.start);
        let port = PORTS.start + spread;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A `redis-server`, killed when dropped.
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    /// Where it speaks TLS; 0: nowhere.
    pub(crate) tls_port: u16,
    options: String,
    password: Option<String>,
    process: Option<Process>,
    directory: TempDir,
}

impl RedisServer {
    /// Starts an empty server that anybody may use.
    pub(crate) fn start() -> RedisServer {
        RedisServer::start_with("")
    }

    /// Starts a server with these further lines of `redis.conf`.
    pub(crate) fn start_with(options: &str) -> RedisServer {
        let mut server = RedisServer::not_started(options);
        server.start_again();
        server
    }

    /// Starts a server whose default user has a password.
    pub(crate) fn start_with_password(password: &str, options: &str) -> RedisServer {
        let mut server = RedisServer::not_started(options);
        server.password = Some(password.to_owned());
        server.start_again();
        server
    }

    /// Starts a server that speaks TLS on `tls_port` and plainly on `port`.
    pub(crate) fn start_with_tls(certificates: &Certificates) -> RedisServer {
        let mut server = RedisServer::not_started("tls-auth-clients no");
        server.tls_port = free_port();
        let Certificates { ca, cert, key, .. } = certificates;
        for (option, file) in [("ca-cert", ca), ("cert", cert), ("key", key)] {
            let line = format!("\ntls-{option}-file {}", file.display());
            server.options.push_str(&line);
        }
        server.start_again();
        server
    }

    /// Returns a server that is not started yet, with its port closed.
    pub(crate) fn not_started(options: &str) -> RedisServer {
        RedisServer {
            port: free_port(),
            tls_port: 0,
            options: options.to_owned(),
            password: None,
            process: None,
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    /// Returns the URL of database 0, without a user.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Starts it on its port, with the data of its last [`save`](Self::save).
    ///
    /// # Panics
    /// It runs already, or does not start.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.process = Some(self.spawn(self.port));
    }

    fn spawn(&self, port: u16) -> Process {
        let directory = self.directory.path().display();
        let mut lines = format!(
            "port {port}\ntls-port {}\nbind 127.0.0.1\ndir {directory}\nsave \"\"\n\
             repl-diskless-sync-delay 0\n{}\n",
            self.tls_port, self.options
        );
        if let Some(password) = &self.password {
            lines.push_str(&format!("requirepass {password}\n"));
        }
        let file = self.directory.path().join("redis.conf");
        fs::write(&file, lines).expect("a configuration");
        started(Command::new("redis-server").arg(file), port)
    }

    /// Changes the data while nobody can reach the port.
    ///
    /// # Panics
    /// It runs.
    pub(crate) fn change_while_down(&mut self, change: impl FnOnce(&RedisServer)) {
        assert!(self.process.is_none(), "it runs");
        let port = std::mem::replace(&mut self.port, free_port());
        self.start_again();
        change(self);
        self.save();
        self.stop("TERM");
        self.port = port;
    }

    /// Keeps the data for the next start.
    pub(crate) fn save(&self) {
        self.command(&["SAVE"]);
    }

    /// Ends it by this signal, and waits until it has ended.
    pub(crate) fn stop(&mut self, signal: &str) {
        let mut process = self.process.take().expect("it runs");
        process.signal(signal);
        process.wait_for_exit();
    }

    /// Sends SIGSTOP: connections stay, and nothing answers.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Sends SIGCONT.
    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    /// Connects as the default user.
    pub(crate) fn connection(&self) -> Connection {
        let mut connection = Connection::open(self.port).expect("a connection");
        if let Some(password) = &self.password {
            let answer = connection.ask(&["AUTH", password]).expect("an answer");
            assert_eq!(answer.text(), "OK");
        }
        connection
    }

    /// Runs a command as the default user.
    ///
    /// # Panics
    /// Redis answers with an error.
    pub(crate) fn command(&self, command: &[&str]) -> Reply {
        let reply = self.connection().ask(command).expect("an answer");
        assert!(!matches!(reply, Reply::Error(_)), "{command:?}: {reply:?}");
        reply
    }
}

/// A `redis-server` as Sentinel, killed when dropped.
pub(crate) struct Sentinel {
    pub(crate) port: u16,
    password: Option<String>,
    _process: Process,
    _directory: TempDir,
}

impl Sentinel {
    /// Starts a Sentinel that alone decides about `master` under the name `main`; `options` are
    /// further lines of `sentinel.conf`.
    pub(crate) fn start(master: &RedisServer, options: &str) -> Sentinel {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let lines = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\n\
             sentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 2000\n{options}\n",
            directory.path().display(),
            master.port,
        );
        let file = directory.path().join("sentinel.conf");
        fs::write(&file, lines).expect("a configuration");
        let process = started(
            Command::new("redis-server").arg(file).arg("--sentinel"),
            port,
        );
        let password = options.lines().find_map(|l| l.strip_prefix("requirepass "));
        Sentinel {
            port,
            password: password.map(str::to_owned),
            _process: process,
            _directory: directory,
        }
    }

    /// Runs a command.
    pub(crate) fn command(&self, command: &[&str]) -> Reply {
        let mut connection = Connection::open(self.port).expect("a connection");
        if let Some(password) = &self.password {
            connection.ask(&["AUTH", password]).expect("an answer");
        }
        connection.ask(command).expect("an answer")
    }

    /// Returns the port of the master, as this Sentinel sees it.
    pub(crate) fn master_port(&self) -> u16 {
        let reply = self.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]);
        let Reply::List(address) = reply else {
            panic!("no address: {reply:?}");
        };
        address[1].text().parse().expect("a port")
    }

    /// Waits until it knows a replica that could become the master.
    pub(crate) fn wait_for_replica(&self) {
        wait_until("a replica that is connected", || {
            let reply = format!("{:?}", self.command(&["SENTINEL", "REPLICAS", "main"]));
            reply.contains("\"master-link-status\"), Text(\"ok\")")
        });
    }

    /// Waits until the master is at this port.
    pub(crate) fn wait_for_master(&self, port: u16) {
        wait_until("the new master", || self.master_port() == port);
    }
}

/// Asks again until something is so.
///
/// # Panics
/// It takes too long.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} has not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts a server and waits until it answers on its port.
fn started(command: &mut Command, port: u16) -> Process {
    let mut process = Process::spawn(command);
    wait_until("a Redis that answers", || {
        assert!(process.runs(), "{}", process.output());
        // Without a password the answer is an error, and that will do; while it loads it will not.
        let answer = Connection::open(port).and_then(|mut c| c.ask(&["PING"]));
        answer.is_ok_and(|reply| !matches!(reply, Reply::Error(e) if e.starts_with("LOADING")))
    });
    process
}

/// An authority, and a server's certificate by it for 127.0.0.1, made by `openssl`.
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
    _directory: TempDir,
}

impl Certificates {
    pub(crate) fn make() -> Certificates {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("names"), "subjectAltName=IP:127.0.0.1\n").expect("written");
        for command in [
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN=authority -keyout ca.key -out ca.pem",
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
             -subj /CN=redis -keyout server.key -out server.csr",
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile names -out server.pem",
        ] {
            openssl(directory.path(), command);
        }
        Certificates {
            ca: path("ca.pem"),
            cert: path("server.pem"),
            key: path("server.key"),
            _directory: directory,
        }
    }
}
