//! Players that do not read.

use game_gateway::codec::link::{self, Kind};

use crate::stage::{MIB, SLACK, Served};

/// Players.
const READERS: usize = 24;
/// Bytes of a frame: large enough to be written from the read that it came in.
const FRAME: usize = 2048;
/// Memory for a byte in a queue.
const FACTOR: u64 = 2;

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
    let queued = |sessions: &serde_json::Value| -> u64 {
        let sessions = sessions["sessions"].as_array().expect("sessions");
        let queued = sessions.iter().map(|s| s["queued_bytes"].as_u64());
        queued.map(|bytes| bytes.expect("a number")).sum()
    };
    let mut waiting = 0;
    while waiting < 24 * MIB {
        for _ in 0..64 {
            link.raw(&round).await;
        }
        waiting = queued(&served.json("/api/v1/sessions?limit=100").await);
    }
    let grown = served.resident() - before;
    let bound = FACTOR * waiting + SLACK;
    println!("{READERS} slow readers: {waiting} bytes queued, {grown} resident, bound {bound}");
    assert!(grown <= bound, "{grown} of {bound}");
}
