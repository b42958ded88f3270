//! MULTICAST costs what it weighs, whatever it names.

use game_gateway::codec::link::{Kind, Multicast};

use crate::stage::{SLACK, Served};

/// Ids of one MULTICAST of 4 MiB.
const IDS: u64 = 512 * 1024;
/// Bytes of the gateway's memory for a byte of a MULTICAST: its frame, while it is gathered by doubling,
/// its ids on their way to the registry and back, and the answers.
const FACTOR: u64 = 8;
/// What is held of answers that the backend has not read: of all they would be 4 MiB.
const ANSWERS: u64 = 1024 * 1024;
const QUEUES: &str = "game_gateway_memory_held_bytes{part=\"link_queues\"}";

fn multicast(ids: impl Iterator<Item = u64>, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Multicast::encode(&mut out, &ids.collect::<Vec<_>>(), payload);
    out
}

#[tokio::test]
async fn half_a_million_unknown_ids_cost_what_they_weigh() {
    let served = Served::start("").await;
    let (mut link, mut players) = served.sessions(1).await;
    let (mut player, session_id) = players.remove(0);
    let before = served.peak();
    let flood = multicast((1..=IDS).map(|n| n << 32), &[7; 2000]);
    link.send(Kind::Multicast, 0, &flood).await;
    for n in 0..IDS {
        assert_eq!(link.closed().await.1, 421);
        if n % (IDS / 8) == 0 {
            let queued = served.metric(QUEUES).await;
            assert!(queued <= ANSWERS, "{queued} behind {n} answers");
        }
    }
    link.send(Kind::Data, session_id, b"still here").await;
    assert_eq!(&player.answer().await.payload[..], b"still here");
    let grown = served.peak() - before;
    let bound = FACTOR * flood.len() as u64 + SLACK;
    println!(
        "a MULTICAST of {} bytes: {grown}, bound {bound}",
        flood.len()
    );
    assert!(grown <= bound, "{grown} of {bound}");
}

#[tokio::test]
async fn one_id_half_a_million_times_is_one_data() {
    let served = Served::start("").await;
    let (mut link, mut players) = served.sessions(1).await;
    let (mut player, session_id) = players.remove(0);
    let before = served.peak();
    let flood = multicast((0..IDS).map(|_| session_id), &[7; 2000]);
    link.send(Kind::Multicast, 0, &flood).await;
    link.send(Kind::Data, session_id, b"next").await;
    assert_eq!(&player.answer().await.payload[..], [7; 2000]);
    assert_eq!(&player.answer().await.payload[..], b"next");
    let grown = served.peak() - before;
    let bound = FACTOR * flood.len() as u64 + SLACK;
    println!(
        "a MULTICAST of {} bytes: {grown}, bound {bound}",
        flood.len()
    );
    assert!(grown <= bound, "{grown} of {bound}");
}
