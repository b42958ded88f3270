//! One word to a great many sessions at once, and a great many that do not listen.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use actix_codec::Framed;
use futures_util::StreamExt;
use game_gateway::codec::client::Kind;
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::framed::{ClientCodec, ClientFrame};
use game_gateway::codec::link::HEADER_LEN;
use game_gateway::sdk::backend::{Backend, Replies, Service, SessionInfo};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::stage::{Setup, Stage, WORKERS, each, source};
use crate::support::frames::{CODEC, data, frame};
use crate::support::wire::soon;

/// Growth of memory that is no leak, in KiB: tables of clients keep their size, and the allocator keeps what it
/// once had.
const MEMORY_KIB: u64 = 64 * 1024;
/// What a session without anything under way may cost, in KiB.
const SESSION_KIB: u64 = 8;
/// Players who connect at the same time.
const AT_ONCE: usize = 200;

/// Echoes, and knows who is there.
#[derive(Default)]
struct Crowd(Arc<Mutex<BTreeSet<u64>>>);

impl Crowd {
    fn ids(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service for Crowd {
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
        out.send(session.session_id, payload);
    }

    fn opened(&mut self, session: &SessionInfo, _: &mut Replies<'_>) {
        self.ids().insert(session.session_id);
    }

    fn ended(&mut self, session: &SessionInfo, _: Code) {
        self.ids().remove(&session.session_id);
    }
}

/// A stage with a service `crowd`.
struct Scene {
    stage: Stage,
    backend: Backend,
    crowd: Crowd,
}

impl Scene {
    async fn start(config: &str) -> Scene {
        let crowd = Crowd::default();
        let service = Crowd(Arc::clone(&crowd.0));
        let backend = Backend::start(([127, 0, 0, 1], 0).into(), service).await;
        let backend = backend.expect("a backend");
        let mut stage = Stage::start_with(Setup {
            config,
            services: &[("crowd", &[backend.address()])],
            ..Setup::default()
        })
        .await;
        stage.warm_up("crowd", WORKERS).await;
        soon(async {
            while !crowd.ids().is_empty() {
                crate::support::wire::look_again().await;
            }
        })
        .await;
        Scene {
            stage,
            backend,
            crowd,
        }
    }

    /// Starts sessions; `narrow`: with receive buffers that hold little.
    async fn players(&self, count: usize, narrow: bool) -> Vec<TcpStream> {
        let to = self.stage.players;
        let players = Mutex::new(Vec::with_capacity(count));
        each(count, AT_ONCE, |n| {
            let players = &players;
            async move {
                let socket = TcpSocket::new_v4().expect("a socket");
                if narrow {
                    socket.set_recv_buffer_size(4096).expect("set");
                }
                let from = (source(n % 1000), 0).into();
                socket.bind(from).expect("an address");
                let mut socket = soon(socket.connect(to)).await.expect("connected");
                let hello = data("crowd", b"hello");
                socket.write_all(&hello).await.expect("sent");
                assert_eq!(&next(&mut socket).await.payload[..], b"hello");
                let mut all = players.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(socket);
            }
        })
        .await;
        let players = players.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(self.crowd.ids().len(), count);
        players
    }

