//! A gateway in a process of its own that tells what it has allocated.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use crate::process::{ANSWER, CONFIGURATION, QUESTIONS, READY};
use crate::support::authority::{Authority, Issued};
use crate::support::process::Process;
use crate::support::wire::{Backend, DEADLINE};

/// The allocator's figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    /// Allocations and reallocations so far.
    pub(crate) allocations: u64,
    /// Bytes that were asked for and not given back.
    pub(crate) bytes: u64,
}

/// The gateway's process.
pub(crate) struct Counted {
    process: Process,
    id: u32,
    answers: BufReader<TcpStream>,
    pub(crate) players: SocketAddr,
    pub(crate) authority: Authority,
    _directory: TempDir,
}

fn configuration(directory: &Path, issued: &Issued) -> String {
    let routes = directory.join("routes.json");
    let Issued { certificate, key } = issued;
    format!(
        "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\ngateway.workers = 1\n\
         routes.file = {routes:?}\nlisten.tls.certificate = {certificate:?}\nlisten.tls.key = {key:?}\n\
         backend.ping_interval = \"1h\"\nbackend.probe_interval = \"0s\"\n"
    )
}

impl Counted {
    /// Starts one with one worker for this backend, whose system calls are written to `log`.
    pub(crate) fn start(backend: &Backend, log: &Path) -> Counted {
        let directory = tempfile::tempdir().expect("a directory");
        let authority = Authority::new();
        let issued = authority.issue("gateway", "IP:127.0.0.1");
        fs::write(directory.path().join("routes.json"), backend.routes()).expect("written");
        let file = directory.path().join("gateway.toml");
        fs::write(&file, configuration(directory.path(), &issued)).expect("written");

        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let questions = listener.local_addr().expect("an address").to_string();
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-o"])
            .arg(log)
            .arg(std::env::current_exe().expect("this program"))
            .args(["--exact", "process::serves", "--nocapture"])
            .env(CONFIGURATION, &file)
            .env(QUESTIONS, questions);
        let process = Process::spawn(&mut command);
        let ready = process.wait_for_line(READY);
        let (id, players) = ready.split_once(' ').expect("two words");
        let (socket, _) = listener.accept().expect("the gateway");
        socket.set_read_timeout(Some(DEADLINE)).expect("set");
        socket.set_nodelay(true).expect("set");
        Counted {
            process,
            id: id.parse().expect("a number"),
            players: players.parse().expect("an address"),
            answers: BufReader::new(socket),
            authority,
            _directory: directory,
        }
    }

    /// Waits until every thread of the gateway waits for something, then returns the figures.
    pub(crate) fn count(&mut self) -> Count {
        self.until_quiet();
        self.answers.get_mut().write_all(b"\n").expect("asked");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        let rest = answer.trim_end().strip_prefix(ANSWER).expect("an answer");
        let numbers: Vec<u64> = rest
            .split_whitespace()
            .map(|number| number.parse().expect("a number"))
            .collect();
        let &[allocations, bytes] = numbers.as_slice() else {
            panic!("{answer:?}");
        };
        Count { allocations, bytes }
    }

    /// Without this the rest of a turn would be counted now or later, as the threads happen to run.
    fn until_quiet(&self) {
        let started = Instant::now();
        while !self.is_quiet() {
            assert!(started.elapsed() < DEADLINE, "the gateway is never quiet");
            std::thread::yield_now();
        }
    }

    fn is_quiet(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id)).expect("its threads");
        tasks.flatten().all(|task| {
            // A thread that has ended meanwhile does nothing more.
            let Ok(stat) = fs::read_to_string(task.path().join("stat")) else {
                return true;
            };
            // The name before the state may hold spaces and brackets.
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('S'))
        })
    }

    /// Waits for its end.
    pub(crate) fn end(self) {
        let Counted {
            mut process,
            answers,
            ..
        } = self;
        drop(answers);
        assert!(process.wait_for_exit().success(), "{}", process.output());
    }
}
