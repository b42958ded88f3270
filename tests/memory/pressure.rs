//! The whole budget is held, and nobody reads.

use game_gateway::codec::link::{self, Kind};

use crate::stage::{MIB, SLACK, Served};
use crate::support::wire::{Player, get};

/// `limits.memory`.
const LIMIT: u64 = 16 * MIB;
/// Resident memory for a byte of it.
const FACTOR: u64 = 2;
const READERS: usize = 32;

/// Sends to all until the budget is full and the largest queue has gone; returns the most that was held.
pub(crate) async fn fill(
    served: &Served,
    link: &mut crate::support::wire::Link,
    round: &[u8],
) -> u64 {
    let mut most = 0;
    while served
        .metric("game_gateway_memory_ended_queues_total")
        .await
        == 0
    {
        link.raw(round).await;
        most = most.max(served.held().await);
    }
    most
}

#[tokio::test]
async fn slow_readers_cannot_take_more_than_the_budget_and_it_comes_back() {
    let served =
        Served::start("limits.memory = \"16MiB\"\nsession.outbound_queue = \"4MiB\"").await;
    let (mut link, mut players) = served.sessions(READERS).await;
    let (mut healthy, own) = players.pop().expect("a player");
    let before = served.resident();
    let mut round = Vec::new();
    for (_, session_id) in &players {
        for _ in 0..4 {
            link::encode(&mut round, Kind::Data, *session_id, &[7; 2048]);
        }
    }
    let most = fill(&served, &mut link, &round).await;
    let grown = served.resident() - before;
    println!("{READERS} slow readers: {most} held, {grown} resident, limit {LIMIT}");
    assert!(most <= LIMIT, "{most} of {LIMIT}");
    assert!(grown <= FACTOR * LIMIT + SLACK, "{grown} of {LIMIT}");

    // Whoever reads plays on; nobody new comes in.
    link.send(Kind::Data, own, b"still here").await;
    assert_eq!(&healthy.answer().await.payload[..], b"still here");
    served
        .until_pressure(|pressure| pressure == "sessions" || pressure == "queues")
        .await;
    let (status, reasons) = get(served.admin, "/ready").await;
    assert!(status == 503 && reasons.contains("\"memory\""), "{reasons}");
    assert_eq!(get(served.players, "/health").await.0, 503);
    let mut late = Player::connect_to(served.players).await;
    late.data("game", b"hello").await;
    let (code, retry_after) = late.closed().await;
    assert!(code == 503 && retry_after >= 500, "{code} {retry_after}");

    drop(players);
    served.until_pressure(|pressure| pressure == "none").await;
    assert_eq!(get(served.players, "/health").await.0, 200);
    let mut next = Player::connect_to(served.players).await;
    next.data("game", b"hello").await;
    loop {
        let frame = link.next().await.expect("a frame");
        if frame.kind == Kind::Data as u8 {
            link.send(Kind::Data, frame.session_id, b"welcome").await;
            break;
        }
    }
    assert_eq!(&next.answer().await.payload[..], b"welcome");
    let left = served.held().await;
    assert!(left < MIB / 4, "{left} bytes are still held");
}

/// The one that holds the most ends; the others keep what they have.
#[tokio::test]
async fn the_largest_queue_ends_first() {
    let served =
        Served::start("limits.memory = \"8MiB\"\nsession.outbound_queue = \"16MiB\"").await;
    let (mut link, mut players) = served.sessions(4).await;
    let greedy = players[0].1;
    let mut round = Vec::new();
    for _ in 0..16 {
        link::encode(&mut round, Kind::Data, greedy, &[7; 4096]);
    }
    fill(&served, &mut link, &round).await;
    loop {
        let frame = link.next().await.expect("a frame");
        if frame.kind == Kind::Close as u8 {
            assert_eq!(frame.session_id, greedy);
            assert_eq!(frame.payload[..2], 507_u16.to_be_bytes());
            break;
        }
    }
    assert_eq!(
        served
            .metric("game_gateway_memory_ended_queues_total")
            .await,
        1
    );
    for (player, session_id) in &mut players[1..] {
        link.send(Kind::Data, *session_id, b"on").await;
        assert_eq!(&player.answer().await.payload[..], b"on");
    }
}

/// A budget that is made smaller holds at once.
#[tokio::test]
async fn the_budget_can_change_while_the_gateway_runs() {
    let queue = "session.outbound_queue = \"1GiB\"";
    let served = Served::start(&format!("limits.memory = \"256MiB\"\n{queue}")).await;
    let (mut link, players) = served.sessions(2).await;
    let mut round = Vec::new();
    for _ in 0..64 {
        link::encode(&mut round, Kind::Data, players[0].1, &[7; 4096]);
    }
    while served.held().await < 12 * MIB {
        link.raw(&round).await;
    }
    served.until_pressure(|pressure| pressure == "none").await;
    served.set(&format!("limits.memory = \"8MiB\"\n{queue}"));
    loop {
        let frame = link.next().await.expect("a frame");
        if frame.kind == Kind::Close as u8 {
            assert_eq!(frame.payload[..2], 507_u16.to_be_bytes());
            break;
        }
    }
    let memory = served.json("/api/v1/memory").await;
    assert_eq!(memory["limit_bytes"], 8 * MIB);
}
