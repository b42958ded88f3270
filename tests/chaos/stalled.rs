//! One player among 500 on a link who does not read: the others do not notice, also while another gateway claims its
//! session and the link is left by CLOSE 307; and it misses nothing.

use std::net::SocketAddr;

use game_gateway::codec::client::{FLAG_GAP, FLAG_RESUMABLE, Header, Kind, Opened};
use serde_json::Value;

use crate::load::{Fleet, Load, SERVICE, exact};
use crate::support::frames::frame;
use crate::support::wire::{Player, get, soon};

/// Frames that it does not read.
const FRAMES: u8 = 40;
const FRAME: usize = 16 * 1024;
const OTHERS: usize = 499;

/// A player's way to come back.
#[derive(Default)]
struct Ticket {
    session_id: u64,
    token: Vec<u8>,
}

impl Ticket {
    /// Reads the next frame, which must be OPENED; returns whether it tells of a gap.
    async fn renewed(&mut self, player: &mut Player) -> bool {
        let frame = player.next().await.expect("OPENED");
        assert_eq!(frame.header.kind, Kind::Opened as u8, "{frame:?}");
        let opened = Opened::decode(&frame.payload).expect("a payload");
        self.session_id = frame.header.session_id;
        self.token = opened.token.to_vec();
        frame.header.flags & FLAG_GAP != 0
    }

    /// Asks a gateway for the session, `received` frames having been read.
    async fn resume(&self, player: &mut Player, received: u64) {
        let header = Header {
            kind: Kind::Resume as u8,
            session_id: self.session_id,
            ..Header::default()
        };
        let payload = [&received.to_be_bytes()[..], &self.token].concat();
        player.send(header, "", &payload).await;
    }
}

/// Waits until a gateway has sent so many frames towards a player, whoever has them now.
async fn sent(admin: SocketAddr, session_id: u64, frames: u64) {
    let path = format!("/api/v1/sessions/{session_id}");
    soon(async {
        loop {
            let (status, body) = get(admin, &path).await;
            let session: Value = serde_json::from_str(&body).expect("JSON");
            if status == 200 && session["frames_out"].as_u64() >= Some(frames) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_player_among_five_hundred() {
    let _turn = crate::stage::turn().await;
    let fleet = Fleet::start(2, "session.replay_bytes = \"1MiB\"\n").await;
    let load = Load::start(fleet.players(0), OTHERS, &["--duration=10m"]);
    fleet.play(OTHERS).await;

    let mut stalled = Player::connect_narrow(fleet.players(0)).await;
    let mut ticket = Ticket::default();
    let resumable = Header {
        flags: FLAG_RESUMABLE,
        ..Header::default()
    };
    stalled.send(resumable, SERVICE, &[0; FRAME]).await;
    assert!(!ticket.renewed(&mut stalled).await);
    assert_eq!(&stalled.answer().await.payload[..], &[0; FRAME]);
    for number in 1..=FRAMES {
        stalled.data(SERVICE, &[number; FRAME]).await;
    }
    let admin = fleet.deployment.places[0].admin;
    sent(admin, ticket.session_id, u64::from(FRAMES) + 1).await;
    fleet.goes_on(0, 2 * OTHERS).await;

    // Elsewhere it does not read either.
    let mut again = Player::connect_narrow(fleet.players(1)).await;
    ticket.resume(&mut again, 1).await;
    fleet.at_least(1, "game_gateway_sessions", 1).await;
    fleet.goes_on(0, 2 * OTHERS).await;
    assert!(!ticket.renewed(&mut again).await, "nothing is missing");
    for number in 1..=FRAMES {
        let answer = again.answer().await;
        assert_eq!(&answer.payload[..], &[number; FRAME], "in order");
    }
    again.data(SERVICE, b"and on").await;
    assert_eq!(&again.answer().await.payload[..], b"and on");

    let report = load.end();
    exact(&report);
    assert_eq!(report["moves"], 0, "{report}");
    let silence = &report["longest_silence_ms"];
    println!(
        "{OTHERS} beside one that does not read, and is claimed: longest silence, ms: {silence}"
    );
    again.raw(&frame(Kind::Close as u8, "", &[0; 6])).await;
    assert!(again.next().await.is_none());
    drop(stalled);
    fleet.unharmed("one player stalled", &[0, 1]).await;
}
