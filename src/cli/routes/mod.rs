//! `game-gateway routes`: reads and writes the routing data in Redis.

mod diff;
mod document;
mod watch;

use std::fmt::Display;
use std::future::Future;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::time::{Instant, sleep};

use self::document::Checked;
use super::{ConfigFile, output};
use crate::config;
use crate::config::units::parse_duration;
use crate::routing::RoutingData;
use crate::store::redis::connect::Connected;
use crate::store::redis::write;
use crate::store::redis::{Documents, Keys, Server, load, read};

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
    },
    /// Write a document to Redis and notify all gateways; documents with errors are rejected.
    Set {
        #[command(flatten)]
        place: RedisPlace,
        /// Document in the format of the routes file; - reads standard input.
        file: PathBuf,
        /// Only show the changes; write nothing.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask for confirmation.
        #[arg(long, short)]
        yes: bool,
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
    async fn watch_within(&self, wait: Duration) -> Result<(Connected, Documents), Failure> {
        let end = Instant::now() + wait;
        loop {
            match self.watch().await {
                // What stands in front of Redis may accept a connection before Redis is there.
                Err(_) if Instant::now() + ATTEMPTS < end => sleep(ATTEMPTS).await,
                watched => return watched,
            }
        }
    }

    async fn watch(&self) -> Result<(Connected, Documents), Failure> {
        let connected = self.connect().await.map_err(|failure| Failure {
            code: EXIT_UNREACHABLE,
            ..failure
        })?;
        let old = write::watch(&self.server, &connected, &self.keys).await?;
        Ok((connected, old))
    }
}

/// Runs the subcommand.
pub fn run(args: &RoutesArgs) -> ExitCode {
    let result = match &args.command {
        RoutesCommand::Get { place, json } => get(place, *json),
        RoutesCommand::Set {
            place,
            file,
            dry_run,
            yes,
            wait,
        } => set(place, file, *dry_run, *yes, *wait),
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

fn get(place: &RedisPlace, compact: bool) -> Result<(), Failure> {
    let place = place.read()?;
    let read = async {
        let connected = place.connect().await?;
        read(&place.server, &connected, &place.keys)
            .await
            .map_err(refused)
    };
    let documents = wait_for(read)?;
    say(document::document(&documents, &place.keys, compact)?)?;
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
            (checked.name, checked.parsed)
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

fn set(
    place: &RedisPlace,
    file: &Path,
    dry_run: bool,
    yes: bool,
    wait: Duration,
) -> Result<(), Failure> {
    let place = place.read()?;
    let checked = document::checked(file).map_err(mistaken)?;
    warn(&checked.parsed.warnings, &checked.name);
    wait_for(async {
        let (connected, old) = place.watch_within(wait).await?;
        replace(&place, &connected, &old, &checked, dry_run, yes).await
    })
}

async fn replace(
    place: &Place,
    connected: &Connected,
    old: &Documents,
    checked: &Checked,
    dry_run: bool,
    yes: bool,
) -> Result<(), Failure> {
    if document::same(old, &checked.documents) {
        return say("no change");
    }
    let old_data = match old.parse(&place.keys) {
        Ok(parsed) => parsed.data,
        Err(_) => {
            say(match old.rules {
                None => "no usable rules are there yet",
                Some(_) => "what is there has mistakes; compared with nothing",
            })?;
            RoutingData::default()
        }
    };
    let lines = diff::differences(&old_data, &checked.parsed.data);
    for line in &lines {
        say(line)?;
    }
    if lines.is_empty() {
        say("only what this version does not know or care for changes")?;
    }
    if dry_run {
        return say("nothing was written: --dry-run");
    }
    if !yes && !agreed()? {
        return Err("nothing was written".into());
    }
    let by = format!("routes set by {}", who());
    write::replace(
        &place.server,
        connected,
        &place.keys,
        &checked.documents,
        &by,
    )
    .await?;
    let (rules, realms) = (&checked.parsed.data.rules, &checked.parsed.data.realms);
    say(format!(
        "written: {} services, {} realms",
        rules.len(),
        realms.len()
    ))
}

/// Returns who writes, for the gateways' logs: the user, as far as it is known, and the host.
fn who() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    format!("{user}@{}", config::host_name())
}

/// Asks for confirmation at a terminal; scripts are not asked.
fn agreed() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(true);
    }
    // Without a terminal nobody is asked.
    let _ = write!(std::io::stderr(), "write this? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
