use proptest::prelude::*;

use super::*;

const S: Duration = Duration::from_secs(1);

#[test]
fn it_opens_for_longer_each_time_and_closes_when_the_endpoint_stays_well() {
    let (mut breaker, mut now) = (Breaker::default(), Instant::now());
    for _ in 1..IN_A_ROW {
        assert_eq!(breaker.failed(now), None);
        breaker.well(now);
        now += S;
    }
    assert_eq!(breaker.state(now), BreakerState::Closed);
    let mut wait = FIRST;
    for _ in 0..10 {
        assert_eq!(breaker.failed(now), Some(wait));
        breaker.well(now);
        assert_eq!(breaker.failed(now), None, "it is open");
        breaker.well(now);
        now += wait;
        assert_eq!(breaker.state(now - S), BreakerState::Open);
        assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        wait = (2 * wait).min(MOST);
    }
    assert_eq!(breaker.state(now + STABLE - S), BreakerState::HalfOpen);
    now += STABLE;
    assert_eq!(breaker.state(now), BreakerState::Closed);
    assert_eq!(breaker.failed(now), None, "one failure is no reason");
}

#[test]
fn failures_far_between_open_it_too_but_not_very_far() {
    let mut now = Instant::now();
    for gap in [2 * STABLE, WHILE] {
        let mut breaker = Breaker::default();
        let opened = (0..10).filter(|_| {
            now += gap;
            let opened = breaker.failed(now).is_some();
            breaker.well(now);
            opened
        });
        assert_eq!(
            opened.count() > 0,
            gap < WHILE / IN_A_WHILE as u32,
            "{gap:?}"
        );
    }
}

proptest! {
    /// Against a list of all that happened.
    #[test]
    fn as_the_model(events in proptest::collection::vec((any::<bool>(), 0_u32..40), 1..200)) {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        let mut waits: Vec<(Instant, Duration)> = Vec::new();
        let mut failures: Vec<Instant> = Vec::new();
        for (fails, seconds) in events {
            now += seconds * S;
            if !fails {
                breaker.well(now);
                continue;
            }
            let before = breaker.state(now);
            if failures.last().is_none_or(|last| now - *last >= EPISODE) {
                failures.push(now);
            }
            let opened = breaker.failed(now);
            if let Some(wait) = opened {
                prop_assert!(before != BreakerState::Open);
                prop_assert!(failures.len() >= IN_A_ROW as usize);
                prop_assert!((FIRST..=MOST).contains(&wait));
                if before == BreakerState::HalfOpen {
                    let (_, last) = waits.last().copied().unwrap();
                    prop_assert_eq!(wait, (2 * last).min(MOST));
                }
                waits.push((now, wait));
            }
            // It is open exactly for as long as it said.
            let until = waits.last().map(|(at, wait)| *at + *wait);
            let is_open = until.is_some_and(|until| now < until);
            prop_assert_eq!(breaker.state(now) == BreakerState::Open, is_open);
        }
    }
}
