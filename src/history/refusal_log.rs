//! The line about refusals: one a second for all workers, however many there are.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::refusals::Refusal;
use crate::codec::code::Code;

/// Time between two lines.
const INTERVAL: Duration = Duration::from_secs(1);
/// Kinds of refusals that a line names; the others are counted.
const MOST_KINDS: usize = 8;

/// Refusals with the same code, reason and service.
#[derive(Debug)]
struct Sum {
    code: Option<Code>,
    reason: Box<str>,
    service: Box<str>,
    count: u64,
}

/// Refusals that no line tells of yet.
#[derive(Debug, Default)]
pub struct RefusalSums {
    kinds: Vec<Sum>,
    others: u64,
}

/// Says which refusals there were. All workers share it.
#[derive(Debug)]
pub struct RefusalLog {
    told: Mutex<(Option<Instant>, RefusalSums)>,
    /// Some are to be told.
    owes: AtomicBool,
}

impl RefusalSums {
    /// Counts a refusal.
    pub fn add(&mut self, refusal: &Refusal<'_>) {
        self.count(refusal.code, refusal.reason, refusal.service, 1);
    }

    fn count(&mut self, code: Option<Code>, reason: &str, service: &str, count: u64) {
        let is_it =
            |sum: &&mut Sum| sum.code == code && *sum.reason == *reason && *sum.service == *service;
        if let Some(sum) = self.kinds.iter_mut().find(is_it) {
            sum.count += count;
        } else if self.kinds.len() < MOST_KINDS {
            self.kinds.push(Sum {
                code,
                reason: reason.into(),
                service: service.into(),
                count,
            });
        } else {
            self.others += count;
        }
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    fn take(&mut self, more: &mut RefusalSums) {
        for sum in more.kinds.drain(..) {
            self.count(sum.code, &sum.reason, &sum.service, sum.count);
        }
        self.others += std::mem::take(&mut more.others);
    }

    fn all(&self) -> u64 {
        self.kinds.iter().map(|sum| sum.count).sum::<u64>() + self.others
    }
}

impl fmt::Display for RefusalSums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, sum) in self.kinds.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} times", sum.count)?;
            if let Some(code) = sum.code {
                write!(f, " {}", code.0)?;
            }
            write!(f, " {}", sum.reason)?;
            if !sum.service.is_empty() {
                write!(f, " ({})", sum.service)?;
            }
        }
        match self.others {
            0 => Ok(()),
            others => write!(f, ", {others} others"),
        }
    }
}

impl Default for RefusalLog {
    fn default() -> RefusalLog {
        RefusalLog {
            told: Mutex::default(),
            owes: AtomicBool::new(false),
        }
    }
}

impl RefusalLog {
    /// Takes what a worker has counted, and says it where the last line is a second old. Called again and again.
    pub fn look(&self, counted: &mut RefusalSums) {
        if !counted.is_empty() || self.owes.load(Relaxed) {
            let due = self.due(counted, Instant::now());
            if let Some(due) = due {
                let refusals = due.all();
                tracing::info!(target: "game_gateway::refusals", refusals, kinds = %due, "players were refused");
            }
        }
    }

    fn due(&self, counted: &mut RefusalSums, now: Instant) -> Option<RefusalSums> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, sums) = &mut *told;
        sums.take(counted);
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        let due = (is_due && !sums.is_empty()).then(|| {
            *last = Some(now);
            let mut due = std::mem::take(sums);
            due.kinds.sort_by_key(|sum| std::cmp::Reverse(sum.count));
            due
        });
        self.owes.store(!sums.is_empty(), Relaxed);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(reason: &str) -> Refusal<'_> {
        Refusal {
            code: Some(Code::NO_ROUTE),
            reason,
            service: "zone",
            realm_id: 0,
            user_id: 0,
            client: ([192, 0, 2, 7], 1).into(),
        }
    }

    #[test]
    fn a_second_is_one_line() {
        let (log, now) = (RefusalLog::default(), Instant::now());
        let mut counted = RefusalSums::default();
        counted.add(&refusal("a"));
        let first = log
            .due(&mut counted, now)
            .expect("the first is told at once");
        assert_eq!(first.to_string(), "1 times 404 a (zone)");
        for n in 0..1_000_u64 {
            counted.add(&refusal(if n == 0 { "a" } else { "b" }));
            assert!(
                log.due(&mut counted, now + Duration::from_millis(n % 1_000))
                    .is_none()
            );
        }
        assert!(counted.is_empty() && log.owes.load(Relaxed));
        let second = log.due(&mut counted, now + INTERVAL).expect("the rest");
        assert_eq!(
            second.to_string(),
            "999 times 404 b (zone), 1 times 404 a (zone)"
        );
        assert!(!log.owes.load(Relaxed));
        assert!(log.due(&mut counted, now + 3 * INTERVAL).is_none());
    }

    #[test]
    fn a_flood_of_kinds_is_bounded() {
        let mut counted = RefusalSums::default();
        for n in 0..10_000 {
            counted.add(&refusal(&n.to_string()));
        }
        assert_eq!((counted.kinds.len(), counted.all()), (MOST_KINDS, 10_000));
        assert!(counted.to_string().ends_with(", 9992 others"), "{counted}");
    }
}
