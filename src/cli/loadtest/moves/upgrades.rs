//! Upgrades of this process's echo backends, one after the other, while players play.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use crate::cli::loadtest::echo::Echo;
use crate::cli::loadtest::plan::Plan;
use crate::cli::output;

/// What the upgrades have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Upgrades {
    /// Backends that were replaced.
    pub(super) backends: u64,
    /// Sessions that went on at another backend.
    pub(super) moves: u64,
    /// Sessions that were not moved in time.
    pub(super) cut_off: u64,
}

/// Upgrades each backend once where there are others, spread evenly over the time of sending; keeps them until they
/// are dropped by the caller's end.
pub(super) async fn perform(backends: Vec<Echo>, plan: &Plan) -> (Vec<Echo>, Upgrades) {
    let mut done = Upgrades::default();
    if backends.len() < 2 {
        return (backends, done);
    }
    let connecting = Duration::from_secs_f64(plan.sessions as f64 / plan.connect_rate);
    let start = Instant::now() + connecting + plan.warmup;
    let turns = backends.len() as u32 + 1;
    for (turn, backend) in (1..).zip(&backends) {
        sleep_until((start + plan.duration * turn / turns).into()).await;
        match backend.upgrade().await {
            Ok(upgrade) => {
                done.backends += 1;
                done.moves += upgrade.moved;
                done.cut_off += upgrade.cut_off as u64;
            }
            Err(error) => {
                output::complain(format_args!("an echo backend did not start again: {error}"));
                break;
            }
        }
    }
    (backends, done)
}
