//! The costs of each transport.

use std::collections::BTreeMap;

use crate::bounds::{self, Measured};
use crate::calls::{fewest, windows};
use crate::counted::Counted;
use crate::player::{Player, TCP, TLS, Transport, WEBSOCKET, WEBSOCKET_TLS};
use crate::support::wire::{Backend, Link};

/// Frames that are under way at once, with the load's name.
const LOADS: [(&str, usize); 2] = [("a round trip", 1), ("a burst of 64 frames", 64)];
/// Equal windows of a load, the least of which counts. Each is short: on a busy machine too, most of them have nothing else in
/// them.
const WINDOWS: usize = 32;
/// Sessions of which the most common size counts: now and then one makes a table grow that all share, or comes
/// when something else is done.
const IDLE: usize = 16;

/// Returns the allocations of the window with the fewest.
async fn allocations(
    gateway: &mut Counted,
    player: &mut Player,
    link: &mut Link,
    frames: usize,
) -> u64 {
    let mut before = gateway.count().allocations;
    let mut fewest = u64::MAX;
    for _ in 0..WINDOWS {
        player.round_trip(frames, link).await;
        let after = gateway.count().allocations;
        fewest = fewest.min(after - before);
        before = after;
    }
    fewest
}

/// Returns the bytes that a session holds once it is idle, without its part in tables that all share.
async fn idle(transport: Transport, gateway: &mut Counted, link: &mut Link) -> u64 {
    let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
    let mut players = Vec::new();
    let mut before = gateway.count().bytes;
    for _ in 0..IDLE {
        players.push(Player::join(transport, gateway, link).await);
        let after = gateway.count().bytes;
        *sizes.entry(after.saturating_sub(before)).or_default() += 1;
        before = after;
    }
    let common = sizes.iter().max_by_key(|(_, times)| **times);
    *common.expect("a size").0
}

async fn measure(transport: Transport) {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("calls");
    let backend = Backend::start().await;
    let mut gateway = Counted::start(&backend, &log);
    let (mut player, mut link) = Player::first(transport, &gateway, &backend).await;
    // Buffers get the size that they keep.
    for (_, frames) in LOADS {
        player.round_trip(frames, &mut link).await;
    }
    let mut measured = Measured::new();
    for (load, frames) in LOADS {
        let count = allocations(&mut gateway, &mut player, &mut link, frames).await;
        measured.insert(format!("{load}: allocations"), count);
    }
    let bytes = idle(transport, &mut gateway, &mut link).await;
    measured.insert("an idle session: bytes".to_owned(), bytes);
    gateway.end();

    // The count that a load begins with ends a window of its own.
    for ((load, _), windows) in LOADS.iter().zip(windows(&log).chunks(WINDOWS + 1)) {
        for (call, count) in fewest(&windows[..WINDOWS]) {
            measured.insert(format!("{load}: {call}"), *count);
        }
    }
    bounds::check(transport, &measured);
}

#[tokio::test]
async fn tcp() {
    measure(TCP).await;
}

#[tokio::test]
async fn websocket() {
    measure(WEBSOCKET).await;
}

#[tokio::test]
async fn tls() {
    measure(TLS).await;
}

#[tokio::test]
async fn websocket_in_tls() {
    measure(WEBSOCKET_TLS).await;
}
