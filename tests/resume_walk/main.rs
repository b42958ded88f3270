//! Random walks of a client, three gateways and two backends around the machines of
//! `session::resume` and the replay ring, as they ship. Connections, links and the ways between
//! gateways are first in, first out, and know nothing of each other.
//!
//! What must hold: exact or told, in both directions; one holder; no epoch from two gateways; no used
//! token is good; one final CLOSE a backend; nothing left over. A seed that fails becomes a test.

#![expect(
    clippy::unwrap_used,
    reason = "what is missing is a mistake of the walk itself"
)]

mod backend;
mod checks;
mod client;
mod faults;
mod gateway;
mod words;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Faults, World};

/// Steps of one walk.
const STEPS: usize = 600;

/// Walks with each seed; returns how often the client resumed, was told GAP, and got errors.
fn walks(seeds: std::ops::Range<u64>, faults: Faults, exact: bool) -> (u32, u32, u32) {
    let mut seen = (0, 0, 0);
    let only: Option<u64> = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    let loud = std::env::var_os("LOUD").is_some();
    for seed in seeds.filter(|s| only.is_none_or(|o| o == *s)) {
        if loud {
            eprintln!("seed {seed}");
        }
        let walk = || {
            let mut world = World::new(seed, faults);
            world.client.exact = exact;
            world.walk(STEPS);
            world.settle();
            world.compare();
            let (gaps, errors) = (world.client.gaps, world.client.errors);
            world.leave();
            if exact {
                assert_eq!(
                    world.backends.iter().map(|b| b.strays).sum::<u32>(),
                    0,
                    "stray CLOSEs"
                );
            }
            (world.resumes, gaps, errors)
        };
        match catch_unwind(AssertUnwindSafe(walk)) {
            Ok((resumes, gaps, errors)) => {
                seen = (seen.0 + resumes, seen.1 + gaps, seen.2 + errors);
            }
            Err(panic) => {
                eprintln!("seed {seed}, {faults:?}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    seen
}

/// Whatever the client's connections do, while gateways, links and backends live nothing is missing.
#[test]
fn exact_while_the_holder_lives() {
    let (resumes, gaps, errors) = walks(0..2000, Faults::default(), true);
    assert!(resumes > 2000, "{resumes} resumes");
    assert_eq!((gaps, errors), (0, 0));
}

#[test]
fn a_small_ring_is_told() {
    let faults = Faults {
        small_ring: true,
        ..Faults::default()
    };
    let (_, gaps, _) = walks(0..1000, faults, false);
    assert!(gaps > 0);
}

#[test]
fn deadlines_pass() {
    let faults = Faults {
        delays: true,
        ..Faults::default()
    };
    let (_, gaps, errors) = walks(0..1000, faults, false);
    assert!(gaps > 0 && errors > 0, "{gaps} gaps, {errors} errors");
}

#[test]
fn links_are_lost() {
    let faults = Faults {
        links: true,
        delays: true,
        small_ring: true,
        ..Faults::default()
    };
    walks(0..1000, faults, false);
}

#[test]
fn gateways_restart() {
    let faults = Faults {
        restarts: true,
        links: true,
        delays: true,
        ..Faults::default()
    };
    walks(0..1000, faults, false);
}

#[test]
fn a_thief_has_used_tokens() {
    let faults = Faults {
        thief: true,
        ..Faults::default()
    };
    walks(0..1000, faults, true);
    walks(
        0..1000,
        Faults {
            delays: true,
            links: true,
            ..faults
        },
        false,
    );
}

#[test]
fn backends_kick() {
    let faults = Faults {
        kicks: true,
        delays: true,
        ..Faults::default()
    };
    walks(0..1000, faults, false);
}
