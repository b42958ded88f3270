//! `--expect-moves`: players whose sessions survive the replacement of gateways.
//!
//! Each player has one frame outstanding and sends the next one when that was answered. A broken
//! connection, a CLOSE that allows a resume, and GOAWAY are not errors but moves, which the client
//! library performs; they are counted, and the silence of each player is measured. Moves to other backends are seen by
//! nobody but these; so the echo backends of this process count them. With `--match-size` each player finally
//! compares the state that its backend keeps of it with what it has sent and heard.

mod book;
mod player;
mod report;
mod upgrades;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::args::{LoadtestArgs, Transport};
use super::plan::{Clock, Plan};
use super::progress::Shown;
use super::{LoadtestError, raise_file_limit};
use crate::sdk::client::session::{Session, SessionOptions, dial};
use crate::sdk::client::{self, Options};
use player::{Player, Schedule};
pub use report::{MovesReport, PerSession};

/// Least time for an answer at the end; a player may be between two gateways.
const LEAST_GRACE: Duration = Duration::from_secs(30);
/// Random pauses between attempts to come back.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Drives the load and returns what was found.
///
/// # Errors
/// No load could be driven at all.
pub(super) fn drive(args: &LoadtestArgs) -> Result<MovesReport, LoadtestError> {
    if args.transport.contains(&Transport::Http) {
        let text =
            "--expect-moves: not supported over HTTP, where each request is a session of its own";
        return Err(LoadtestError::Usage(text.into()));
    }
    let plan = Arc::new(Plan::new(args)?);
    raise_file_limit(plan.sessions);
    let shown = Shown::start(&plan.progress)?;
    let backends = super::backends(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(plan.threads)
        .enable_all()
        .build()?;
    let (players, (backends, upgrades)) = runtime.block_on(async {
        tokio::join!(play(args.think, &plan), upgrades::perform(backends, &plan))
    });
    drop((shown, backends));
    Ok(MovesReport::new(args, &plan, players?, upgrades))
}

/// Lets all players play; returns their books.
async fn play(think: Duration, plan: &Arc<Plan>) -> Result<Vec<book::Book>, LoadtestError> {
    let connecting = Duration::from_secs_f64(plan.sessions as f64 / plan.connect_rate);
    let start = Instant::now();
    let stop = start + connecting + plan.warmup + plan.duration;
    let schedule = Schedule {
        think,
        stop,
        end: stop + plan.grace.max(LEAST_GRACE),
        begin_by: stop + plan.grace,
        plan: Arc::clone(plan),
    };
    // Players begin while others connect.
    let measure = start + connecting + plan.warmup;
    plan.progress.begin(Clock {
        start,
        measure,
        stop,
        end: schedule.end,
    });
    let mut players = JoinSet::new();
    for index in 0..plan.sessions as u32 {
        let at = start + connecting.mul_f64(f64::from(index) / plan.sessions as f64);
        let player = Player::new(index, plan);
        let (session, schedule) = (session(index, plan), schedule.clone());
        players.spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            player.play(session(), schedule).await
        });
    }
    let mut books = Vec::with_capacity(plan.sessions);
    while let Some(book) = players.join_next().await {
        books.push(book.map_err(|_| LoadtestError::Panicked)?);
    }
    Ok(books)
}

/// Returns the function that begins the session with that index.
fn session(index: u32, plan: &Plan) -> impl FnOnce() -> Session + Send + use<> {
    let options = Options {
        transport: match plan.transport(index) {
            Transport::Websocket => client::Transport::Websocket,
            Transport::Tcp | Transport::Http => client::Transport::Tcp,
        },
        tls: plan.tls.clone(),
        ..Options::default()
    };
    let target = plan.target;
    move || {
        let session = SessionOptions {
            first_wait: WAITS.0,
            longest_wait: WAITS.1,
            ..SessionOptions::default()
        };
        Session::start(dial(target, options), session)
    }
}

#[cfg(test)]
#[path = "moves/tests.rs"]
mod tests;
