//! Everything at once: players who come, talk to several services and vanish, while backends die,
//! come back and leave. Nothing may be lost without a word, doubled or reordered, and nothing may
//! be left over.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use game_gateway::codec::client::{Header, Kind};
use game_gateway::sdk::backend::{Backend as EchoBackend, echo};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::address;
use crate::support::wire::{Gateway, Player, soon};

const SERVICES: [&str; 3] = ["a", "b", "c"];
const PLAYERS: u64 = 24;
const LIVES: usize = 6;
const BLOWS: usize = 24;

/// Outstanding frames of one player with one service.
#[derive(Default)]
struct Talk {
    next: u64,
    outstanding: VecDeque<u64>,
    last_answered: Option<u64>,
}

/// Plays until everything that was sent is answered, or the player was told why not.
async fn settle(player: &mut Player, talks: &mut HashMap<String, Talk>) {
    while talks.values().any(|talk| !talk.outstanding.is_empty()) {
        let frame = player.next().await.expect("the connection stands");
        let talk = talks.entry(frame.service.clone()).or_default();
        if frame.header.kind == Kind::Data as u8 {
            let number = u64::from_be_bytes(frame.payload[..8].try_into().expect("a number"));
            let later = talk.last_answered.is_none_or(|last| number > last);
            assert!(
                later && number < talk.next,
                "doubled or reordered: {number}"
            );
            talk.last_answered = Some(number);
            talk.outstanding.retain(|other| *other != number);
        } else {
            assert_eq!(frame.header.kind, Kind::Error as u8, "{frame:?}");
            // Whatever was under way to that service may be gone, and its player knows.
            talk.outstanding.clear();
        }
    }
}

async fn live(players: SocketAddr, rng: &mut StdRng) {
    let mut player = Player::connect_to(players).await;
    let mut talks = HashMap::<String, Talk>::new();
    for _ in 0..rng.random_range(1..12) {
        for _ in 0..rng.random_range(1..8) {
            let service = SERVICES[rng.random_range(0..SERVICES.len())];
            let talk = talks.entry(service.to_owned()).or_default();
            let mut payload = talk.next.to_be_bytes().to_vec();
            payload.resize(rng.random_range(8..5000), 7);
            player.data(service, &payload).await;
            talk.outstanding.push_back(talk.next);
            talk.next += 1;
        }
        if rng.random_ratio(4, 5) {
            settle(&mut player, &mut talks).await;
        }
    }
    match rng.random_range(0..4) {
        // In the middle of things, without a word.
        0 => drop(player),
        1 => player.raw(b"garbage").await,
        _ => {
            settle(&mut player, &mut talks).await;
            let close = Header {
                kind: Kind::Close as u8,
                ..Header::default()
            };
            player.send(close, "", &[]).await;
            // A late ERROR of a link that was lost may still be on its way.
            while player.next().await.is_some() {}
        }
    }
}

async fn backend_on(address: SocketAddr) -> EchoBackend {
    // The port may be taken for a moment by what the killed one still had open.
    soon(async {
        loop {
            match EchoBackend::start(address, echo).await {
                Ok(backend) => return backend,
                Err(_) => crate::support::wire::look_again().await,
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_without_a_word_and_nothing_is_left_over() {
    let seed = std::env::var("CHAOS_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| rand::rng().random());
    println!("CHAOS_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut backends = Vec::new();
    for _ in 0..3 {
        backends.push(backend_on(address::own()).await);
    }
    let list: Vec<String> = backends
        .iter()
        .map(|b| format!("\"{}\"", b.address()))
        .collect();
    let all = list.join(",");
    let routes = format!(
        r#"{{"rules":{{"a":{{"strategy":"round_robin","endpoints":[{all}]}},
            "b":{{"strategy":"consistent_hash","hash_key":"session_id","endpoints":[{all}]}},
            "c":{{"strategy":"round_robin","max_connections":2,"endpoints":[{}]}}}}}}"#,
        list[0]
    );
    let gateway = Gateway::start_with(&routes, |config| config.gateway.workers = 3).await;
    let address = gateway.players;
    let players: Vec<_> = (0..PLAYERS)
        .map(|number| {
            tokio::spawn(async move {
                let mut rng = StdRng::seed_from_u64(seed ^ number);
                for _ in 0..LIVES {
                    live(address, &mut rng).await;
                }
            })
        })
        .collect();
    for _ in 0..BLOWS {
        let seen = gateway.metric("game_gateway_client_in_frames_total").await;
        let victim = rng.random_range(0..backends.len());
        let backend = backends.remove(victim);
        let place = backend.address();
        if rng.random_ratio(1, 3) {
            backend.leave(false);
        }
        backend.abort().await;
        backends.insert(victim, backend_on(place).await);
        // Some play between two blows, unless all have played.
        let done = || players.iter().all(|player| player.is_finished());
        let name = "game_gateway_client_in_frames_total";
        gateway
            .until(name, |frames| frames > seen + 20 || done())
            .await;
    }
    for player in players {
        soon(player)
            .await
            .expect("every player was told everything");
    }
    nothing_is_left_over(&gateway).await;
}

async fn nothing_is_left_over(gateway: &Gateway) {
    for left in ["game_gateway_sessions", "game_gateway_connections"] {
        gateway.until(left, |n| n == 0).await;
    }
    let started = gateway.metric("game_gateway_started_sessions_total").await;
    assert_eq!(
        gateway.metric("game_gateway_ended_sessions_total").await,
        started
    );
    for inside in [
        r#"game_gateway_closed_connections_total{reason="internal"}"#,
        r#"game_gateway_ended_links_total{reason="panicked"}"#,
        r#"game_gateway_ended_links_total{reason="protocol_error"}"#,
    ] {
        assert_eq!(gateway.metric(inside).await, 0, "{inside}");
    }
    let mut fresh = Player::connect(gateway).await;
    for service in SERVICES {
        loop {
            fresh.data(service, b"as if nothing had been").await;
            let frame = fresh.next().await.expect("a frame");
            if frame.header.kind == Kind::Data as u8 {
                break assert_eq!(&frame.payload[..], b"as if nothing had been");
            }
        }
    }
}
