//! Time that actors spend in their handlers. Of kinds that get messages with each read one in 128 is timed; for the
//! others no clock is asked. Of the other kinds each is timed while they are few, and one in 16 when connections come
//! and go by the thousand.
//!
//! Hot path: a load and a branch for each message.

use std::any::{TypeId, type_name};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::Kind;
use super::snapshots::TimesSnapshot;
use crate::metrics::{Count, Histogram, HistogramSnapshot, Recent, RecentTimes};

/// Messages of clients and links of which one is timed, and turns at their sockets.
const SAMPLED: u64 = 128;
/// The same of other kinds where they have had [`EACH_AT_ONCE`], and come faster than every [`EACH_MS`].
const MANY: u64 = 16;
/// Messages of which each is timed, however fast they come.
const EACH_AT_ONCE: u64 = 512;
/// Milliseconds after which one more of them is.
const EACH_MS: u64 = 10;
/// Types of messages of one kind of actor that are told apart; the last one stands for all others too.
pub(super) const MAX_TYPES: usize = 32;
/// How long percentiles remember.
const RECENT: Duration = Duration::from_secs(60);

/// Says which messages are timed: one of so many on the average, at random distances, for a rhythm of theirs must not
/// always be met at the same beat.
#[derive(Debug)]
pub(super) struct Dice {
    pace: Pace,
    due: Count,
    distance: Count,
    state: Count,
}

#[derive(Debug)]
enum Pace {
    /// One of so many.
    One(u64),
    /// Each while there is credit, one of [`MANY`] otherwise.
    Each(Credit),
}

/// Messages that may each be timed.
#[derive(Debug)]
struct Credit {
    since: Instant,
    left: Count,
    /// When it last grew, in steps of [`EACH_MS`].
    grown: Count,
}

impl Credit {
    /// Takes one, if there is any.
    fn take(&self, now: Instant) -> bool {
        let steps = now.saturating_duration_since(self.since).as_millis() as u64 / EACH_MS;
        let more = steps.saturating_sub(self.grown.get());
        let left = (self.left.get() + more).min(EACH_AT_ONCE);
        self.grown.set(steps);
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

impl Dice {
    fn new(pace: Pace) -> Dice {
        let dice = Dice {
            pace,
            due: Count::default(),
            distance: Count::default(),
            state: Count::default(),
        };
        // The first is timed.
        dice.distance.set(1);
        dice
    }

    /// Times one of so many.
    fn one_of(mean: u64) -> Dice {
        Dice::new(Pace::One(mean))
    }

    /// Times each while they are few.
    fn each() -> Dice {
        let credit = Credit {
            since: Instant::now(),
            left: Count::default(),
            grown: Count::default(),
        };
        credit.left.set(EACH_AT_ONCE);
        Dice::new(Pace::Each(credit))
    }

    /// Begins to time the message that is the `count`th, if it is due.
    #[inline]
    fn roll(&self, count: u64) -> Option<Begun> {
        (count >= self.due.get()).then(|| self.begin(count, Instant::now()))
    }

    #[cold]
    fn begin(&self, count: u64, at: Instant) -> Begun {
        let stands_for = self.distance.get();
        let mean = match &self.pace {
            Pace::One(mean) => *mean,
            Pace::Each(credit) if credit.take(at) => 1,
            Pace::Each(_) => MANY,
        };
        // Knuth's generator; its high bits are good enough for distances.
        let state = self.state.get().wrapping_mul(6_364_136_223_846_793_005);
        let state = state.wrapping_add(1_442_695_040_888_963_407);
        self.state.set(state);
        let distance = 1 + (state >> 33) % (2 * mean - 1);
        self.distance.set(distance);
        self.due.set(count + distance);
        Begun { at, stands_for }
    }
}

/// A handler that is being timed.
#[derive(Debug)]
pub struct Begun {
    at: Instant,
    /// Messages since the last that was timed.
    stands_for: u64,
}

impl Begun {
    /// Ends the timing.
    pub(super) fn end(&self) -> Timed {
        let now = Instant::now();
        Timed {
            now,
            took: now.saturating_duration_since(self.at),
            stands_for: self.stands_for,
        }
    }
}

/// A handler that was timed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timed {
    pub(super) now: Instant,
    pub(super) took: Duration,
    pub(super) stands_for: u64,
}

impl Timed {
    /// Returns the time of all messages that this one stands for, in nanoseconds.
    pub(super) fn all_ns(&self) -> u64 {
        let took = u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX);
        took.saturating_mul(self.stands_for)
    }
}

