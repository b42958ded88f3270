//! `game-gateway routes`: reads and writes the routing data in Redis, and its history.

mod change;
mod document;
mod history;
mod watch;

use std::fmt::Display;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::time::{Instant, sleep};

use self::change::How;
use super::{ConfigFile, output};
use crate::config;
use crate::config::units::parse_duration;
use crate::store::redis::connect::Connected;
use crate::store::redis::{Current, Keys, Server, load, read};

/// The exit code of bad usage.
const EXIT_USAGE: u8 = 2;
/// The exit code of a Redis that cannot be reached, after which trying again makes sense: EX_TEMPFAIL of
/// sysexits.h.
const EXIT_UNREACHABLE: u8 = 75;
/// Interval of attempts to reach a Redis that is waited for.
const ATTEMPTS: Duration = Duration::from_millis(500);

/// Arguments of `routes`.
#[derive(Debug, Args)]
pub struct RoutesArgs {
    #[command(subcommand)]
    command: RoutesCommand,
}

#[derive(Debug, Subcommand)]
enum RoutesCommand {
    /// Print the routing data of Redis as one document, in the format of the routes file.
    Get {
        #[command(flatten)]
        place: RedisPlace,
        /// Print compact JSON on one line.
        #[arg(long)]
        json: bool,
        /// Print this version of the history instead.
        #[arg(long, value_name = "VERSION")]
        version: Option<u64>,
    },
    /// Write a document to Redis and notify all gateways; documents with errors are rejected.
    Set {
        #[command(flatten)]
        place: RedisPlace,
        /// Document in the format of the routes file; - reads standard input.
        file: PathBuf,
        #[command(flatten)]
        how: How,
        /// Time to wait for a Redis that cannot be reached; beyond it the exit code is 75.
        #[arg(long, value_name = "DURATION", default_value = "0", value_parser = parse_duration)]
        wait: Duration,
    },
    /// Report all errors in a document or in the routing data of Redis.
    Validate {
        #[command(flatten)]
        place: RedisPlace,
        /// Document; - reads standard input; the routing data of Redis if omitted.
        file: Option<PathBuf>,
    },
    /// Print the versions that were written: when, by whom, what changed.
    History {
        #[command(flatten)]
        place: RedisPlace,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Print what changed with this version.
        #[arg(long, value_name = "VERSION")]
        diff: Option<u64>,
        /// Name every changed rule and realm; without it the first 100 of each.
        #[arg(long, requires = "diff")]
        all: bool,
        /// The most versions to print.
        #[arg(long, value_name = "N", conflicts_with = "diff")]
        limit: Option<usize>,
    },
    /// Put an earlier version back, as a new version, and notify all gateways.
    Rollback {
        #[command(flatten)]
        place: RedisPlace,
        /// Number of the version, as `routes history` prints it.
        version: u64,
        #[command(flatten)]
        how: How,
    },
    /// Print each change of the routing data in Redis until interrupted.
    Watch {
        #[command(flatten)]
        place: RedisPlace,
    },
}

/// Options that select the Redis server and its keys, the same for every subcommand.
#[derive(Debug, Args)]
struct RedisPlace {
    #[command(flatten)]
    config: ConfigFile,
    /// URL of Redis; overrides redis.url. Prefer GATEWAY__REDIS__PASSWORD for the password.
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// Prefix of all keys and channels; overrides redis.prefix.
    #[arg(long)]
    prefix: Option<String>,
}

/// A Redis server, and the keys in it.
pub(super) struct Place {
    pub(super) server: Server,
    pub(super) keys: Keys,
}

/// The failure of a subcommand: lines for stderr, and the exit code.
struct Failure {
    lines: Vec<String>,
    code: u8,
}

impl<T: Display> From<T> for Failure {
    fn from(line: T) -> Failure {
        Failure {
            lines: vec![line.to_string()],
            code: 1,
        }
    }
}

impl RedisPlace {
    fn read(&self) -> Result<Place, Failure> {
        let file = self.config.config.as_deref();
        let loaded = config::load(file, config::environment());
        let mut config = loaded.map_err(|mistakes| Failure {
            lines: mistakes.iter().map(ToString::to_string).collect(),
            code: 1,
        })?;
        if let Some(url) = &self.redis_url {
            let usage = |why: String| Failure {
                lines: vec![format!("--redis-url: {why}")],
                code: EXIT_USAGE,
            };
            config.redis.url = url.parse().map_err(usage)?;
            // Credentials belong together: those of one place go.
            if config.redis.url.password.is_some() {
                (config.redis.username, config.redis.password) = (None, None);
            }
        }
        let prefix = self.prefix.as_ref().unwrap_or(&config.redis.prefix);
        Ok(Place {
            keys: Keys::new(prefix),
            server: Server::new(&config.redis),
        })
    }
}

