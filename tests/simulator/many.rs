//! Many seeds, on several threads, and the table of what has happened in them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::counts::Counts;
use crate::log::Detail;
use crate::plan::{Plan, What};
use crate::run::{run, show};
use crate::wire::Violation;

/// Seeds that failed once: they are run first. The first word of a line counts.
const KEPT: &str = include_str!("kept_seeds");
/// Seeds that a thread takes at a time.
const BATCH: u64 = 64;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);

/// What became of many seeds.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) seeds: u64,
    pub(crate) counts: Counts,
    /// In the order of their seeds.
    pub(crate) failed: Vec<(u64, Violation)>,
    took: Duration,
}

impl Runs {
    fn take(&mut self, seed: u64) {
        let outcome = run(&Plan::new(seed), Detail::Nothing);
        self.seeds += 1;
        self.counts.add(&outcome.counts);
        if let Some(violation) = outcome.violation {
            self.failed.push((seed, violation));
        }
    }

    fn add(&mut self, other: Runs) {
        self.seeds += other.seeds;
        self.counts.add(&other.counts);
        self.failed.extend(other.failed);
        self.failed.sort_by_key(|(seed, _)| *seed);
    }

    /// Prints the table; `all`: with every failing seed.
    pub(crate) fn table(&self, all: bool) {
        let (seeds, took) = (self.seeds, self.took.as_secs_f64());
        eprintln!(
            "{seeds} seeds in {took:.1} s, {:.0} a second",
            seeds as f64 / took
        );
        let mut counts = self.counts.clone();
        for (name, number) in counts.numbers() {
            eprintln!("{number:>14} {name}");
        }
        eprintln!("Faults:");
        for name in What::FAULTS {
            eprintln!("{:>14} {name}", self.times(name));
        }
        for (rule, seeds) in self.rules() {
            let first = &seeds[..seeds.len().min(if all { usize::MAX } else { 5 })];
            eprintln!("{} x {rule}: {first:?}", seeds.len());
        }
    }

    fn times(&self, fault: &str) -> u64 {
        self.counts.faults.get(fault).copied().unwrap_or(0)
    }

    /// Faults that have not happened.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let never = |name: &&&str| self.times(name) == 0;
        What::FAULTS.iter().filter(never).copied().collect()
    }

    fn rules(&self) -> BTreeMap<&'static str, Vec<u64>> {
        let mut rules = BTreeMap::<_, Vec<u64>>::new();
        for (seed, violation) in &self.failed {
            rules.entry(violation.rule).or_default().push(*seed);
        }
        rules
    }

    /// Shows the first failing seed of each kind, shrunk.
    pub(crate) fn show(&self) {
        for seeds in self.rules().values() {
            let first = self.failed.iter().find(|(seed, _)| *seed == seeds[0]);
            if let Some((seed, violation)) = first {
                show(*seed, violation, false);
            }
        }
    }
}

/// The seeds that failed once.
pub(crate) fn kept() -> Vec<u64> {
    let lines = KEPT.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = |line: &str| line.split_whitespace().next().and_then(|w| w.parse().ok());
    lines.map(|line| first(line).unwrap()).collect()
}

/// Runs these seeds on `jobs` threads; each seed on one.
pub(crate) fn many(kept: &[u64], range: Range<u64>, jobs: u64, progress: bool) -> Runs {
    // A panic in a run is a finding, and told as one.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let (began, mut runs) = (Instant::now(), Runs::default());
    kept.iter().for_each(|seed| runs.take(*seed));
    let (next, failed) = (AtomicU64::new(range.start), AtomicU64::new(0));
    let work = |tells: bool| {
        let (mut mine, mut told) = (Runs::default(), Instant::now());
        loop {
            let from = next.fetch_add(BATCH, Ordering::Relaxed);
            if from >= range.end {
                return mine;
            }
            let before = mine.failed.len();
            (from..(from + BATCH).min(range.end)).for_each(|seed| mine.take(seed));
            let found = (mine.failed.len() - before) as u64;
            let all = failed.fetch_add(found, Ordering::Relaxed) + found;
            if tells && told.elapsed() >= PROGRESS {
                told = Instant::now();
                let done = next.load(Ordering::Relaxed).min(range.end) - range.start;
                eprintln!("{done} seeds, {all} fail");
            }
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..jobs).map(|_| scope.spawn(|| work(false))).collect();
        runs.add(work(progress));
        for other in others {
            runs.add(other.join().unwrap());
        }
    });
    std::panic::set_hook(hook);
    runs.took = began.elapsed();
    runs
}
