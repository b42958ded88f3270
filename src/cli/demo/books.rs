//! The outcome of every frame, over all players.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::codec::code::Code;

/// The frames to one service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Frames {
    pub(super) sent: u64,
    pub(super) answered: u64,
    /// Not answered, and the player was told so by an ERROR or a CLOSE.
    pub(super) told: u64,
    /// Frames with neither an answer nor a notice.
    pub(super) lost: u64,
    /// Unexpected answers, or answers that differ from what was sent.
    pub(super) wrong: u64,
}

/// Everything counted since the start.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    pub(super) services: BTreeMap<&'static str, Frames>,
    /// Frames answered, by transport.
    pub(super) answered_over: BTreeMap<&'static str, u64>,
    /// Frames refused, by the code of the ERROR or CLOSE that said so.
    pub(super) refused: BTreeMap<u16, u64>,
    /// ERRORs that concerned no frame under way, by code.
    pub(super) notices: BTreeMap<u16, u64>,
    /// Sessions that ended well.
    pub(super) sessions: u64,
    /// Connections that failed or ended without a word.
    pub(super) broken: u64,
    /// Players that did not finish in time.
    pub(super) left_behind: u64,
    /// The upgrade of a game server, once it is done.
    pub(super) upgrade: Option<Upgrade>,
}

/// Outcome of the upgrade of a game server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Upgrade {
    /// Sessions that live at its successor.
    pub(super) moved: u64,
    /// Sessions that were neither moved nor ended in time.
    pub(super) cut_off: usize,
    /// From its word that it leaves until its last session was gone.
    pub(super) took: Duration,
}

/// The outcome of the frame under way.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    /// Answered after this time, over this transport.
    Answered(Duration, &'static str),
    Told(Code),
    Lost,
    Wrong,
    /// A frame was answered after all: the ERROR was about those before it.
    AnsweredLate(Code),
}

#[derive(Debug, Default)]
struct Open {
    totals: Totals,
    /// Of the answers since the view was drawn last.
    latencies: Vec<Duration>,
}

/// The books, shared by all players.
#[derive(Debug, Default)]
pub(super) struct Books(Mutex<Open>);

impl Totals {
    /// Returns true if there were answers, and every frame has one or a notice.
    pub(super) fn is_clean(&self) -> bool {
        let all = |count: fn(&Frames) -> u64| self.services.values().map(count).sum::<u64>();
        let faults = all(|frames| frames.lost + frames.wrong) + self.broken + self.left_behind;
        let cut_off = self.upgrade.map_or(0, |upgrade| upgrade.cut_off);
        faults == 0 && cut_off == 0 && all(|frames| frames.answered) > 0
    }
}

impl Books {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sent(&self, service: &'static str) {
        self.open().totals.services.entry(service).or_default().sent += 1;
    }

    pub(super) fn ended(&self, service: &'static str, outcome: Outcome) {
        let mut open = self.open();
        let Open { totals, latencies } = &mut *open;
        let frames = totals.services.entry(service).or_default();
        match outcome {
            Outcome::Answered(latency, transport) => {
                *totals.answered_over.entry(transport).or_default() += 1;
                frames.answered += 1;
                latencies.push(latency);
            }
            Outcome::Told(code) => {
                frames.told += 1;
                *totals.refused.entry(code.0).or_default() += 1;
            }
            Outcome::Lost => frames.lost += 1,
            Outcome::Wrong => frames.wrong += 1,
            Outcome::AnsweredLate(code) => {
                frames.told -= 1;
                frames.answered += 1;
                *totals.refused.entry(code.0).or_default() -= 1;
                *totals.notices.entry(code.0).or_default() += 1;
            }
        }
    }

    pub(super) fn notice(&self, code: Code) {
        *self.open().totals.notices.entry(code.0).or_default() += 1;
    }

    pub(super) fn session_ended(&self) {
        self.open().totals.sessions += 1;
    }

    pub(super) fn broken(&self) {
        self.open().totals.broken += 1;
    }

    pub(super) fn left_behind(&self, players: u64) {
        self.open().totals.left_behind += players;
    }

    pub(super) fn upgraded(&self, upgrade: Upgrade) {
        self.open().totals.upgrade = Some(upgrade);
    }

    pub(super) fn totals(&self) -> Totals {
        self.open().totals.clone()
    }

    /// Takes the latencies since the last call, shortest first.
    pub(super) fn take_latencies(&self) -> Vec<Duration> {
        let mut latencies = std::mem::take(&mut self.open().latencies);
        latencies.sort_unstable();
        latencies
    }
}
