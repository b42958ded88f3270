//! A player on whom nobody may have an effect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::support::wire::Player;

/// A player who sends numbered frames, one after the other, and must get each back in order.
pub(crate) struct Resident {
    ends: Arc<AtomicBool>,
    plays: JoinHandle<Played>,
}

/// What a resident has seen.
pub(crate) struct Played {
    pub(crate) frames: u64,
    pub(crate) longest: Duration,
}

impl Resident {
    /// Returns when the first frame is back.
    pub(crate) async fn start(players: SocketAddr) -> Resident {
        let ends = Arc::new(AtomicBool::new(false));
        let mut player = Player::connect_to(players).await;
        exchange(&mut player, "game", 0).await;
        let stop = Arc::clone(&ends);
        let plays = tokio::spawn(async move {
            let (mut frames, mut longest) = (1, Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                let sent = Instant::now();
                exchange(&mut player, "game", frames).await;
                longest = longest.max(sent.elapsed());
                frames += 1;
            }
            Played { frames, longest }
        });
        Resident { ends, plays }
    }

    pub(crate) async fn end(&mut self) -> Played {
        self.ends.store(true, Ordering::Relaxed);
        let played = (&mut self.plays).await;
        played.expect("the resident's frames go on exactly")
    }
}

/// Sends a number, which must come back.
pub(crate) async fn exchange(player: &mut Player, service: &str, number: u64) {
    player.data(service, &number.to_be_bytes()).await;
    let answer = player.answer().await;
    assert_eq!(&answer.payload[..], &number.to_be_bytes(), "in order");
}
