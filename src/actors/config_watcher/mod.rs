//! Reads the routing data from a file or Redis, hears of changes, and keeps the last good table.
//!
//! Reading and looking names up are apart: news is read at once although some name's look-up takes
//! long. Each has at most one run under way and one more after it, however much news comes. A
//! periodic look catches what a lost notification missed, and resolves names again. When it panics,
//! the next one inherits what was told and looked up, connects and reads again.

mod launch;
mod news;
mod one_at_a_time;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::prelude::*;

use super::router::RoutesChanged;
use crate::labels::{Label, labels};
use crate::routing::{EndpointName, Parsed, RouteTable, RoutingData};
use crate::store::redis::connect::Connected;
use crate::store::resolve::{Resolved, resolve};
use crate::store::{Refused, RefusedKind};
use crate::supervision::{Receive, Registration, Rescued};

use launch::State;
pub use launch::{Audience, launch};
pub use news::RoutesLoaded;
use one_at_a_time::OneAtATime;
use source::{Source, Watch};

/// Timeout of one name look-up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Delay before a source that could not be read is tried again, unless news comes first.
const RETRY: Duration = Duration::from_secs(1);
/// Upper limit of mistakes that are logged and shown; `routes validate` and `check` name all.
const MAX_TOLD: usize = 20;

/// Reads everything again now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reload;

/// Why the source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Start,
    /// The watched file has changed, or a notification has come.
    Changed,
    /// Somebody has asked for it, by SIGHUP.
    Reload,
    /// Redis is there again.
    Connected,
    /// Nothing in particular: a notification may be lost, a name may have other addresses.
    Interval,
    /// The last read has failed.
    Retry,
}

labels!(Cause {
    Start => "start",
    Changed => "changed",
    Reload => "reload",
    Connected => "connected",
    Interval => "interval",
    Retry => "retry",
});

/// News from the source about itself.
#[derive(Message)]
#[rtype(result = "()")]
enum SourceNews {
    /// Something may have changed.
    Changed { messages: u64, by: Option<String> },
    /// Redis is there and subscribed.
    Connected(Arc<Connected>),
    /// Redis is gone, or not there yet.
    Lost(String),
}

/// The actor.
pub struct ConfigWatcher {
    registration: Registration,
    state: Rescued<State>,
    source: Source,
    interval: Duration,
    audience: Audience,
    /// Names that could not be looked up the last time, and why.
    failures: Vec<(EndpointName, String)>,
    /// Why the newest read has begun.
    cause: Cause,
    /// What the last writer of the data says of itself, until that is in force.
    changed_by: Option<String>,
    reading: OneAtATime,
    resolving: OneAtATime,
    settling: bool,
    retrying: bool,
    watch: Watch,
}

impl ConfigWatcher {
    fn tell(&self) {
        self.audience.gateway.do_send(self.state.told.clone());
    }

    /// Reads the source; without a connection only names are looked up again.
    fn load(&mut self, cause: Cause, ctx: &mut Context<Self>) {
        self.cause = cause;
        if !self.source.is_reachable() {
            self.resolve(ctx);
        } else if self.reading.begin() {
            let read = self.source.clone().read();
            ctx.spawn(read.into_actor(self).map(|outcome, watcher, ctx| {
                watcher.state.told.loads += 1;
                watcher.loaded(outcome, ctx);
                if watcher.reading.end() {
                    watcher.load(watcher.cause, ctx);
                }
            }));
        }
    }

    fn loaded(&mut self, outcome: Result<Parsed, Refused>, ctx: &mut Context<Self>) {
        // While Redis is gone its error stands, whatever a read says that was under way.
        let current = self.source.is_reachable();
        match outcome {
            Ok(parsed) => {
                self.take(parsed);
                if current {
                    self.state.told.error = None;
                    self.state.told.error_kind = None;
                    self.state.told.error_at = None;
                }
            }
            Err(refused) if current => {
                if self.fails(&refused) {
                    let version_in_force = self.state.told.version;
                    let error = self.state.told.error.as_deref().unwrap_or_default();
                    tracing::error!(error, version_in_force, "the routes cannot be used");
                }
                if refused.kind == RefusedKind::Unreadable && self.state.told.redis_connected {
                    self.retry(ctx);
                }
            }
            Err(_) => {}
        }
        // The first table is told when its names have been looked up.
        let first_is_near = self.state.told.version == 0 && self.state.data.is_some();
        if !first_is_near {
            self.tell();
        }
        self.resolve(ctx);
    }