impl Place {
    async fn connect(&self) -> Result<Connected, Failure> {
        let connected = self.server.connect().await;
        connected.map_err(|why| format!("redis: {why}").into())
    }

    /// Connects and watches the keys within this time, however many attempts that takes; at least one.
    async fn watch_within(&self, wait: Duration) -> Result<(Connected, Current), Failure> {
        let end = Instant::now() + wait;
        loop {
            match self.watch().await {
                // What stands in front of Redis may accept a connection before Redis is there.
                Err(_) if Instant::now() + ATTEMPTS < end => sleep(ATTEMPTS).await,
                watched => return watched,
            }
        }
    }

    async fn watch(&self) -> Result<(Connected, Current), Failure> {
        let connected = self.connect().await.map_err(|failure| Failure {
            code: EXIT_UNREACHABLE,
            ..failure
        })?;
        let current = Current::watch(&self.server, &connected, &self.keys).await?;
        Ok((connected, current))
    }
}

/// Runs the subcommand.
pub fn run(args: &RoutesArgs) -> ExitCode {
    let result = match &args.command {
        RoutesCommand::Get {
            place,
            json,
            version,
        } => get(place, *json, *version),
        RoutesCommand::Set {
            place,
            file,
            how,
            wait,
        } => change::set(place, file, how, *wait),
        RoutesCommand::History {
            place,
            json,
            diff: Some(version),
            all,
            ..
        } => history::diff(place, *version, *json, *all),
        RoutesCommand::History {
            place, json, limit, ..
        } => history::list(place, *json, limit.unwrap_or(usize::MAX)),
        RoutesCommand::Rollback {
            place,
            version,
            how,
        } => change::rollback(place, *version, how),
        RoutesCommand::Validate { place, file } => validate(place, file.as_deref()),
        RoutesCommand::Watch { place } => place
            .read()
            .and_then(|place| wait_for(watch::watch(&place))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.lines {
                output::complain(format_args!("game-gateway routes: {line}"));
            }
            ExitCode::from(failure.code)
        }
    }
}

fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

fn refused(refused: crate::store::Refused) -> Failure {
    Failure {
        lines: refused.lines,
        code: 1,
    }
}

fn mistaken(lines: Vec<String>) -> Failure {
    Failure { lines, code: 1 }
}

/// Prints to stdout; a reader that has gone stops nothing.
fn say(text: impl Display) -> Result<(), Failure> {
    Ok(output::write(&format!("{text}\n")).map(drop)?)
}

fn warn(warnings: &[crate::routing::Mistake], of: &str) {
    for warning in warnings {
        output::complain(format_args!("warning: {of}: {warning}"));
    }
}

fn get(place: &RedisPlace, compact: bool, version: Option<u64>) -> Result<(), Failure> {
    let place = place.read()?;
    let read = async {
        let connected = place.connect().await?;
        if let Some(version) = version {
            let found = history::document(&place, &connected, version).await;
            return found.map(|document| document.documents);
        }
        let documents = read(&place.server, &connected, &place.keys).await;
        documents.map_err(refused)
    };
    let documents = wait_for(read)?;
    say(document::show(&documents, &place.keys, compact)?)?;
    // It is printed even so: an operator needs it for the repair.
    if let Err(refused) = documents.parse(&place.keys) {
        refused
            .lines
            .iter()
            .for_each(|line| output::complain(format_args!("warning: {line}")));
    }
    Ok(())
}

fn validate(place: &RedisPlace, file: Option<&Path>) -> Result<(), Failure> {
    let (name, parsed) = match file {
        Some(file) => {
            let checked = document::checked(file).map_err(mistaken)?;
            (checked.name, checked.document.parsed)
        }
        None => {
            let Place { server, keys } = place.read()?;
            let loaded = async { load(&server, &keys).await.map_err(refused) };
            (format!("redis key {}", keys.rules), wait_for(loaded)?)
        }
    };
    warn(&parsed.warnings, &name);
    let (rules, realms) = (parsed.data.rules.len(), parsed.data.realms.len());
    say(format!("ok: {name}: {rules} services, {realms} realms"))
}
