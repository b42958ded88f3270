//! Time that one actor spends in its handlers, as far as it is timed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fading::FadingTimes;
use super::message_times::{MAX_TYPES, Timed, What};
use super::snapshots::{TimesSnapshot, rounded};

/// Times of one actor, by type of message.
#[derive(Debug, Default)]
pub(super) struct ActorTimes(Mutex<Vec<ActorType>>);

#[derive(Debug)]
struct ActorType {
    what: What,
    handled: u64,
    timed: u64,
    busy_ns: u64,
    longest: Duration,
    recent: FadingTimes,
}

impl ActorTimes {
    fn types(&self) -> MutexGuard<'_, Vec<ActorType>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn observe(&self, what: What, timed: Timed) {
        let mut types = self.types();
        let full = types.len() == MAX_TYPES;
        let at = types.iter().position(|own| own.what.id == what.id);
        let at = at.or_else(|| full.then_some(MAX_TYPES - 1));
        let at = at.unwrap_or_else(|| {
            types.push(ActorType {
                what,
                handled: 0,
                timed: 0,
                busy_ns: 0,
                longest: Duration::ZERO,
                recent: FadingTimes::new(timed.now),
            });
            types.len() - 1
        });
        let own = &mut types[at];
        own.timed += 1;
        own.handled += timed.stands_for;
        own.busy_ns = own.busy_ns.saturating_add(timed.all_ns());
        own.longest = own.longest.max(timed.took);
        own.recent.observe(timed.took, timed.now);
    }

    /// Returns what is shown of them, the type with the most time first.
    pub(super) fn snapshots(&self) -> Vec<TimesSnapshot> {
        let now = Instant::now();
        let row = |own: &mut ActorType| {
            let seconds = Duration::from_nanos(own.busy_ns).as_secs_f64();
            let longest = own.longest.as_secs_f64() * 1e6;
            TimesSnapshot {
                max_us: Some(rounded(longest, 1e3)),
                recent: own.recent.percentiles(now),
                ..TimesSnapshot::new(own.what.name(), own.handled, own.timed, seconds)
            }
        };
        let mut rows: Vec<_> = self.types().iter_mut().map(row).collect();
        rows.sort_by(|a, b| b.busy_seconds.total_cmp(&a.busy_seconds));
        rows
    }
}
