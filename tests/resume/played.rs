//! The client library and the backend library, with connections that are cut while traffic runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use game_gateway::backend::{Backend, echo};
use game_gateway::client::Outgoing;
use game_gateway::client::session::{Connect, End, Event, Io, Session, SessionOptions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::net::TcpStream;

use crate::support::wire::{Gateway, soon};

/// Sessions that play at the same time.
const SESSIONS: u64 = 20;
/// Round trips of each.
const ROUND_TRIPS: u64 = 2_000;

/// Connections through a relay that cuts each of them after a random number of bytes.
fn cutting(players: SocketAddr, seed: u64, cuts: Arc<AtomicU64>) -> Connect {
    let random = std::sync::Mutex::new(StdRng::seed_from_u64(seed));
    Box::new(move || {
        // Long enough for the first OPENEDs; then anywhere, also within a frame.
        let life: u64 = random.lock().expect("no panic").random_range(700..6_000);
        let cuts = Arc::clone(&cuts);
        Box::pin(async move {
            let mut gateway = TcpStream::connect(players).await?;
            let (near, mut far) = tokio::io::duplex(1024);
            tokio::spawn(async move {
                let (mut read, mut write) = gateway.split();
                let (mut from, mut to) = tokio::io::split(&mut far);
                let mut limited = tokio::io::AsyncReadExt::take(&mut read, life);
                let up = tokio::io::copy(&mut from, &mut write);
                let down = tokio::io::copy(&mut limited, &mut to);
                // Whichever ends first cuts both.
                tokio::select! {
                    _ = up => (),
                    _ = down => (),
                }
                cuts.fetch_add(1, Ordering::Relaxed);
            });
            Ok(Box::new(near) as Box<dyn Io>)
        })
    })
}

fn quick() -> SessionOptions {
    SessionOptions {
        first_wait: Duration::from_millis(2),
        longest_wait: Duration::from_millis(20),
        ..SessionOptions::default()
    }
}

/// Sends numbers, each as soon as one has come back, many under way; all must come back in order.
async fn play(mut session: Session) -> u64 {
    let to = Outgoing {
        user_id: 42,
        ..Outgoing::to("game")
    };
    let (mut sent, mut answered, mut resumed) = (0_u64, 0_u64, 0);
    while answered < ROUND_TRIPS {
        while sent < ROUND_TRIPS && sent < answered + 16 {
            assert!(session.send(&to, sent.to_be_bytes()).await);
            sent += 1;
        }
        match soon(session.next()).await.expect("an event") {
            Event::Data(data) => {
                assert_eq!(data.payload[..], answered.to_be_bytes(), "in order");
                answered += 1;
            }
            Event::Resumed { gap: false, .. } => resumed += 1,
            Event::Started(_) | Event::Interrupted => {}
            other => panic!("{other:?} after {answered}"),
        }
    }
    session.close().await;
    loop {
        match soon(session.next()).await {
            Some(Event::Ended(End::Local)) => return resumed,
            Some(Event::Resumed { gap: false, .. } | Event::Interrupted) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_at_random_lose_nothing() {
    let backend = Backend::start("127.0.0.1:0".parse().expect("an address"), echo).await;
    let backend = backend.expect("a backend");
    let routes = format!(
        r#"{{"rules":{{"game":{{"strategy":"round_robin","endpoints":["{}"]}}}}}}"#,
        backend.address()
    );
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = 2).await;
    let cuts = Arc::<AtomicU64>::default();
    let mut players = tokio::task::JoinSet::new();
    for seed in 0..SESSIONS {
        let connect = cutting(gateway.players, seed, Arc::clone(&cuts));
        players.spawn(play(Session::start(connect, quick())));
    }
    let mut resumed = 0;
    while let Some(player) = players.join_next().await {
        resumed += player.expect("no panic");
    }
    assert!(resumed > SESSIONS, "{resumed}");
    gateway.until("game_gateway_sessions", |n| n == 0).await;
    gateway.until("game_gateway_connections", |n| n == 0).await;
    soon(async {
        while backend.sessions() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let counts = backend.counts();
    assert_eq!(counts.opens_refused, 0, "{counts:?}");
    let gaps = "game_gateway_resumed_sessions_total{how=\"gap\"}";
    assert_eq!(gateway.metric(gaps).await, 0);
}
