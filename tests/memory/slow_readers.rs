//! Players and backends that do not read.

use std::net::{Ipv4Addr, SocketAddr};

use game_gateway::codec::link::{self, Kind};

use crate::rings::Resumable;
use crate::stage::{MIB, SLACK, Served};

/// Players.
const READERS: usize = 24;
/// Bytes of a frame: large enough to be written from the read that it came in.
const FRAME: usize = 2048;
/// Memory for a byte in a queue.
const FACTOR: u64 = 2;

/// Bytes that the kernel may take for one who does not read: 32 KiB, the segments around them, and what is under
/// way.
const IN_KERNEL: u64 = 512 * 1024;

/// Frames for all players in turn, so that each read of the link has some for everybody.
#[tokio::test]
async fn a_queued_frame_does_not_keep_its_read_alive() {
    let served = Served::start("session.outbound_queue = \"64MiB\"").await;
    let (mut link, players) = served.sessions(READERS).await;
    let before = served.resident();
    let mut round = Vec::new();
    for (_, session_id) in &players {
        link::encode(&mut round, Kind::Data, *session_id, &[7; FRAME]);
    }
    let mut waiting = 0;
    while waiting < 24 * MIB {
        for _ in 0..64 {
            link.raw(&round).await;
        }
        waiting = queued(&served).await;
    }
    let grown = served.resident() - before;
    let bound = FACTOR * waiting + SLACK;
    println!("{READERS} slow readers: {waiting} bytes queued, {grown} resident, bound {bound}");
    assert!(grown <= bound, "{grown} of {bound}");
}

async fn queued(served: &Served) -> u64 {
    let sessions = served.json("/api/v1/sessions?limit=100").await;
    let sessions = sessions["sessions"].as_array().expect("sessions");
    let queued = sessions.iter().map(|s| s["queued_bytes"].as_u64());
    queued.map(|bytes| bytes.expect("a number")).sum()
}

/// What is queued when a resumable session loses its player is written by others than the session.
#[tokio::test]
async fn a_queue_that_is_left_behind_counts_once() {
    const QUEUE: u64 = 8 * MIB;
    let served = Served::start("session.outbound_queue = \"8MiB\"").await;
    let mut link = None;
    let reader = Resumable::start(&served, &mut link).await;
    let link = link.as_mut().expect("a link");
    let mut frames = Vec::new();
    for _ in 0..64 {
        link::encode(&mut frames, Kind::Data, reader.session_id, &[7; FRAME]);
    }
    while served.metric("game_gateway_suspended_sessions_total").await == 0 {
        link.raw(&frames).await;
    }
    let peak = served.json("/api/v1/memory").await["peak_bytes"].clone();
    let peak = peak.as_u64().expect("a number");
    println!("a queue of {QUEUE} bytes that is left behind: {peak} held at most");
    assert!((QUEUE..QUEUE * 3 / 2).contains(&peak), "{peak}");
}

#[tokio::test]
async fn the_kernel_takes_little_for_a_player_who_does_not_read() {
    let served = Served::start("session.outbound_queue = \"64MiB\"").await;
    let (mut link, players) = served.sessions(1).await;
    let mut frames = Vec::new();
    for _ in 0..64 {
        link::encode(&mut frames, Kind::Data, players[0].1, &[7; FRAME]);
    }
    // Far more than the kernel would take, so what waits here has been refused there.
    while queued(&served).await < 8 * MIB {
        link.raw(&frames).await;
    }
    let taken = unacknowledged(|local, _| local == served.players);
    println!("a slow player: {taken} bytes in the kernel, bound {IN_KERNEL}");
    assert!(0 < taken && taken <= IN_KERNEL, "{taken} of {IN_KERNEL}");
}

#[tokio::test]
async fn the_kernel_takes_little_for_a_backend_that_does_not_read() {
    let served = Served::start("").await;
    let (_link, mut players) = served.sessions(1).await;
    let (mut player, _) = players.remove(0);
    let playing = tokio::spawn(async move {
        loop {
            player.data("", &[7; FRAME]).await;
        }
    });
    // The link's queue fills up behind the kernel's.
    while served.held().await < MIB {
        crate::support::wire::look_again().await;
    }
    playing.abort();
    let taken = unacknowledged(|_, remote| remote == served.backend.address);
    println!("a slow backend: {taken} bytes in the kernel, bound {IN_KERNEL}");
    assert!(0 < taken && taken <= IN_KERNEL, "{taken} of {IN_KERNEL}");
}

/// Returns the bytes that the kernel has for a connection of this host, which it tells by both addresses.
fn unacknowledged(is_it: impl Fn(SocketAddr, SocketAddr) -> bool) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's connections");
    let queue = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, local, remote, "01", queues, ..] = fields[..] else {
            return None;
        };
        let (sent, _) = queues.split_once(':')?;
        let sent = u64::from_str_radix(sent, 16).expect("hexadecimal");
        is_it(address(local)?, address(remote)?).then_some(sent)
    };
    table.lines().find_map(queue).expect("the connection")
}

/// Reads an address as the kernel writes it.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?.to_ne_bytes();
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((Ipv4Addr::from(ip), port).into())
}
