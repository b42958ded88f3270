//! A backend that dies, hangs or cannot be reached: its players are told once and go on elsewhere, new ones do not
//! notice, and when it is back it is played with again.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use game_gateway::codec::client::Kind;
use game_gateway::codec::code::{Code, Notice};
use game_gateway::sdk::backend::{self, Backend};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::resident::exchange;
use crate::stage::{Setup, Stage, WORKERS, alone};
use crate::support::namespace::{cut, mend, reset};
use crate::support::process::Process;
use crate::support::redis::free_port;
use crate::support::wire::{Player, get, soon};

/// Growth of memory that is no leak, in KiB.
const MEMORY_KIB: u64 = 16 * 1024;
/// Players of the service, half of them at the backend that is harmed.
const PLAYERS: u64 = 40;
/// Between an answer and a player's next frame.
const PACE: Duration = Duration::from_millis(20);
/// Frames that each player has answered before, while and after.
const FRAMES: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// SIGKILL.
    Killed,
    /// SIGSTOP: its kernel takes everything, and nothing answers.
    Stopped,
    /// Stopped for nine tenths of the time.
    Slowed,
    /// All connections are reset, and new ones.
    Resetting,
    /// Its host is gone without a word, and comes back without its connections.
    HalfOpen,
    /// Packets are dropped both ways.
    Blackholed,
}

/// A backend in a process of its own, which comes back on its port.
struct Victim {
    address: SocketAddr,
    process: Option<Process>,
    slowing: Option<Process>,
}

impl Victim {
    async fn start() -> Victim {
        let mut victim = Victim {
            address: ([127, 0, 0, 1], free_port()).into(),
            process: None,
            slowing: None,
        };
        victim.run();
        soon(async {
            while tokio::net::TcpStream::connect(victim.address)
                .await
                .is_err()
            {
                crate::support::wire::look_again().await;
            }
        })
        .await;
        victim
    }

    fn run(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
        let address = self.address.to_string();
        command.args(["loadtest", "--backend-only", &address]);
        self.process = Some(Process::spawn(&mut command));
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    fn begin(&mut self, harm: Harm) {
        match harm {
            // Dropping it kills it.
            Harm::Killed => self.process = None,
            Harm::Stopped => self.process().signal("STOP"),
            Harm::Slowed => {
                let turns = "while kill -STOP $0; do sleep 0.09; kill -CONT $0; sleep 0.01; done";
                let id = self.process().id().to_string();
                self.slowing = Some(Process::spawn(Command::new("sh").args(["-c", turns, &id])));
            }
            Harm::Resetting => reset(self.address.port()),
            Harm::HalfOpen => {
                cut(self.address.port());
                self.process = None;
            }
            Harm::Blackholed => cut(self.address.port()),
        }
    }

    fn end(&mut self, harm: Harm) {
        match harm {
            Harm::Killed => self.run(),
            Harm::Stopped => self.process().signal("CONT"),
            Harm::Slowed => {
                self.slowing = None;
                self.process().signal("CONT");
            }
            Harm::Resetting | Harm::Blackholed => mend(),
            Harm::HalfOpen => {
                self.run();
                mend();
            }
        }
    }
}

/// What the players of a service have seen.
#[derive(Debug, Default)]
struct Seen {
    answered: u64,
    /// The most ERRORs of one player.
    most_told: u64,
    longest: Duration,
}

/// Everyone who plays `frail`.
struct Players {
    playing: JoinSet<Seen>,
    /// Frames answered, of each.
    answered: Vec<Arc<AtomicU64>>,
    /// Players that have been told that their backend is gone.
    told: Arc<AtomicU64>,
    end: watch::Sender<bool>,
}

impl Players {
    fn start(players: SocketAddr) -> Players {
        let (end, ended) = watch::channel(false);
        let (mut playing, mut answered, told) = (JoinSet::new(), Vec::new(), Arc::default());
        for _ in 0..PLAYERS {
            let count: Arc<AtomicU64> = Arc::default();
            answered.push(Arc::clone(&count));
            playing.spawn(play(players, count, Arc::clone(&told), ended.clone()));
        }
        Players {
            playing,
            answered,
            told,
            end,
        }
    }

    /// Waits until each has so many answers more.
    async fn go_on(&self) {
        let count = |count: &Arc<AtomicU64>| count.load(Ordering::Relaxed);
        let goals: Vec<u64> = self.answered.iter().map(|c| count(c) + FRAMES).collect();
        soon(async {
            while self
                .answered
                .iter()
                .zip(&goals)
                .any(|(c, goal)| count(c) < *goal)
            {
                tokio::time::sleep(PACE).await;
            }
        })
        .await;
    }