    /// Says something to everybody.
    fn say(&self, say: impl FnOnce(&mut Replies<'_>, &[u64])) {
        let ids: Vec<u64> = self.crowd.ids().iter().copied().collect();
        let said = self.backend.speak("crowd", |out| say(out, &ids));
        said.expect("there are links");
    }

    /// Ends the case when everybody has gone.
    async fn unharmed(self, case: &str, memory_kib: u64, before_kib: u64) {
        soon(async {
            while !self.crowd.ids().is_empty() {
                crate::support::wire::look_again().await;
            }
        })
        .await;
        self.stage.unharmed(case, memory_kib, before_kib).await;
    }
}

/// Reads one frame, with nothing behind it.
async fn next(socket: &mut TcpStream) -> ClientFrame {
    crate::support::frames::next(socket).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_to_ten_thousand_sessions() {
    const PLAYERS: usize = 10_000;
    let scene = Scene::start("").await;
    let before_kib = scene.stage.memory_kib();
    let players = scene.players(PLAYERS, false).await;
    let cost_kib = scene.stage.memory_kib() - before_kib;
    assert!(cost_kib <= SESSION_KIB * PLAYERS as u64, "{cost_kib} KiB");
    println!("{PLAYERS} sessions: {cost_kib} KiB");

    let start = Instant::now();
    scene.say(|out, ids| assert_eq!(out.multicast(ids, &[1; 200]), PLAYERS));
    scene.say(|out, ids| assert!(ids.iter().all(|id| out.send(*id, &[2; 200]))));
    let ping = frame(Kind::Ping as u8, "", b"all?");
    let mut heard = Vec::with_capacity(PLAYERS);
    for socket in players {
        let mut framed = Framed::new(socket, CODEC);
        for first in [1, 2] {
            let frame = soon(framed.next())
                .await
                .expect("a frame")
                .expect("a frame");
            assert_eq!(
                (frame.header.kind, &frame.payload[..]),
                (Kind::Data as u8, &[first; 200][..])
            );
        }
        heard.push(framed);
    }
    let took = start.elapsed().as_millis();
    // Nothing came twice.
    for framed in &mut heard {
        framed.io_mut().write_all(&ping).await.expect("sent");
    }
    for framed in &mut heard {
        let frame = soon(framed.next())
            .await
            .expect("a frame")
            .expect("a frame");
        assert_eq!(frame.header.kind, Kind::Pong as u8, "{frame:?}");
    }
    println!("a MULTICAST and a DATA each to {PLAYERS} sessions: all have both after {took} ms");
    drop(heard);
    scene
        .unharmed("a push to everybody", MEMORY_KIB, before_kib)
        .await;
}

/// What this machine's kernel holds for TCP.
fn kernel_kib() -> u64 {
    let stat = std::fs::read_to_string("/proc/net/sockstat").expect("statistics");
    let tcp = stat.lines().find_map(|line| line.strip_prefix("TCP: "));
    let pages = tcp.and_then(|tcp| tcp.split_once(" mem ")?.1.split(' ').next()?.parse().ok());
    4 * pages.unwrap_or(0_u64)
}

/// How it ended for slow readers.
#[derive(Debug, Default)]
struct Ends {
    /// They have had everything.
    whole: AtomicUsize,
    /// They were told that they are too slow.
    told: AtomicUsize,
    /// Their connection was cut, for a CLOSE would have come behind what they did not read.
    cut: AtomicUsize,
}

/// Reads all that a slow reader is sent, in order.
async fn read_out(mut framed: Framed<TcpStream, ClientCodec>, rounds: u8, ends: &Ends) {
    let mut end = &ends.whole;
    for round in 0..rounds {
        let Some(Ok(frame)) = soon(framed.next()).await else {
            end = &ends.cut;
            break;
        };
        if frame.header.kind == Kind::Close as u8 {
            let notice = Notice::decode(&frame.payload, Code::NORMAL);
            assert_eq!(notice.code, Code::TOO_SLOW, "{notice:?}");
            end = &ends.told;
            break;
        }
        assert!(frame.payload.iter().all(|byte| *byte == round), "in order");
    }
    end.fetch_add(1, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_slow_readers() {
    const PLAYERS: usize = 5000;
    const FRAME: usize = 8 * 1024;
    /// As many as would be 256 KiB for each in the kernels' buffers.
    const MOST_ROUNDS: u8 = 32;
    const LIMIT_KIB: u64 = 64 * 1024;
    let scene = Scene::start(&format!("limits.memory = \"{LIMIT_KIB}KiB\"")).await;
    let before_kib = scene.stage.memory_kib();
    let players = scene.players(PLAYERS, true).await;
    let (came, ended) = (
        "game_gateway_link_in_bytes_total",
        "game_gateway_memory_ended_queues_total",
    );
    let mut all = scene.stage.metric(came).await;
    let kernel_before_kib = kernel_kib();
    let mut rounds = 0_u8;
    // Kernels take the first ones.
    while scene.stage.metric(ended).await == 0 {
        assert!(rounds < MOST_ROUNDS, "kernels take everything");
        scene.say(|out, ids| {
            let sent = ids.iter().filter(|id| out.send(**id, &[rounds; FRAME]));
            all += (sent.count() * (HEADER_LEN + FRAME)) as u64;
        });
        scene.stage.until(came, |n| n >= all).await;
        rounds += 1;
    }
    let kernel_kib = kernel_kib() - kernel_before_kib;
    assert_eq!(scene.stage.health().await, 200);
    let held = "game_gateway_memory_held_bytes";
    assert!(scene.stage.metric(held).await <= LIMIT_KIB * 1024);
    let ends = Ends::default();
    let players: Vec<_> = players.into_iter().map(|p| Mutex::new(Some(p))).collect();
    each(PLAYERS, AT_ONCE, |n| {
        let mine = players[n]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let framed = Framed::new(mine.expect("each once"), CODEC);
        read_out(framed, rounds, &ends)
    })
    .await;
    let [whole, told, cut] = [ends.whole, ends.told, ends.cut].map(AtomicUsize::into_inner);
    let peak_kib = scene.stage.memory_peak_kib();
    println!(
        "{PLAYERS} slow readers of {rounds} frames: {whole} have had all, {told} were told that they are too slow, \
         {cut} were cut; the budget is {LIMIT_KIB} KiB, the peak {peak_kib}, and kernels had {kernel_kib}"
    );
    assert_eq!(whole + told + cut, PLAYERS);
    // A byte in a queue costs two at the most, and the allocator keeps them.
    assert!(peak_kib <= before_kib + 2 * LIMIT_KIB, "{peak_kib} KiB");
    let pressure = "game_gateway_memory_pressure";
    scene.stage.until(pressure, |n| n == 0).await;
    scene
        .unharmed("slow readers", 2 * LIMIT_KIB, before_kib)
        .await;
}