/// What was timed: a message, or a turn at something else.
#[derive(Debug, Clone, Copy)]
pub(super) struct What {
    pub(super) id: TypeId,
    full_name: &'static str,
}

impl What {
    /// A message, by its type's name.
    pub(super) fn message<M: 'static>() -> What {
        What::turn::<M>(type_name::<M>())
    }

    /// A turn of `M`, which is no message.
    pub(super) fn turn<M: 'static>(name: &'static str) -> What {
        What {
            id: TypeId::of::<M>(),
            full_name: name,
        }
    }

    /// Returns the name, without the modules that the type is in.
    pub(super) fn name(&self) -> &'static str {
        let name = self.full_name.rsplit("::").next();
        name.unwrap_or(self.full_name)
    }
}

/// Times of one kind of actor on one thread.
#[derive(Debug)]
pub(super) struct MessageTimes {
    messages: Dice,
    turns: Count,
    turn: Dice,
    /// Estimated, as all messages take what those do that are timed.
    pub(super) busy_ns: Count,
    types: [OnceLock<Box<TypeTimes>>; MAX_TYPES],
}

impl MessageTimes {
    pub(super) fn new(kind: Kind) -> MessageTimes {
        let dice = || match kind {
            Kind::Client | Kind::Link => Dice::one_of(SAMPLED),
            _ => Dice::each(),
        };
        MessageTimes {
            messages: dice(),
            turns: Count::default(),
            turn: dice(),
            busy_ns: Count::default(),
            types: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    /// Begins to time the message that is the `handled`th, if it is due.
    #[inline]
    pub(super) fn message(&self, handled: u64) -> Option<Begun> {
        self.messages.roll(handled)
    }

    /// Counts a turn, and begins to time it if it is due.
    #[inline]
    pub(super) fn turn(&self) -> Option<Begun> {
        self.turns.one();
        self.turn.roll(self.turns.get())
    }

    pub(super) fn observe(&self, what: What, timed: Timed) {
        self.busy_ns.add(timed.all_ns());
        let mut types = self.types.iter();
        let own = |slot: &OnceLock<Box<TypeTimes>>| {
            slot.get_or_init(|| Box::new(TypeTimes::new(what))).what.id == what.id
        };
        let slot = types.find(|slot| own(slot)).or(self.types.last());
        if let Some(times) = slot.and_then(OnceLock::get) {
            times.timed.one();
            times.all.observe_many(timed.took, timed.stands_for);
            times
                .recent
                .observe_many(timed.took, timed.stands_for, timed.now);
        }
    }

    /// Adds these times to those of other threads.
    pub(super) fn add_to(&self, sums: &mut Vec<MessageSum>) {
        let now = Instant::now();
        for times in self.types.iter().filter_map(OnceLock::get) {
            let name = times.what.name();
            let at = match sums.iter().position(|sum| sum.name == name) {
                Some(at) => at,
                None => {
                    sums.push(MessageSum::new(name));
                    sums.len() - 1
                }
            };
            sums[at].timed += times.timed.get();
            sums[at].all.add(&times.all);
            sums[at].recent.add(times.recent.snapshot(now));
        }
    }
}

/// Times of one type of message.
#[derive(Debug)]
struct TypeTimes {
    what: What,
    timed: Count,
    all: Histogram,
    recent: Recent,
}

impl TypeTimes {
    fn new(what: What) -> TypeTimes {
        TypeTimes {
            what,
            timed: Count::default(),
            all: Histogram::default(),
            recent: Recent::new(RECENT),
        }
    }
}

/// Times of one type of message, over all threads.
#[derive(Debug)]
pub(super) struct MessageSum {
    name: &'static str,
    timed: u64,
    pub(super) all: HistogramSnapshot,
    recent: RecentTimes,
}

impl MessageSum {
    fn new(name: &'static str) -> MessageSum {
        MessageSum {
            name,
            timed: 0,
            all: HistogramSnapshot::default(),
            recent: RecentTimes::default(),
        }
    }

    fn snapshot(&self) -> TimesSnapshot {
        let seconds = self.all.sum_seconds();
        TimesSnapshot {
            recent: self.recent.percentiles(),
            ..TimesSnapshot::new(self.name, self.all.count(), self.timed, seconds)
        }
    }
}

/// Returns what is shown of sums, the type with the most time first.
pub(super) fn snapshots(sums: &[MessageSum]) -> Vec<TimesSnapshot> {
    let mut rows: Vec<_> = sums.iter().map(MessageSum::snapshot).collect();
    rows.sort_by(|a, b| b.busy_seconds.total_cmp(&a.busy_seconds));
    rows
}

#[cfg(test)]
#[path = "message_times_tests.rs"]
mod tests;
