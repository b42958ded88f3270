//! Storms of connections: everybody is answered or closed, and who plays does not notice.

use game_gateway::codec::client::Kind;
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stage::{Stage, connect_from, each, source};
use crate::support::frames::frame;
use crate::support::wire::soon;

/// Growth of memory that is no leak, in KiB: the tables of clients and timers keep their size, and the
/// allocator keeps what it once had.
const MEMORY_KIB: u64 = 32 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_connects() {
    const CONNECTS: usize = 20_000;
    let stage = Stage::start("").await;
    let (before_kib, players) = (stage.memory_kib(), stage.players);
    let ping = frame(Kind::Ping as u8, "", b"storm");
    let pong = frame(Kind::Pong as u8, "", b"storm");
    each(CONNECTS, 1000, |n| {
        let (ping, pong) = (&ping, &pong);
        async move {
            let socket = soon(connect_from(source(n % 1000), players)).await;
            let mut socket = socket.expect("connected");
            socket.write_all(ping).await.expect("sent");
            let mut answer = vec![0; pong.len()];
            soon(socket.read_exact(&mut answer))
                .await
                .expect("answered");
            assert_eq!(&answer, pong);
        }
    })
    .await;
    stage
        .unharmed("20,000 connects", MEMORY_KIB, before_kib)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_from_a_thousand_sources() {
    const SOURCES: usize = 1000;
    const EACH: usize = 4;
    let stage = Stage::start("listen.sniff_timeout = \"2s\"").await;
    let (before_kib, players) = (stage.memory_kib(), stage.players);
    each(SOURCES * EACH, 500, |n| async move {
        let mut random = StdRng::seed_from_u64(n as u64);
        let mut garbage = vec![0; random.random_range(1..4096)];
        random.fill_bytes(&mut garbage);
        match n % EACH {
            // Beginnings of what is spoken here, and garbage behind them.
            0 => garbage.splice(..0, [0xA7, 0x47, 1]).for_each(drop),
            1 => garbage.splice(..0, [0x16, 3, 1]).for_each(drop),
            2 => garbage
                .splice(..0, *b"POST /game HTTP/1.1\r\n")
                .for_each(drop),
            _ => {}
        }
        let socket = soon(connect_from(source(n % SOURCES), players)).await;
        let mut socket = socket.expect("connected");
        // It may be closed before all of it was taken.
        let _ = socket.write_all(&garbage).await;
        // Whatever is answered, the connection ends.
        let _ = soon(socket.read_to_end(&mut Vec::new())).await;
    })
    .await;
    stage.unharmed("garbage", MEMORY_KIB, before_kib).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opens_and_aborts() {
    const CONNECTS: usize = 10_000;
    let stage = Stage::start("").await;
    let (before_kib, players) = (stage.memory_kib(), stage.players);
    let begun = frame(0, "game", &[7; 2000]);
    each(CONNECTS, 500, |n| {
        let begun = &begun[..n % begun.len()];
        async move {
            let socket = soon(connect_from(source(n % 1000), players)).await;
            let mut socket = socket.expect("connected");
            socket.write_all(begun).await.expect("sent");
            socket.set_zero_linger().expect("set");
        }
    })
    .await;
    stage
        .unharmed("opens and aborts", MEMORY_KIB, before_kib)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_silent_connections() {
    const SILENT: usize = 5000;
    // What a connection without a word may cost, in KiB.
    const EACH_KIB: u64 = 4;
    let stage = Stage::start("listen.sniff_timeout = \"10s\"").await;
    let (before_kib, players) = (stage.memory_kib(), stage.players);
    let mut silent = Vec::new();
    for n in 0..SILENT {
        silent.push(
            connect_from(source(n % 1000), players)
                .await
                .expect("connected"),
        );
    }
    let all = SILENT as u64 + 1;
    stage.until("game_gateway_connections", |n| n == all).await;
    let cost_kib = stage.memory_kib() - before_kib;
    assert!(cost_kib <= EACH_KIB * SILENT as u64, "{cost_kib} KiB");
    assert_eq!(stage.health().await, 200);
    println!("{SILENT} silent connections: {cost_kib} KiB");
    for mut socket in silent {
        // Closed by the gateway, with nothing sent.
        assert_eq!(soon(socket.read(&mut [0; 1])).await.ok(), Some(0));
    }
    stage
        .unharmed("silent connections", MEMORY_KIB, before_kib)
        .await;
}
