//! The game server that players play with: it follows their numbers, and sends its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use game_gateway::sdk::backend::{Backend, Replies, Service, SessionInfo};
use tokio::task::JoinHandle;
use tokio::time::interval;

use super::numbers::{Faults, Numbers};
use super::players::{PACE, SERVICE};
use crate::support::address;

/// The server's part of one session.
#[derive(Default)]
struct Played {
    from_player: Numbers,
    to_player: u64,
}

#[derive(Default)]
struct Game(Arc<Mutex<HashMap<u64, Played>>>);

impl Service for Game {
    /// Handles a player's frame, which is its number, and answers with the server's next number.
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
        let number = payload
            .first_chunk()
            .map(|bytes| u64::from_be_bytes(*bytes));
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let played = sessions.entry(session.session_id).or_default();
        // Only the player knows if it was told of a gap; it adds that up at the end.
        played.from_player.take(number.expect("a number"), false);
        speak(session.session_id, played, out);
    }
}

fn speak(session_id: u64, played: &mut Played, out: &mut Replies<'_>) {
    if out.send(session_id, &played.to_player.to_be_bytes()) {
        played.to_player += 1;
    }
}

/// A game server that answers, and speaks unasked to every session.
pub(crate) struct Server {
    backend: Arc<Backend>,
    sessions: Arc<Mutex<HashMap<u64, Played>>>,
    speaking: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.speaking.abort();
    }
}

impl Server {
    pub(crate) async fn start() -> Server {
        let game = Game::default();
        let sessions = game.0.clone();
        let backend = Arc::new(
            Backend::start(address::own(), game)
                .await
                .expect("a backend"),
        );
        let (speaker, known) = (backend.clone(), sessions.clone());
        let speaking = tokio::spawn(async move {
            let mut ticks = interval(PACE);
            loop {
                ticks.tick().await;
                speaker.speak(SERVICE, |out| {
                    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                    for (id, played) in &mut *known {
                        if out.session(*id).is_some() {
                            speak(*id, played, out);
                        }
                    }
                });
            }
        });
        Server {
            backend,
            sessions,
            speaking,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.backend.address()
    }

    /// Sessions that it has now.
    pub(crate) fn sessions(&self) -> usize {
        self.backend.sessions()
    }

    /// Returns the faults in this session, and how many frames it got up to the last; none where
    /// it has never had the session.
    pub(crate) fn faults(&self, session_id: u64) -> Option<(Faults, u64)> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let played = &sessions.get(&session_id)?.from_player;
        Some((played.faults, played.next))
    }
}
