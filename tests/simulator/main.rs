//! A deterministic simulator of a whole deployment around the code that ships: players, gateways,
//! backends, a registry, and all that can go wrong between them. One seed decides everything.

#![expect(
    clippy::unwrap_used,
    reason = "what is missing is a mistake of the simulator itself"
)]

mod auditor;
mod backend;
mod backend_deeds;
mod counts;
mod dice;
mod faults;
mod gateway;
mod leftovers;
mod log;
mod network;
mod plan;
mod player;
mod run;
mod wire;
mod world;

use auditor::Audit;
use counts::Counts;
use log::Detail;
use plan::{Plan, What};

/// Runs these seeds; returns what they have counted, and the first that fails.
fn seeds(range: std::ops::Range<u64>) -> (Counts, Vec<(u64, wire::Violation)>) {
    let (mut sum, mut failed) = (Counts::default(), Vec::new());
    for seed in range {
        let outcome = run::run(&Plan::new(seed), Detail::Nothing);
        sum.add(&outcome.counts);
        if let Some(violation) = outcome.violation {
            failed.push((seed, violation));
        }
    }
    (sum, failed)
}

#[test]
fn seeds_replay_to_the_byte() {
    for seed in 0..10 {
        let first = run::run(&Plan::new(seed), Detail::Hash);
        let again = run::run(&Plan::new(seed), Detail::Hash);
        assert_eq!(first.hash, again.hash, "seed {seed}");
    }
}

#[test]
fn nothing_goes_wrong() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    if let Some(seed) = number("SIMULATE_SEED") {
        let outcome = run::run(&Plan::new(seed), Detail::Nothing);
        match outcome.violation {
            Some(violation) => run::show(seed, &violation, true),
            None => drop(run::run(&Plan::new(seed), Detail::Print)),
        }
        return;
    }
    let from = number("SIMULATE_FROM").unwrap_or(0);
    let count = number("SIMULATE_SEEDS").unwrap_or(300);
    let began = std::time::Instant::now();
    let (mut sum, failed) = seeds(from..from + count);
    eprintln!("{count} seeds in {:?}", began.elapsed());
    for (name, number) in sum.numbers() {
        eprintln!("{number:>10} {name}");
    }
    for name in What::FAULTS {
        eprintln!("{:>10} {name}", sum.faults.get(name).copied().unwrap_or(0));
    }
    let mut rules = std::collections::BTreeMap::<_, Vec<u64>>::new();
    for (seed, violation) in &failed {
        rules.entry(violation.rule).or_default().push(*seed);
    }
    for (rule, seeds) in &rules {
        eprintln!(
            "{} x {rule}: {:?}",
            seeds.len(),
            &seeds[..seeds.len().min(5)]
        );
    }
    for seeds in rules.values() {
        let first = failed.iter().find(|(seed, _)| *seed == seeds[0]);
        if let Some((seed, violation)) = first {
            run::show(*seed, violation, false);
        }
    }
    assert!(failed.is_empty(), "{} seeds fail", failed.len());
}
