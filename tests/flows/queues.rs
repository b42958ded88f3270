//! The queue of a link whose backend reads slowly, or not at all: its bound, its order, and who still lives.

use std::time::Duration;

use game_gateway::actors::backend_pool::BackendHealth;
use game_gateway::codec::buffers::SCRATCH_BYTES;
use game_gateway::codec::link::{Bind, Kind};
use game_gateway::config::Config;
use game_gateway::inspection::BackendSnapshot;

use crate::stage::{echo, player};
use crate::support::wire::{Backend, Gateway, Player, soon};

const WATERMARK: usize = 64 * 1024;
const PAUSED: &str = "game_gateway_paused_clients_total";
const LOST: &str = r#"game_gateway_ended_links_total{reason="ping_timeout"}"#;

fn small_queue(config: &mut Config) {
    config.backend.high_watermark = WATERMARK;
    config.backend.ping_interval = Duration::from_secs(3600);
}

async fn backend_of(gateway: &Gateway, service: &str) -> BackendSnapshot {
    let rows = gateway.inspector().backends().await;
    let row = rows.into_iter().find(|row| row.service == service);
    row.expect("a row")
}

/// Waits until the row of a service is as it must become.
async fn until(gateway: &Gateway, right: impl Fn(&BackendSnapshot) -> bool) -> BackendSnapshot {
    soon(async {
        loop {
            let row = backend_of(gateway, "game").await;
            if right(&row) {
                return row;
            }
            crate::support::wire::look_again().await;
        }
    })
    .await
}

fn numbered(number: u32, bytes: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(bytes, 7);
    payload
}

#[tokio::test]
async fn the_queue_does_not_grow_with_the_number_of_clients() {
    const CLIENTS: usize = 300;
    const FRAMES: u32 = 12;
    const BYTES: usize = 8_000;
    let backend = Backend::start_narrow().await;
    let gateway = Gateway::start_with(&backend.routes(), small_queue).await;
    let mut players = Vec::new();
    let first = player(&gateway, "game", &numbered(0, 4)).await;
    let mut link = backend.link().await;
    players.push(first);
    for _ in 1..CLIENTS {
        players.push(player(&gateway, "game", &numbered(0, 4)).await);
    }
    for _ in 0..2 * CLIENTS {
        link.next().await.expect("OPEN or DATA");
    }
    let feeders = players.into_iter().map(|mut player| {
        tokio::spawn(async move {
            for number in 1..=FRAMES {
                player.data("game", &numbered(number, BYTES)).await;
            }
            player
        })
    });
    let feeders: Vec<_> = feeders.collect();
    // What the kernel takes, a few of them send.
    gateway.until(PAUSED, |n| n >= CLIENTS as u64 / 2).await;
    let queued = backend_of(&gateway, "game").await.queued_bytes as usize;
    assert!(queued >= WATERMARK / 2, "{queued}: it is not full");
    assert!(queued <= WATERMARK + SCRATCH_BYTES, "{queued}");

    // Nothing is lost, doubled or reordered, and each gets its turn before anybody gets many.
    let mut next = std::collections::HashMap::new();
    for _ in 0..CLIENTS * FRAMES as usize {
        let data = link.data().await;
        let number = u32::from_be_bytes(data.payload[..4].try_into().expect("a number"));
        let before = next.insert(data.session_id, number).unwrap_or(0);
        assert_eq!(number, before + 1);
    }
    assert_eq!(next.len(), CLIENTS);
    for feeder in feeders {
        soon(feeder).await.expect("all sent");
    }
    until(&gateway, |row| row.queued_bytes == 0).await;
}

#[tokio::test]
async fn frames_that_waited_for_a_link_come_within_its_bound_too() {
    const CLIENTS: usize = 100;
    const BYTES: usize = 30_000;
    let backend = Backend::start_narrow().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        small_queue(config);
        config.backend.connect_timeout = Duration::from_secs(3600);
    })
    .await;
    let mut players = Vec::new();
    for _ in 0..CLIENTS {
        let mut player = player(&gateway, "game", &numbered(1, BYTES)).await;
        player.data("game", &numbered(2, BYTES)).await;
        players.push(player);
    }
    let all = (2 * CLIENTS) as u64;
    gateway
        .until("game_gateway_client_in_frames_total", |n| n == all)
        .await;
    // All at once: it is there, and reads nothing.
    let mut link = backend.link().await;
    let row = until(&gateway, |row| row.queued_bytes as usize >= WATERMARK / 2).await;
    assert!(
        row.queued_bytes as usize <= WATERMARK + 2 * SCRATCH_BYTES,
        "{}",
        row.queued_bytes
    );
    let mut next = std::collections::HashMap::new();
    while next.values().filter(|number| **number == 2).count() < CLIENTS {
        let queued = backend_of(&gateway, "game").await.queued_bytes as usize;
        assert!(queued <= WATERMARK + 2 * SCRATCH_BYTES, "{queued}");
        let frame = link.next().await.expect("a frame");
        if frame.kind == Kind::Data as u8 {
            let number = u32::from_be_bytes(frame.payload[..4].try_into().expect("a number"));
            let before = next.insert(frame.session_id, number).unwrap_or(0);
            assert_eq!(number, before + 1);
        }
    }
}

/// Has a player of `service` send until its link is full.
async fn fill(gateway: &Gateway, mut player: Player, service: &'static str) {
    tokio::spawn(async move {
        loop {
            player.data(service, &numbered(9, 32_000)).await;
        }
    });
    gateway.until(PAUSED, |n| n > 0).await;
}