    async fn end(self) -> Seen {
        self.end.send(true).expect("they play");
        let mut all = Seen::default();
        for seen in soon(self.playing.join_all()).await {
            all.answered += seen.answered;
            all.most_told = all.most_told.max(seen.most_told);
            all.longest = all.longest.max(seen.longest);
        }
        all
    }
}

/// Sends numbers, each when the one before was answered or the backend is said to be gone.
async fn play(
    players: SocketAddr,
    answered: Arc<AtomicU64>,
    told: Arc<AtomicU64>,
    end: watch::Receiver<bool>,
) -> Seen {
    let mut player = Player::connect_to(players).await;
    let (mut seen, mut pace) = (Seen::default(), interval(PACE));
    for number in 0_u64.. {
        if *end.borrow() {
            break;
        }
        pace.tick().await;
        let sent = Instant::now();
        player.data("frail", &number.to_be_bytes()).await;
        loop {
            let frame = player.next().await.expect("the connection stands");
            if frame.header.kind == Kind::Error as u8 {
                let notice = Notice::decode(&frame.payload, Code::NORMAL);
                assert_eq!(notice.code, Code::BAD_GATEWAY, "{notice:?}");
                seen.most_told += 1;
                told.fetch_add(u64::from(seen.most_told == 1), Ordering::Relaxed);
                break;
            }
            let answer = u64::from_be_bytes(frame.payload[..].try_into().expect("a number"));
            // One that was given up may have gone to the next backend.
            assert!(answer <= number, "{answer} before {number} was sent");
            if answer == number {
                seen.answered += 1;
                answered.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
        seen.longest = seen.longest.max(sent.elapsed());
    }
    seen
}

/// Returns how many sessions an endpoint has.
async fn sessions_at(stage: &Stage, endpoint: SocketAddr) -> u64 {
    let (status, body) = get(stage.admin, "/api/v1/backends").await;
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let all = answer["backends"].as_array().expect("endpoints").iter();
    let here = all.filter(|backend| backend["endpoint"] == endpoint.to_string());
    here.filter_map(|backend| backend["sessions"].as_u64())
        .sum()
}

/// Harms one of two backends.
async fn suffered(harm: Harm) {
    let mut victim = Victim::start().await;
    let steady = Backend::start(([127, 0, 0, 1], 0).into(), backend::echo).await;
    let steady = steady.expect("a backend");
    let mut stage = Stage::start_with(Setup {
        config: "backend.ping_interval = \"500ms\"\nbackend.connect_timeout = \"1s\"\n\
                 backend.max_backoff = \"500ms\"",
        services: &[("frail", &[victim.address, steady.address()])],
        ..Setup::default()
    })
    .await;
    stage.warm_up("frail", 2 * WORKERS).await;
    let before_kib = stage.memory_kib();
    let players = Players::start(stage.players);
    players.go_on().await;
    let there = sessions_at(&stage, victim.address).await;
    assert_eq!(there, PLAYERS / 2, "they take turns");

    victim.begin(harm);
    let lost = match harm {
        Harm::Slowed => 0,
        _ => there,
    };
    soon(async {
        while players.told.load(Ordering::Relaxed) < lost {
            tokio::time::sleep(PACE).await;
        }
    })
    .await;
    players.go_on().await;
    // It is known by now, so that nobody new meets it.
    for number in 0..PLAYERS {
        let mut newcomer = Player::connect_to(stage.players).await;
        exchange(&mut newcomer, "frail", number).await;
    }
    assert_eq!(stage.health().await, 200);

    victim.end(harm);
    let back = Instant::now();
    let mut newcomers = Vec::new();
    soon(async {
        while sessions_at(&stage, victim.address).await == 0 {
            let mut newcomer = Player::connect_to(stage.players).await;
            exchange(&mut newcomer, "frail", 0).await;
            newcomers.push(newcomer);
        }
    })
    .await;
    let back = back.elapsed();
    players.go_on().await;
    assert_eq!(players.told.load(Ordering::Relaxed), lost);
    let seen = players.end().await;
    assert_eq!(seen.most_told, u64::from(lost > 0), "each is told once");
    println!(
        "{harm:?}: {PLAYERS} players, {lost} told once, {} frames answered, longest wait {} ms; played with again \
         after {} ms",
        seen.answered,
        seen.longest.as_millis(),
        back.as_millis()
    );
    drop(newcomers);
    stage
        .unharmed(&format!("a backend {harm:?}"), MEMORY_KIB, before_kib)
        .await;
}

#[test]
fn killed() {
    alone("backends::killed", || suffered(Harm::Killed));
}

#[test]
fn stopped() {
    alone("backends::stopped", || suffered(Harm::Stopped));
}

#[test]
fn slowed() {
    alone("backends::slowed", || suffered(Harm::Slowed));
}

#[test]
fn resetting() {
    alone("backends::resetting", || suffered(Harm::Resetting));
}

#[test]
fn half_open() {
    alone("backends::half_open", || suffered(Harm::HalfOpen));
}

#[test]
fn blackholed() {
    alone("backends::blackholed", || suffered(Harm::Blackholed));
}
