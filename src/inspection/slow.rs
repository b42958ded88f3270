//! Which backends answer players late. What is late only the service itself can tell: a game in turns answers when it is
//! somebody's turn. So an endpoint is compared with what its service takes usually.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::BackendSnapshot;

/// Answers of which half came later than this, in microseconds, may be late; quicker ones are not.
const LATE_US: u64 = 250_000;
/// Times the usual that they are late beyond.
const TIMES_USUAL: u64 = 5;
/// Microseconds without anything from a backend that are not long.
const SILENT_US: u64 = 5_000_000;
/// Fewer answers say nothing.
const ENOUGH: u64 = 5;

/// How a backend is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Slow {
    /// Half of its answers take much longer than usual.
    Late,
    /// Nothing comes from it any more but PONGs, though players send.
    Silent,
}

/// Says what is usual at each service, and which endpoints are slow.
pub(super) fn judge(rows: &mut [BackendSnapshot]) {
    let mut usual: BTreeMap<String, u64> = BTreeMap::new();
    for row in &*rows {
        let answers = row.times.usual_answer.percentiles();
        if let Some(answers) = answers.filter(|answers| answers.count >= ENOUGH) {
            let least = usual.entry(row.service.clone()).or_insert(u64::MAX);
            *least = answers.p50_us.min(*least);
        }
    }
    for row in rows {
        row.usual_answer_us = usual.get(&row.service).copied();
        row.slow = row.usual_answer_us.and_then(|usual| slow(row, usual));
    }
}

fn slow(row: &BackendSnapshot, usual: u64) -> Option<Slow> {
    let late = usual.saturating_mul(TIMES_USUAL);
    if row.silent_us > Some(late.max(SILENT_US)) {
        return Some(Slow::Silent);
    }
    let answers = row.answer.filter(|answers| answers.count >= ENOUGH)?;
    (answers.p50_us > late.max(LATE_US)).then_some(Slow::Late)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::backends::unused;
    use super::*;
    use crate::metrics::{Recent, RecentTimes};

    fn times(ms: &[u64]) -> RecentTimes {
        let (now, recent) = (Instant::now(), Recent::new(Duration::from_secs(60)));
        ms.iter()
            .for_each(|ms| recent.observe(Duration::from_millis(*ms), now));
        recent.snapshot(now)
    }

    /// An endpoint of a service whose answers took these milliseconds, of late and before that.
    fn row(service: &str, of_late: &[u64], before: &[u64]) -> BackendSnapshot {
        let endpoint = ([127, 0, 0, 1], 9300).into();
        let mut row = unused(service.to_owned(), endpoint, true);
        row.answer = times(of_late).percentiles();
        row.times.usual_answer = times(&[of_late, before].concat());
        row
    }

    fn judged<const N: usize>(mut rows: [BackendSnapshot; N]) -> [Option<Slow>; N] {
        judge(&mut rows);
        rows.map(|row| row.slow)
    }

    #[test]
    fn one_that_becomes_slow_is_late_beside_others_and_by_itself() {
        let (quick, slow) = ([30; 60], [730; 60]);
        let rows = [row("a", &quick, &[]), row("a", &slow, &[])];
        assert_eq!(judged(rows), [None, Some(Slow::Late)]);
        let rows = [row("a", &slow, &[30; 600])];
        assert_eq!(judged(rows), [Some(Slow::Late)]);
        // Those of another service say nothing of it, and it has always been so.
        let rows = [row("a", &quick, &[]), row("b", &slow, &[])];
        assert_eq!(judged(rows), [None, None]);
    }

    #[test]
    fn what_is_usual_is_not_late() {
        // A game in turns; one whose frames often need no answer; few answers; five times as much, and little.
        for (of_late, before) in [
            (&[20_000; 9][..], &[15_000; 100][..]),
            (&[30, 30, 30, 60_000, 60_000], &[30; 100]),
            (&[700; 4], &[30; 100]),
            (&[200; 60], &[1; 100]),
        ] {
            assert_eq!(judged([row("a", of_late, before)]), [None], "{of_late:?}");
        }
    }

    #[test]
    fn silence_is_too_long_where_answers_are_usual() {
        let silent = |us, before: &[u64]| {
            let mut row = row("a", &[], before);
            row.silent_us = Some(us);
            judged([row])
        };
        assert_eq!(silent(SILENT_US + 1, &[30; 100]), [Some(Slow::Silent)]);
        assert_eq!(silent(SILENT_US, &[30; 100]), [None]);
        assert_eq!(silent(SILENT_US + 1, &[2_000; 100]), [None]);
        // Nobody knows what it answers.
        assert_eq!(silent(SILENT_US + 1, &[]), [None]);
    }
}
