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
mod deeds;
mod dice;
mod faults;
mod gateway;
mod leftovers;
mod log;
mod many;
mod network;
mod plain;
mod plan;
mod player;
mod run;
mod wire;
mod world;

use auditor::Audit;
use log::Detail;
use plan::Plan;

/// The seeds of a plain `cargo test`.
const SEEDS: u64 = 6000;

#[test]
fn seeds_replay_to_the_byte() {
    for seed in 0..20 {
        let first = run::run(&Plan::new(seed), Detail::Hash);
        let again = run::run(&Plan::new(seed), Detail::Hash);
        if first.hash != again.hash {
            run::run(&Plan::new(seed), Detail::Print);
            panic!("seed {seed} does not replay");
        }
    }
}

/// Kept seeds, then many from a fixed base. `scripts/simulate` sets the variables for runs by hand.
#[test]
fn nothing_goes_wrong() {
    let number = |name: &str| {
        let text = std::env::var(name).ok();
        text.and_then(|text| text.parse::<u64>().ok())
    };
    if let Some(seed) = number("SIMULATE_SEED") {
        return run::replay(seed);
    }
    let from = number("SIMULATE_FROM").unwrap_or(0);
    let by_hand = number("SIMULATE_SEEDS");
    let count = by_hand.unwrap_or(SEEDS);
    let jobs = number("SIMULATE_JOBS").unwrap_or(1).max(1);
    let kept = by_hand.map_or_else(many::kept, |_| Vec::new());
    let runs = many::many(&kept, from..from + count, jobs, by_hand.is_some());
    // For scripts that read the list.
    let list = std::env::var_os("SIMULATE_LIST").is_some();
    runs.table(list);
    if !list {
        runs.show();
    }
    assert!(runs.failed.is_empty(), "{} seeds fail", runs.failed.len());
    if count >= SEEDS {
        let missing = runs.missing();
        assert!(missing.is_empty(), "these have not happened: {missing:?}");
    }
}
