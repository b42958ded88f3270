//! The client library and the backend library, with connections that are cut while traffic runs.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use game_gateway::sdk::backend::{Backend, Service, echo};
use game_gateway::sdk::client::session::{Connect, End, Event, Session, SessionOptions, dial};
use game_gateway::sdk::client::{Options, Outgoing, Transport};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::address;
use crate::support::wire::{Gateway, soon};

/// Sessions that play at the same time.
const SESSIONS: u64 = 20;
/// Round trips of each.
const ROUND_TRIPS: u64 = 2_000;

/// Relays connections, and cuts each of them after a random number of bytes from the gateway.
pub(crate) async fn cutting_relay(gateway: SocketAddr, seed: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut random = StdRng::seed_from_u64(seed);
        while let Ok((near, _)) = listener.accept().await {
            // Long enough for the first OPENEDs; then anywhere, also within a frame.
            let life = random.random_range(900..6_000);
            tokio::spawn(relay(near, gateway, life));
        }
    });
    address
}

async fn relay(mut near: TcpStream, gateway: SocketAddr, life: u64) {
    let Ok(mut far) = TcpStream::connect(gateway).await else {
        return;
    };
    let ((mut from, mut to), (read, mut write)) = (near.split(), far.split());
    let mut limited = read.take(life);
    // Whichever ends first cuts both.
    tokio::select! {
        _ = tokio::io::copy(&mut from, &mut write) => (),
        _ = tokio::io::copy(&mut limited, &mut to) => (),
    }
}

/// Connects over TCP and WebSocket alternately.
fn by_turns(address: SocketAddr) -> Connect {
    let over = |transport| {
        let options = Options {
            transport,
            ..Options::default()
        };
        dial(address, options)
    };
    let (tcp, websocket) = (over(Transport::Tcp), over(Transport::Websocket));
    let turn = AtomicBool::new(false);
    Box::new(move || match turn.fetch_xor(true, Ordering::Relaxed) {
        false => tcp(),
        true => websocket(),
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

/// Starts a gateway, and a backend that echoes.
pub(crate) async fn echoing() -> (Gateway, Backend) {
    playing(echo).await
}

/// Starts a gateway, and a backend with this service.
pub(crate) async fn playing(service: impl Service) -> (Gateway, Backend) {
    let backend = Backend::start(address::own(), service).await;
    let backend = backend.expect("a backend");
    let routes = format!(
        r#"{{"rules":{{"game":{{"strategy":"round_robin","endpoints":["{}"]}}}}}}"#,
        backend.address()
    );
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = 2).await;
    (gateway, backend)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_at_random_lose_nothing() {
    let (gateway, backend) = echoing().await;
    let mut players = tokio::task::JoinSet::new();
    for seed in 0..SESSIONS {
        let relay = cutting_relay(gateway.players, seed).await;
        players.spawn(play(Session::start(by_turns(relay), quick())));
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
            crate::support::wire::look_again().await;
        }
    })
    .await;
    let counts = backend.counts();
    assert_eq!(counts.opens_refused, 0, "{counts:?}");
    let gaps = "game_gateway_resumed_sessions_total{how=\"gap\"}";
    assert_eq!(gateway.metric(gaps).await, 0);
}
