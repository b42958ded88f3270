//! The share of new sessions that an endpoint fails: it ends them with an error of its own before it has said anything
//! else. Its links stand meanwhile, so nothing else shows that it is of no use.
//!
//! It counts only beside other endpoints of the service that do better. Where all fail alike it is not the endpoint: it
//! is what they all need, or somebody who sends what makes every one of them fail; avoiding some would not help.

use std::time::{Duration, Instant};

/// The time over which sessions are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Failed sessions of an endpoint within a window, and sessions of the others, below which their shares say nothing.
const LEAST: u64 = 10;
/// The share of failed sessions, in percent, from which an endpoint is an outlier.
const PERCENT: u64 = 50;
/// How many times the share of the others it must be.
const TIMES: u64 = 2;

/// Sessions that an endpoint has been sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Openings {
    /// All of them.
    pub opened: u64,
    /// Those that it has failed.
    pub failed: u64,
}

impl Openings {
    /// Tells whether an endpoint fails so many that others are worth a look.
    pub fn is_failing(self) -> bool {
        self.failed >= LEAST && self.failed * 100 >= self.opened * PERCENT
    }

    /// Tells whether an endpoint is an outlier beside the others of its service.
    pub fn is_outlier(self, others: Openings) -> bool {
        let is_worse = self.failed * others.opened >= TIMES * others.failed * self.opened;
        self.is_failing() && others.opened >= LEAST && is_worse
    }

    fn since(self, before: Openings) -> Openings {
        // Counts begin at 0 again when all pools to the endpoint were gone.
        Openings {
            opened: self.opened.saturating_sub(before.opened),
            failed: self.failed.saturating_sub(before.failed),
        }
    }
}

impl std::iter::Sum for Openings {
    fn sum<I: Iterator<Item = Openings>>(all: I) -> Openings {
        all.fold(Openings::default(), |sum, one| Openings {
            opened: sum.opened + one.opened,
            failed: sum.failed + one.failed,
        })
    }
}

/// Sessions of one endpoint by windows, whoever looks and however often.
#[derive(Debug, Default)]
pub struct OpeningWindows {
    began: Option<(Instant, Openings)>,
    newest: Openings,
}

impl OpeningWindows {
    /// Takes the counts of all sessions so far. Returns those of a window that has ended with this look.
    pub fn look(&mut self, so_far: Openings, now: Instant) -> Option<Openings> {
        let (since, before) = *self.began.get_or_insert((now, so_far));
        if now.saturating_duration_since(since) < WINDOW {
            return None;
        }
        self.began = Some((now, so_far));
        self.newest = so_far.since(before);
        Some(self.newest)
    }

    /// Returns the counts of the newest whole window.
    pub fn newest(&self) -> Openings {
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn openings(opened: u64, failed: u64) -> Openings {
        Openings { opened, failed }
    }

    #[test]
    fn an_outlier_fails_many_a_large_share_and_alone() {
        let (well, ill) = (openings(1000, 10), openings(1000, 400));
        for (own, others, is_outlier) in [
            (openings(10, 10), well, true),
            (openings(20, 10), well, true),
            (openings(9, 9), well, false),
            (openings(21, 10), well, false),
            (openings(20, 10), ill, false),
            (openings(20, 16), ill, true),
            (openings(20, 20), openings(20, 20), false),
            (openings(20, 20), openings(9, 0), false),
            (openings(20, 20), Openings::default(), false),
            (Openings::default(), well, false),
        ] {
            assert_eq!(own.is_outlier(others), is_outlier, "{own:?} {others:?}");
        }
    }

    proptest! {
        /// Of a service's endpoints never all are outliers, and never one that fails less than another that is none.
        #[test]
        fn it_is_never_all(counts in proptest::collection::vec((0_u64..60, 0_u64..60), 1..6)) {
            let all: Vec<_> = counts.iter().map(|(well, ill)| openings(well + ill, *ill)).collect();
            let others = |own: usize| {
                all.iter().enumerate().filter(|(n, _)| *n != own).map(|(_, of)| *of).sum()
            };
            let outliers = (0..all.len()).filter(|own| all[*own].is_outlier(others(*own)));
            prop_assert!(outliers.count() < all.len());
        }

        /// Every session is counted in one window, however often and late one looks.
        #[test]
        fn windows_count_all(looks in proptest::collection::vec((0_u64..30, 0_u64..5, 0_u64..9000), 1..60)) {
            let (mut windows, mut now, mut so_far) = (OpeningWindows::default(), Instant::now(), Openings::default());
            windows.look(so_far, now);
            let (mut counted, mut ended) = (Vec::new(), now);
            for (well, failed, milliseconds) in looks {
                now += Duration::from_millis(milliseconds);
                so_far = [so_far, openings(well + failed, failed)].into_iter().sum();
                if let Some(window) = windows.look(so_far, now) {
                    prop_assert!(now - ended >= WINDOW);
                    prop_assert_eq!(window, windows.newest());
                    (ended, _) = (now, counted.push(window));
                }
            }
            now += WINDOW;
            counted.extend(windows.look(so_far, now));
            prop_assert_eq!(counted.into_iter().sum::<Openings>(), so_far);
        }
    }
}
