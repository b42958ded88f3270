//! A reference game server: matches in memory, whose state can be checked to the byte wherever it has been moved.
//!
//! A match is a realm; its players are the sessions in that realm. A player's frames come back as they are, and are
//! counted and summed in order, so a frame that is lost, doubled, late or changed shows. The frame
//! [`ASK_STATE`] is answered with the player's state: whoever has sent and heard the same has the same bytes. A session
//! without a realm is in no match: its frames come back, and that is all.
//!
//! The demo, `game-gateway loadtest` and tests play on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Replies, Service, SessionInfo};
use crate::codec::code::Code;

/// Asks for the state; it does not count.
pub const ASK_STATE: &[u8] = b"state?";
/// Begins the answer to [`ASK_STATE`]; a [`Player`] follows.
pub const STATE: &[u8] = b"state ";
/// Begins what the server says unasked; a `u64` follows, which counts from 0 for each player.
pub const PUSH: &[u8] = b"push ";

/// FNV-1a, 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// A player's part of a match: what moves with its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Player {
    /// The realm.
    pub match_id: u32,
    /// Frames that have come from the player.
    pub heard: u64,
    /// Sum of their bytes and lengths, in order.
    pub checksum: u64,
    /// Frames that the server has sent unasked: the next one's number.
    pub pushed: u64,
}

impl Player {
    /// Length of the encoding, in bytes.
    pub const LEN: usize = 28;

    /// Creates the part of a player who has said nothing yet.
    pub fn new(match_id: u32) -> Player {
        Player {
            match_id,
            heard: 0,
            checksum: FNV_OFFSET,
            pushed: 0,
        }
    }

    /// Counts and sums one frame.
    pub fn hear(&mut self, payload: &[u8]) {
        self.heard += 1;
        let length = (payload.len() as u64).to_be_bytes();
        for byte in payload.iter().chain(&length) {
            self.checksum = (self.checksum ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }

    /// Returns the number in a frame that the server has sent unasked; none where it is another frame.
    pub fn push_number(payload: &[u8]) -> Option<u64> {
        let number = payload.strip_prefix(PUSH)?.try_into().ok()?;
        Some(u64::from_be_bytes(number))
    }

    /// Encodes it: `u32 match_id`, `u64 heard`, `u64 checksum`, `u64 pushed`.
    pub fn encode(&self) -> [u8; Player::LEN] {
        let mut bytes = [0; Player::LEN];
        bytes[..4].copy_from_slice(&self.match_id.to_be_bytes());
        let counters = [self.heard, self.checksum, self.pushed];
        for (place, counter) in bytes[4..].chunks_exact_mut(8).zip(counters) {
            place.copy_from_slice(&counter.to_be_bytes());
        }
        bytes
    }

    /// Decodes it; none unless it has exactly that length.
    pub fn decode(bytes: &[u8]) -> Option<Player> {
        let bytes: &[u8; Player::LEN] = bytes.try_into().ok()?;
        let (match_id, rest) = bytes.split_first_chunk::<4>()?;
        let (counters, _) = rest.as_chunks::<8>();
        let [heard, checksum, pushed] = counters.try_into().ok()?;
        Some(Player {
            match_id: u32::from_be_bytes(*match_id),
            heard: u64::from_be_bytes(heard),
            checksum: u64::from_be_bytes(checksum),
            pushed: u64::from_be_bytes(pushed),
        })
    }
}

/// The matches of one server. Clones are the same matches.
#[derive(Debug, Clone, Default)]
pub struct Matches {
    /// By session.
    players: Arc<Mutex<BTreeMap<u64, Player>>>,
}

impl Matches {
    /// Sends each player that can be reached the next of its numbered frames.
    pub fn push(&self, out: &mut Replies<'_>) {
        for (session_id, player) in &mut *self.lock() {
            let payload = [PUSH, &player.pushed.to_be_bytes()].concat();
            // One that has been handed over is another server's to speak to.
            if out.session(*session_id).is_some() && out.send(*session_id, &payload) {
                player.pushed += 1;
            }
        }
    }

    /// Returns a session's part of its match; none where it is in no match here.
    pub fn player(&self, session_id: u64) -> Option<Player> {
        self.lock().get(&session_id).copied()
    }

    /// Returns the ids of the matches that have players here.
    pub fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.lock().values().map(|player| player.match_id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Returns a match's state: of each player, in the order of their sessions, `u64 session_id` and its part.
    pub fn state(&self, match_id: u32) -> Vec<u8> {
        let players = self.lock();
        let of_match = players.iter().filter(|(_, p)| p.match_id == match_id);
        of_match.fold(Vec::new(), |mut state, (session_id, player)| {
            state.extend(session_id.to_be_bytes());
            state.extend(player.encode());
            state
        })
    }

    /// Counts a frame of a session that is in a match; returns the player's part of it.
    pub fn hear(&self, session: &SessionInfo, payload: &[u8]) -> Option<Player> {
        if session.realm_id == 0 {
            return None;
        }
        let mut players = self.lock();
        let player = players.get_mut(&session.session_id)?;
        if payload != ASK_STATE {
            player.hear(payload);
        }
        Some(*player)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Player>> {
        self.players.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service for Matches {
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
        match self.hear(session, payload) {
            Some(player) if payload == ASK_STATE => {
                out.send(session.session_id, &[STATE, &player.encode()].concat());
            }
            Some(_) | None => {
                out.send(session.session_id, payload);
            }
        }
    }

    fn opened(&mut self, session: &SessionInfo, _: &mut Replies<'_>) {
        if session.realm_id != 0 {
            // A player who is known has come back, or has just arrived.
            let new = || Player::new(session.realm_id);
            self.lock().entry(session.session_id).or_insert_with(new);
        }
    }

    fn transfers(&self) -> bool {
        true
    }

    fn on_transfer(&mut self, session: &SessionInfo, _: &mut Replies<'_>) -> Vec<u8> {
        let player = self.player(session.session_id);
        player.map_or_else(Vec::new, |player| player.encode().to_vec())
    }

    fn on_arrival(&mut self, session: &SessionInfo, state: &[u8]) -> Result<(), Code> {
        let mut players = self.lock();
        // What was known of an earlier stay is outdated, whatever comes of this.
        players.remove(&session.session_id);
        if state.is_empty() && session.realm_id == 0 {
            return Ok(());
        }
        let player = Player::decode(state).filter(|player| player.match_id == session.realm_id);
        players.insert(session.session_id, player.ok_or(Code::MALFORMED)?);
        Ok(())
    }

    fn departed(&mut self, session: &SessionInfo) {
        self.lock().remove(&session.session_id);
    }

    fn ended(&mut self, session: &SessionInfo, _: Code) {
        self.lock().remove(&session.session_id);
    }
}

#[cfg(test)]
#[path = "matches_tests.rs"]
mod tests;
