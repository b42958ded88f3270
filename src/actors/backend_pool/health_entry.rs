//! One endpoint of the book: how each worker finds it, and what follows.

use std::time::{Duration, Instant};

use super::BackendHealth;
use crate::routing::health::{
    self, BreakerState, LEAST_SHARE, OpeningWindows, Openings, SlowStart, Telling, WHOLE_SHARE,
};

/// The entry.
#[derive(Debug, Default)]
pub(super) struct Entry {
    breaker: health::Breaker,
    /// It has failed, and nobody has reached it since: what others find of it meanwhile is the same failure.
    is_failing: bool,
    openings: OpeningWindows,
    /// The newest time for which it was open that was logged.
    told_wait: Option<Duration>,
    telling: Telling,
    slow_start: SlowStart,
    /// By worker; one that knows nothing is not there.
    views: Vec<(usize, BackendHealth)>,
}

/// How a worker finds an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub worker: usize,
    pub health: BackendHealth,
    /// Why, where it is down.
    pub error: &'a str,
}

/// Lines of the log that a view brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct News {
    /// The health is to be told.
    pub says_health: bool,
    /// The breaker has opened, for this time; none: it has not, or this is known.
    pub opened: Option<Duration>,
}

fn is_bad(health: BackendHealth) -> bool {
    match health {
        BackendHealth::Unknown | BackendHealth::Up => false,
        BackendHealth::Suspect | BackendHealth::Down | BackendHealth::Leaving => true,
    }
}

impl Entry {
    fn view(&self, worker: usize) -> Option<BackendHealth> {
        let own = self.views.iter().find(|(of, _)| *of == worker);
        own.map(|(_, health)| *health)
    }

    fn are_all(&self, right: impl Fn(BackendHealth) -> bool) -> bool {
        !self.views.is_empty() && self.views.iter().all(|(_, of)| right(*of))
    }

    /// Tells whether a worker should send new sessions elsewhere: by its own view, else by that of all others.
    pub(super) fn is_avoided_by(&self, worker: usize) -> bool {
        self.view(worker)
            .map_or_else(|| self.are_all(is_bad), is_bad)
    }

    pub(super) fn is_down(&self) -> bool {
        self.are_all(|health| health == BackendHealth::Down)
    }

    pub(super) fn is_suspect(&self) -> bool {
        let mut views = self.views.iter();
        views.any(|(_, of)| *of == BackendHealth::Suspect)
    }

    pub(super) fn breaker(&self, now: Instant) -> BreakerState {
        self.breaker.state(now)
    }

    /// Returns the sessions that it was sent in the newest window.
    pub(super) fn openings(&self) -> Openings {
        self.openings.newest()
    }

    pub(super) fn see(&mut self, view: View<'_>, now: Instant) -> News {
        let View {
            worker,
            health,
            error,
        } = view;
        let was_bad = self.view(worker).is_some_and(is_bad);
        if self.are_all(is_bad) && health == BackendHealth::Up {
            self.slow_start.returned(now);
        }
        self.forget(worker);
        if health != BackendHealth::Unknown {
            self.views.push((worker, health));
        }
        let opened = match health {
            BackendHealth::Suspect | BackendHealth::Down => self.fail(was_bad, now),
            BackendHealth::Up => {
                self.is_failing = false;
                if self.is_up() {
                    self.breaker.well(now);
                }
                None
            }
            BackendHealth::Leaving | BackendHealth::Unknown => None,
        };
        let says_health = match health {
            BackendHealth::Unknown => false,
            BackendHealth::Up => self.is_well_again(now),
            BackendHealth::Suspect => self.telling.trouble("suspect", now),
            BackendHealth::Leaving => self.telling.trouble("leaving", now),
            BackendHealth::Down => self.telling.trouble(error, now),
        };
        News {
            says_health,
            opened: self.new_wait(opened),
        }
    }

    /// A worker finds it bad. That is one failure for all workers, in whatever order they notice; and it is none where
    /// the backend has said that it leaves, or where a suspect is lost.
    fn fail(&mut self, was_bad: bool, now: Instant) -> Option<Duration> {
        if was_bad || self.is_failing || !self.breaker.is_apart(now) {
            self.breaker.ill(now);
            return None;
        }
        self.is_failing = true;
        self.breaker.failed(now)
    }

    /// Takes the counts of its sessions so far. Returns those of a window that has just ended.
    pub(super) fn count(&mut self, so_far: Openings, now: Instant) -> Option<Openings> {
        self.openings.look(so_far, now)
    }

    /// It fails sessions that others do not. Returns for how long the breaker is open now, where that is news.
    pub(super) fn eject(&mut self, now: Instant) -> Option<Duration> {
        let opened = self.breaker.eject(now);
        self.new_wait(opened)
    }

    fn new_wait(&mut self, opened: Option<Duration>) -> Option<Duration> {
        opened.filter(|wait| self.told_wait.replace(*wait) != Some(*wait))
    }

    /// Tells whether new sessions may come like to any other.
    pub(super) fn is_well(&self, now: Instant) -> bool {
        let all_well = self.views.iter().all(|(_, of)| !is_bad(*of));
        all_well && self.share(now) == WHOLE_SHARE
    }

    /// Returns the share of new sessions, in percent, where it is not avoided.
    pub(super) fn share(&self, now: Instant) -> u8 {
        match self.breaker.state(now) {
            BreakerState::Closed => self.slow_start.share(now),
            BreakerState::HalfOpen | BreakerState::Open => LEAST_SHARE,
        }
    }

    fn is_up(&self) -> bool {
        self.are_all(|health| !is_bad(health))
    }

    /// Tells whether it is to be said that it is well again.
    pub(super) fn is_well_again(&mut self, now: Instant) -> bool {
        if self.breaker.state(now) == BreakerState::Closed {
            self.told_wait = None;
        }
        self.is_up() && self.telling.well(now)
    }

    /// Forgets a worker's view. Returns whether nobody has one any more.
    pub(super) fn forget(&mut self, worker: usize) -> bool {
        self.views.retain(|(of, _)| *of != worker);
        self.views.is_empty()
    }
}
