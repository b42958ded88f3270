//! One kind of abuse after the other: what the allocator keeps of one is of no use to the next, and stays resident.

use game_gateway::codec::link::{self, Kind};

use crate::http;
use crate::rings::Resumable;
use crate::stage::{LIMIT, MIB, SMALL, Served};
use crate::support::wire::{Link, Player};
use crate::websocket;

/// Resident memory for 100 bytes of the budget, and what is added: as docs/operations.md says.
const PRICE_PERCENT: u64 = 250;
const ADDED: u64 = 8 * MIB;
const ROUNDS: usize = 2;

struct Stage {
    served: Served,
    link: Option<Link>,
}

impl Stage {
    fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("the link")
    }

    /// Players who read nothing, each of whom is sent `frames` of so many bytes in turn.
    async fn slow_readers(&mut self, players: usize, frames: usize, bytes: usize) {
        let mut readers = Vec::new();
        for _ in 0..players {
            let mut player = Player::connect_narrow(self.served.players).await;
            player.data("game", b"hello").await;
            let session_id = self.link().next_open().await;
            self.link().data().await;
            readers.push((player, session_id));
        }
        // A large frame that has begun ends its link while memory is short: each is there before the next begins.
        let at_once = if bytes > 64 * 1024 { 1 } else { players };
        for _ in 0..frames {
            for some in readers.chunks(at_once) {
                let mut round = Vec::new();
                for (_, session_id) in some {
                    link::encode(&mut round, Kind::Data, *session_id, &vec![7; bytes]);
                }
                self.link().raw(&round).await;
                self.served.held().await;
            }
        }
    }

    /// Sessions that are left by players who have read much.
    async fn left_sessions(&mut self) {
        let mut players = Vec::new();
        for _ in 0..64 {
            players.push(Resumable::start(&self.served, &mut self.link).await);
        }
        for _ in 0..16 {
            for player in &players {
                self.link()
                    .send(Kind::Data, player.session_id, &[7; 16_000])
                    .await;
            }
            self.served.held().await;
        }
    }

    async fn bodies(&mut self) {
        let mut requests = Vec::new();
        for _ in 0..64 {
            requests.push(http::post(&self.served, 1_000_000).await);
        }
        self.served.fill(&mut requests, &vec![7; 999_999]).await;
    }

    async fn fragments(&mut self) {
        let fragments = websocket::fragments(976_000, 16_000);
        let mut clients = Vec::new();
        for _ in 0..64 {
            clients.push(websocket::open(self.served.players).await);
        }
        self.served.fill(&mut clients, &fragments).await;
    }

    /// Waits until nothing is left of those who are gone.
    async fn rest(&mut self, what: &str, before: u64) {
        let peak = self.served.peak().saturating_sub(before);
        self.served.until_held(|held| held < MIB).await;
        let resident = self.served.resident().saturating_sub(before);
        println!("{what}: grown by {peak} at most so far, by {resident} when all have gone");
    }
}

#[tokio::test]
async fn kinds_of_abuse_in_turn_keep_the_resident_memory_bounded() {
    let settings =
        format!("{SMALL}\nsession.replay_bytes = \"256KiB\"\nsession.resume_window = \"1s\"");
    let served = Served::start(&settings).await;
    let before = served.resident();
    let mut stage = Stage { served, link: None };
    stage.left_sessions().await;
    for _ in 0..ROUNDS {
        stage
            .rest("sessions of players who have left", before)
            .await;
        stage.slow_readers(32, 64, 16_000).await;
        stage.rest("slow readers", before).await;
        stage.bodies().await;
        stage.rest("bodies", before).await;
        stage.slow_readers(24, 1, 1_000_000).await;
        stage.rest("slow readers of large frames", before).await;
        stage.fragments().await;
        stage.rest("fragments", before).await;
        stage.left_sessions().await;
    }
    let (grown, bound) = (
        stage.served.peak() - before,
        LIMIT * PRICE_PERCENT / 100 + ADDED,
    );
    println!("in turn: grown by {grown} at most, limit {LIMIT}, bound {bound}");
    assert!(grown <= bound, "{grown} of {bound}");
}
