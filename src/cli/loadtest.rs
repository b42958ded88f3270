//! `game-gateway loadtest`: drives a gateway and checks every answer.
//!
//! Each thread has its own runtime and its share of the sessions. In the closed loop a session
//! sends when it was answered; in the open loop a pacing thread sends on schedule, whatever comes
//! back, and latency counts from the intended time. Frames carry who sent what when, so that the
//! receiving side needs no shared books.

mod args;
mod closed;
mod connect;
mod control;
mod drive;
mod echo;
mod moves;
mod pace;
mod payload;
mod plan;
mod progress;
mod reconnect;
mod report;
mod session;
mod tally;
mod track;
mod wire;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;

pub use args::{BackendProtocol, LoadtestArgs, Transport};
use drive::{Connected, Driver};
pub use moves::{MovesReport, PerSession};
use plan::{Clock, Plan};
use progress::Shown;
pub use report::{LatencyMicros, Report};
use tally::Tally;

use super::output;

/// Why no load could be driven.
#[derive(Debug, thiserror::Error)]
pub enum LoadtestError {
    /// Arguments that contradict each other or ask for what is not there.
    #[error("{0}")]
    Usage(String),
    /// The target's name leads nowhere.
    #[error("{target}: {error}")]
    Target {
        /// As given.
        target: String,
        /// Why.
        error: std::io::Error,
    },
    /// The echo backend could not listen.
    #[error("backend on {address}: {error}")]
    Backend {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// Threads or runtimes could not be made.
    #[error("{0}")]
    Start(#[from] std::io::Error),
    /// A thread of the load generator panicked; its figures are missing.
    #[error("a thread of the load generator panicked")]
    Panicked,
}

/// Runs the subcommand and prints what it found. Exit code 1: something was lost, doubled,
/// reordered or corrupted, no session could connect or nothing was answered; 2: bad usage.
pub fn run(args: &LoadtestArgs) -> ExitCode {
    let told = |text: String, json: String, ok: bool| {
        let report = if args.json { json } else { text };
        output::write(&format!("{report}\n"))?;
        Ok::<_, LoadtestError>(ok)
    };
    let ok = match args.backend_only {
        Some(address) => echo::run_only(address, args).map(|()| true),
        None if args.expect_moves => {
            moves::drive(args).and_then(|r| told(r.to_string(), r.json(), r.ok))
        }
        None => drive(args).and_then(|r| told(r.to_string(), r.json(), r.ok)),
    };
    match ok {
        Ok(ok) => ExitCode::from(u8::from(!ok)),
        Err(error) => {
            output::complain(format_args!("game-gateway loadtest: {error}"));
            ExitCode::from(match error {
                LoadtestError::Usage(_) => 2,
                _ => 1,
            })
        }
    }
}

/// Drives the load and returns what was found.
///
/// # Errors
/// No load could be driven at all. Sessions that cannot connect are part of the report.
pub fn drive(args: &LoadtestArgs) -> Result<Report, LoadtestError> {
    let plan = Arc::new(Plan::new(args)?);
    raise_file_limit(plan.sessions);
    let _backends = backends(args)?;
    let shown = Shown::start(&plan.progress)?;
    let (ready, connected) = mpsc::channel();
    let drivers = Driver::share(&plan, &ready);
    drop(ready);
    let mut threads = Vec::with_capacity(drivers.len());
    for driver in drivers {
        let named = thread::Builder::new().name("drive".into());
        threads.push(named.spawn(move || driver.run())?);
    }
    start_together(&plan, &connected);
    let mut total = Tally::new()?;
    for thread in threads {
        let tally = thread.join().map_err(|_| LoadtestError::Panicked)??;
        total.add(&tally)?;
    }
    drop(shown);
    Ok(Report::new(args, &plan, total))
}

/// Starts the echo backends of `--with-backend`.
fn backends(args: &LoadtestArgs) -> Result<Vec<echo::Echo>, LoadtestError> {
    let settings = echo::Settings::new(args);
    let start = |address: &SocketAddr| echo::Echo::start(*address, &settings);
    args.with_backend.iter().map(start).collect()
}

/// Waits until every thread has connected its sessions, then gives all the same clock, and each
/// the place of its first session in the schedule.
fn start_together(plan: &Plan, connected: &mpsc::Receiver<Connected>) {
    // A thread that dies sends nothing and drops its end; its error comes with the join.
    let ready: Vec<Connected> = connected.iter().collect();
    let total = ready.iter().map(|thread| thread.sessions).sum();
    let clock = Clock::starting_soon(plan);
    plan.progress.begin(clock);
    let mut first = 0;
    for thread in ready {
        let _ = thread.go.send(drive::Go {
            clock,
            first,
            total,
        });
        first += thread.sessions;
    }
}

/// Raises the open-file limit. A session takes one descriptor, and two more if the echo backend runs here.
fn raise_file_limit(sessions: usize) {
    const SPARE: u64 = 64;
    let wanted = 2 * sessions as u64 + SPARE;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit < sessions as u64 + SPARE => {
            output::complain(format_args!(
                "open-file limit {limit} too low, expected {wanted}"
            ));
        }
        Ok(_) => {}
        Err(error) => output::complain(format_args!("cannot raise the open-file limit: {error}")),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transport_tests;