#[tokio::test]
async fn a_flood_of_binds_leaves_one_bound_for_a_backend_that_does_not_read() {
    const BINDS: u64 = 20_000;
    let (game, chat) = (Backend::start().await, Backend::start().await);
    let rules = format!(
        r#"{{"rules":{{"game":{},"chat":{}}}}}"#,
        Backend::rule(&[&game]),
        Backend::rule(&[&chat])
    );
    let gateway = Gateway::start_with(&rules, small_queue).await;
    let mut bound = player(&gateway, "game", b"1").await;
    let mut full = game.link().await;
    let session_id = full.opened().await.session_id;
    full.data().await;
    bound.data("chat", b"1").await;
    let mut binder = chat.link().await;
    binder.opened().await;
    binder.data().await;
    fill(&gateway, player(&gateway, "game", b"2").await, "game").await;
    for user_id in 1..=BINDS {
        let realm_id = 0;
        let bind = Bind { user_id, realm_id };
        binder.send(Kind::Bind, session_id, &bind.encode()).await;
    }
    gateway
        .until("game_gateway_binds_total", |n| n == BINDS)
        .await;
    let queued = backend_of(&gateway, "game").await.queued_bytes as usize;
    assert!(queued <= WATERMARK + SCRATCH_BYTES, "{queued}");
    loop {
        let frame = full.next().await.expect("a frame");
        if frame.kind == Kind::Bound as u8 {
            let told = Bind::decode(&frame.payload).expect("BOUND");
            assert_eq!((frame.session_id, told.user_id), (session_id, BINDS));
            return;
        }
    }
}

#[tokio::test]
async fn a_backend_that_says_something_is_not_cut_however_late_its_pongs_are() {
    const INTERVAL: Duration = Duration::from_secs(1);
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.ping_interval = INTERVAL;
    })
    .await;
    let mut player = player(&gateway, "game", b"1").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    // It never answers, but it is never silent.
    let late = 4 * INTERVAL.as_micros() as u64;
    loop {
        link.send(Kind::Data, session_id, b"tick").await;
        player.answer().await;
        let row = backend_of(&gateway, "game").await;
        assert_eq!(row.health, BackendHealth::Up);
        if row.ping_age_us >= Some(late) {
            assert!(
                row.rtt_us >= Some(late),
                "its round trip is not what it was"
            );
            break;
        }
    }
    // Then it is.
    let row = until(&gateway, |row| row.health != BackendHealth::Up).await;
    assert_eq!(row.health, BackendHealth::Suspect);
    gateway.until(LOST, |n| n == 1).await;
    assert_eq!(player.error().await, (502, "game".to_owned()));
}

#[tokio::test]
async fn new_sessions_avoid_a_suspect_until_it_is_heard() {
    const INTERVAL: Duration = Duration::from_millis(700);
    let (one, two) = (Backend::start().await, Backend::start().await);
    let rules = format!(r#"{{"rules":{{"game":{}}}}}"#, Backend::rule(&[&one, &two]));
    let gateway = Gateway::start_with(&rules, |config| {
        config.backend.ping_interval = INTERVAL;
    })
    .await;
    let suspect = one.address;
    let health = |wanted| {
        let gateway = &gateway;
        async move {
            soon(async {
                loop {
                    let rows = gateway.inspector().backends().await;
                    let row = rows.iter().find(|row| row.address == Some(suspect));
                    if row.expect("a row").health == wanted {
                        return;
                    }
                    crate::support::wire::look_again().await;
                }
            })
            .await;
        }
    };
    let (mut first, mut second) = (
        Player::connect(&gateway).await,
        Player::connect(&gateway).await,
    );
    first.data("game", b"1").await;
    second.data("game", b"2").await;
    let mut hung = one.link().await;
    let hung_id = hung.opened().await.session_id;
    hung.data().await;
    echo(two);
    health(BackendHealth::Suspect).await;
    for _ in 0..6 {
        let mut other = player(&gateway, "game", b"3").await;
        assert_eq!(&other.answer().await.payload[..], b"3");
    }
    assert_eq!(gateway.metric(LOST).await, 0);
    hung.send(Kind::Data, hung_id, b"here I am").await;
    health(BackendHealth::Up).await;
    assert!(gateway.metric("game_gateway_suspect_links_total").await > 0);
}

#[tokio::test]
async fn a_ping_overtakes_what_is_queued() {
    const QUEUE: usize = 4 * 1024 * 1024;
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.high_watermark = QUEUE;
        config.backend.ping_interval = Duration::from_secs(2);
    })
    .await;
    let feeder = player(&gateway, "game", b"1").await;
    let mut link = backend.link().await;
    link.opened().await;
    link.data().await;
    until(&gateway, |row| row.ping_age_us.is_none()).await;
    fill(&gateway, feeder, "game").await;
    until(&gateway, |row| row.ping_age_us.is_some()).await;
    // What the network has taken comes before it, and one piece of the queue that had begun.
    let written = gateway.metric("game_gateway_link_out_bytes_total").await as usize;
    let mut before = 0;
    loop {
        let frame = link.next_raw().await.expect("a frame");
        if frame.kind == Kind::Ping as u8 {
            break;
        }
        before += frame.payload.len();
    }
    assert!(before <= written + SCRATCH_BYTES, "{before} of {written}");
    assert!(before + QUEUE / 2 < written + QUEUE, "the queue was full");
}