    fn retry(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.retrying, true) {
            ctx.run_later(RETRY, |watcher, ctx| {
                watcher.retrying = false;
                watcher.load(Cause::Retry, ctx);
            });
        }
    }

    /// Notes what is wrong. Whether that is new: it is logged once for as long as it stays so.
    fn fails(&mut self, refused: &Refused) -> bool {
        let text = Arc::<str>::from(refused.summary(MAX_TOLD));
        if self.state.told.error.as_ref() == Some(&text) {
            return false;
        }
        match refused.kind {
            RefusedKind::Unreadable => self.state.told.unreadable += 1,
            RefusedKind::Mistaken => self.state.told.mistaken += 1,
        }
        self.state.told.error = Some(text);
        self.state.told.error_kind = Some(refused.kind);
        self.state.told.error_at = Some(SystemTime::now());
        true
    }

    /// Good data: in force at once, unless it has names that were never looked up.
    fn take(&mut self, parsed: Parsed) {
        if self.state.data.as_ref() == Some(&parsed.data) {
            return;
        }
        for warning in &parsed.warnings {
            tracing::warn!(source = %self.state.told.source, %warning, "in the routes");
        }
        let names = parsed.data.endpoint_names();
        let known =
            |name: &&EndpointName| name.literal().is_some() || self.state.looked_up.contains(*name);
        let all_known = names.iter().all(known);
        let address = |name: &EndpointName| match name.literal() {
            Some(address) => Some(vec![address]),
            None => self.state.told.addresses.get(name).cloned(),
        };
        let addresses: BTreeMap<_, _> = names
            .into_iter()
            .filter_map(|name| Some((name.clone(), address(name)?)))
            .collect();
        self.state.data = Some(parsed.data);
        if all_known {
            self.state.told.addresses = Arc::new(addresses);
            self.put_in_force();
        }
    }

    /// Looks up the names of the newest good data.
    fn resolve(&mut self, ctx: &mut Context<Self>) {
        let Some(data) = &self.state.data else { return };
        if !self.resolving.begin() {
            return;
        }
        let names: BTreeSet<EndpointName> = data.endpoint_names().into_iter().cloned().collect();
        let last_good = Arc::clone(&self.state.told.addresses);
        let look_up = async move {
            let resolved = resolve(names.iter(), LOOKUP_TIMEOUT, &last_good).await;
            (names, resolved)
        };
        ctx.spawn(
            look_up
                .into_actor(self)
                .map(|(names, resolved), watcher, ctx| {
                    let again = watcher.resolving.end();
                    watcher.resolved(names, resolved);
                    if again {
                        watcher.resolve(ctx);
                    }
                }),
        );
    }

    fn resolved(&mut self, names: BTreeSet<EndpointName>, resolved: Resolved) {
        for failed in &resolved.failures {
            // Once for as long as it stays so.
            if !self.failures.contains(failed) {
                let (name, failure) = failed;
                tracing::warn!(%name, failure, "a backend's name cannot be resolved");
            }
        }
        self.failures = resolved.failures;
        self.state.looked_up = names;
        let data = self.state.data.as_ref();
        let wanted = data.map(RoutingData::endpoint_names).unwrap_or_default();
        if wanted
            .iter()
            .any(|name| !self.state.looked_up.contains(*name))
        {
            // Newer data has come meanwhile, and its own look-up follows.
            return;
        }
        let unchanged = resolved.addresses == *self.state.told.addresses;
        let in_force = self.state.told.table.as_ref().map(|table| table.data());
        if unchanged && in_force == data {
            return;
        }
        self.state.told.addresses = Arc::new(resolved.addresses);
        self.put_in_force();
        self.tell();
    }

    fn put_in_force(&mut self) {
        let Some(data) = &self.state.data else { return };
        let version = self.state.told.version + 1;
        let previous = self.state.told.table.as_deref();
        let table = Arc::new(RouteTable::build(
            version,
            data,
            &self.state.told.addresses,
            previous,
        ));
        let (services, realms) = (data.rules.len(), data.realms.len());
        let (because, by) = (self.cause.label(), self.changed_by.take());
        tracing::info!(version, services, realms, because, by, "routes in force");
        self.audience.in_force.store(Some(Arc::clone(&table)));
        for router in &self.audience.routers {
            // One that is just being rebuilt takes the table that is in force.
            router.do_send(RoutesChanged(Arc::clone(&table)));
        }
        self.state.told.version = version;
        self.state.told.services = services;
        self.state.told.loaded_at = Some(SystemTime::now());
        self.state.told.table = Some(table);
    }

    /// Reads soon, once for all the news that comes until then.
    fn load_soon(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.settling, true) {
            ctx.run_later(self.source.settle(), |watcher, ctx| {
                watcher.settling = false;
                watcher.load(Cause::Changed, ctx);
            });
        }
    }

    fn connection(&mut self, is: Option<Arc<Connected>>) {
        self.state.told.redis_connected = is.is_some();
        self.state.told.watching = is.is_some();
        if let Source::Redis { connected, .. } = &mut self.source {
            *connected = is;
        }
    }
}

impl Actor for ConfigWatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.watch = self.source.listen(self.registration.address(ctx), ctx);
        self.state.told.watching = self.watch.is_some();
        self.load(Cause::Start, ctx);
        ctx.run_interval(self.interval, |watcher, ctx| {
            watcher.load(Cause::Interval, ctx)
        });
    }
}

impl Receive<Reload> for ConfigWatcher {
    type Result = ();

    fn receive(&mut self, _: Reload, ctx: &mut Context<Self>) {
        self.load(Cause::Reload, ctx);
    }
}

impl Receive<SourceNews> for ConfigWatcher {
    type Result = ();

    fn receive(&mut self, news: SourceNews, ctx: &mut Context<Self>) {
        match news {
            SourceNews::Changed { messages, by } => {
                self.state.told.notifications += messages;
                self.changed_by = by.or(self.changed_by.take());
                self.load_soon(ctx);
            }
            SourceNews::Connected(connected) => {
                let again = std::mem::replace(&mut self.state.connected_before, true);
                self.state.told.reconnects += u64::from(again);
                tracing::info!(source = %self.state.told.source, "subscribed to the routes");
                self.connection(Some(connected));
                self.load(Cause::Connected, ctx);
            }
            SourceNews::Lost(why) => {
                self.connection(None);
                if self.fails(&Refused::unreadable(format!("redis: {why}"))) {
                    let version_in_force = self.state.told.version;
                    tracing::warn!(
                        why,
                        version_in_force,
                        "not subscribed to Redis; trying again"
                    );
                }
                self.tell();
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
