//! One run, and many.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::counts::Counts;
use crate::log::{Detail, Log};
use crate::plan::Plan;
use crate::wire::{Auditor, Violation};
use crate::world::{GATEWAYS, SERVICES, World};

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<Violation>,
    pub(crate) counts: Counts,
    pub(crate) hash: u64,
}

/// Runs a plan to its end.
pub(crate) fn run(plan: &Plan, detail: Detail) -> Outcome {
    let scene = crate::wire::Scene {
        players: plan.players,
        gateways: GATEWAYS,
        backends: plan.backends(),
        services: SERVICES.to_vec(),
        resume_window: plan.limits().resume_window,
        connect_timeout: plan.limits().connect_timeout,
        replay_bytes: plan.limits().replay_bytes,
        peer_channel: plan.peer_channel,
        slow: plan.is_slow(),
    };
    let mut world = World::new(plan.clone(), Log::new(crate::Audit::new(scene), detail));
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let end = plan.end;
        let unfinished = world.run(end);
        (unfinished, world.leftovers())
    }));
    let mut violation = match lived {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Some(Violation {
                at: world.now,
                rule: "panic",
                detail: text.unwrap_or_default(),
            })
        }
        Ok((true, None)) => Some(Violation {
            at: world.now,
            rule: "it does not come to an end",
            detail: format!("{} events", world.events),
        }),
        Ok((_, left)) => left,
    };
    let (now, hash, mut counts) = (world.now, world.log.hash(), world.counts.clone());
    counts.events = world.events;
    let _ = now;
    let audit = std::mem::replace(&mut world.log.audit, crate::Audit::new_empty());
    std::mem::forget(std::mem::take(&mut world.clients));
    if let Err(found) = audit.finish() {
        violation = Some(found);
    }
    Outcome {
        violation,
        counts,
        hash,
    }
}

/// Leaves out item after item while the run fails in the same way.
pub(crate) fn shrink(plan: &Plan, rule: &str) -> Plan {
    let mut plan = plan.clone();
    let fails = |plan: &Plan| {
        run(plan, Detail::Nothing)
            .violation
            .is_some_and(|v| v.rule == rule)
    };
    let mut size = plan.items.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut less = false;
        while at < plan.items.len() {
            let mut fewer = plan.clone();
            let until = (at + size).min(plan.items.len());
            fewer.masked.extend(at..until);
            if fewer.masked.len() > plan.masked.len() && fails(&fewer) {
                plan = fewer;
                less = true;
            }
            at += size;
        }
        if size == 1 && !less {
            return plan;
        }
        size = (size / 2).max(1);
    }
}

/// Shows a run that fails: what it needs, and all that happens in it.
pub(crate) fn show(seed: u64, violation: &Violation, trace: bool) {
    let plan = shrink(&Plan::new(seed), violation.rule);
    let detail: String = violation.detail.chars().take(600).collect();
    eprintln!(
        "seed {seed}, at {}: {}: {detail}",
        violation.at, violation.rule
    );
    eprintln!("replay: scripts/simulate --seed {seed}");
    for (index, at) in plan.times() {
        eprintln!("  {at:>7} {:?}", plan.items[index].1);
    }
    if trace {
        let again = run(&plan, Detail::Print);
        if let Some(violation) = again.violation {
            eprintln!("{}: {:.2000}", violation.rule, violation.detail);
        }
    }
}

/// Replays one seed by hand: all of it where nothing is wrong, else what is left of it when it is shrunk.
pub(crate) fn replay(seed: u64) {
    let plan = Plan::new(seed);
    match run(&plan, Detail::Nothing).violation {
        Some(violation) => show(seed, &violation, true),
        None => drop(run(&plan, Detail::Print)),
    }
}
