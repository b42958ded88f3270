//! `game-gateway routes set` and `rollback`: the difference is shown, agreed to, and written with a version.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::document::checked;
use super::{Failure, Place, RedisPlace, mistaken, say, wait_for, warn};
use crate::cli::output;
use crate::config;
use crate::routing::Difference;
use crate::routing::difference::Limits;
use crate::store::redis::change::version;
use crate::store::redis::connect::Connected;
use crate::store::redis::versions::{MAX_AUTHOR, MAX_MESSAGE, one_line};
use crate::store::redis::{Current, Document, Note};

/// Rules, and realms, that are named of a difference.
const NAMED: usize = 100;

/// Options of what writes.
#[derive(Debug, Args)]
pub(super) struct How {
    /// Only show the changes; write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
    /// Name every changed rule and realm; without it the first 100 of each.
    #[arg(long)]
    all: bool,
    /// Author in the history; by default the user and host.
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Reason in the history.
    #[arg(long, short, value_name = "TEXT", default_value = "")]
    message: String,
    /// Write only if this version is what is there.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

impl How {
    fn note(&self, rollback_to: Option<u64>) -> Note {
        let author = self
            .author
            .as_deref()
            .map(|name| one_line(name, MAX_AUTHOR));
        Note {
            author: author.filter(|name| !name.is_empty()).unwrap_or_else(who),
            message: one_line(&self.message, MAX_MESSAGE),
            rollback_to,
        }
    }
}

/// Returns how much of a difference is named.
pub(super) fn limits(all: bool) -> Limits {
    match all {
        true => Limits::NONE,
        false => Limits {
            named: NAMED,
            ..Limits::NONE
        },
    }
}

/// Writes a document.
pub(super) fn set(
    place: &RedisPlace,
    file: &Path,
    how: &How,
    wait: Duration,
) -> Result<(), Failure> {
    let place = place.read()?;
    let checked = checked(file).map_err(mistaken)?;
    warn(&checked.document.parsed.warnings, &checked.name);
    wait_for(async {
        let (connected, current) = place.watch_within(wait).await?;
        replace(&place, &connected, &current, &checked.document, how, None).await
    })
}

/// Puts an earlier version back.
pub(super) fn rollback(place: &RedisPlace, number: u64, how: &How) -> Result<(), Failure> {
    let place = place.read()?;
    wait_for(async {
        let (connected, current) = place.watch().await?;
        let (server, keys) = (&place.server, &place.keys);
        let earlier = version(server, &connected, keys, &current.index, number).await;
        let document = earlier.map_err(|error| broken_or(&current, error))?;
        warn(&document.parsed.warnings, &format!("version {number}"));
        replace(&place, &connected, &current, &document, how, Some(number)).await
    })
}

/// A history that cannot be used explains why a version is not there.
fn broken_or(current: &Current, error: impl std::fmt::Display) -> Failure {
    let mut lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    lines.extend(current.broken_history.clone());
    mistaken(lines)
}

async fn replace(
    place: &Place,
    connected: &Connected,
    current: &Current,
    document: &Document,
    how: &How,
    rollback_to: Option<u64>,
) -> Result<(), Failure> {
    if let Some(expected) = how.if_version {
        current.must_be(expected)?;
    }
    if current.documents.says_the_same(&document.documents) {
        return say("no change");
    }
    if current.parsed.is_err() {
        say(match current.documents.rules {
            None => "no usable rules are there yet",
            Some(_) => "what is there has mistakes; compared with nothing",
        })?;
    }
    let difference = Difference::between(&current.data(), document.data(), limits(how.all));
    show(&difference)?;
    if let Some(why) = &current.broken_history {
        let message = "a new history begins in its place";
        output::complain(format_args!("warning: {why}; {message}"));
    }
    if how.dry_run {
        return say("nothing was written: --dry-run");
    }
    if !how.yes && !output::agreed("write this?")? {
        return Err("nothing was written".into());
    }
    let (server, keys) = (&place.server, &place.keys);
    let note = how.note(rollback_to);
    let version = current.replace(server, connected, keys, document, &note);
    let version = version.await?;
    let (number, services, realms) = (version.number, version.services, version.realms);
    say(format!(
        "written: version {number}, {services} services, {realms} realms"
    ))
}

/// Prints a difference.
pub(super) fn show(difference: &Difference) -> Result<(), Failure> {
    for line in difference.lines() {
        say(line)?;
    }
    match difference.is_empty() {
        true => say("only what this version does not know or care for changes"),
        false => Ok(()),
    }
}

/// Returns who writes: the user, as far as it is known, and the host.
fn who() -> String {
    let named = |name: &&str| std::env::var(name).ok().filter(|user| !user.is_empty());
    // With sudo it matters who has become root.
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(named);
    let user = user.or_else(user_of_this_process);
    let user = user.unwrap_or_else(|| "unknown".to_owned());
    one_line(&format!("{user}@{}", config::host_name()), MAX_AUTHOR)
}

/// Returns the user's name in /etc/passwd, or else its number.
fn user_of_this_process() -> Option<String> {
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    Some(name.unwrap_or_else(|| format!("uid-{uid}")))
}
