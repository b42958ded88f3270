//! Reading the source, and what is wrong with it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use tokio::time::Instant;

use super::changes::Record;
use super::source::{Loaded, Outcome};
use super::{Cause, ConfigWatcher};
use crate::store::names::LATE;
use crate::store::{Refused, RefusedKind};

/// Delay before a source that could not be read is tried again, unless news comes first.
const RETRY: Duration = Duration::from_secs(1);
/// Upper limit of mistakes that are logged and shown; `routes validate` and `check` name all.
const MAX_TOLD: usize = 20;

impl ConfigWatcher {
    /// Reads the source, if there is a connection.
    pub(super) fn load(&mut self, cause: Cause, ctx: &mut Context<Self>) {
        self.cause = cause;
        if !self.source.is_reachable() || !self.reading.begin() {
            return;
        }
        let seen = self.seen.take().unwrap_or_default();
        let read = (self.source.clone()).read(seen, self.state.newest.clone());
        ctx.spawn(read.into_actor(self).map(|(seen, outcome), watcher, ctx| {
            watcher.seen = Some(seen);
            watcher.state.told.loads += 1;
            watcher.loaded(outcome, ctx);
            if watcher.reading.end() {
                watcher.load(watcher.cause, ctx);
            }
        }));
    }

    fn loaded(&mut self, outcome: Result<Outcome, Refused>, ctx: &mut Context<Self>) {
        // While Redis is gone its error stands, whatever a read says that was under way.
        let current = self.source.is_reachable();
        match outcome {
            Ok(Outcome { loaded, record }) => {
                if let Some(record) = record {
                    self.note(record, loaded.is_some());
                }
                if let Some(loaded) = loaded {
                    self.take(loaded, ctx);
                }
                if current {
                    self.state.told.error = None;
                    self.state.told.error_kind = None;
                    self.state.told.error_at = None;
                    self.state.told.error_by = None;
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
        // The first table is told when it is in force.
        let first_is_near = self.state.told.version == 0 && self.state.newest.is_some();
        if !first_is_near {
            self.tell();
        }
    }

    /// Notes what Redis says of the newest good data.
    fn note(&mut self, record: Record, is_new: bool) {
        self.state.told.history = record.history;
        self.state.recorded = record.version;
        // The same data has been written once more.
        if !is_new && self.state.is_in_force() {
            self.state.told.recorded = self.state.recorded.clone();
            self.changed_by = None;
        }
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
        if refused.kind == RefusedKind::Mistaken {
            self.state.told.error_by = self.changed_by.take().map(Arc::from);
        }
        true
    }

    /// Good data: in force at once, unless it has names that were never looked up. These have a moment, so
    /// that an endpoint which replaces another is known before that one goes.
    fn take(&mut self, loaded: Loaded, ctx: &mut Context<Self>) {
        for warning in &loaded.warnings {
            tracing::warn!(source = %self.state.told.source, %warning, "in the routes");
        }
        self.state.newest = Some(loaded.data);
        self.state.names.want(&loaded.hosts);
        self.names_until = Some(Instant::now() + LATE);
        ctx.run_later(LATE, |watcher, ctx| watcher.build_if_due(ctx));
        self.look_up(ctx);
        self.build_if_due(ctx);
    }

    /// Notes that Redis is gone.
    pub(super) fn lost(&mut self, why: String) {
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

    /// Reads soon, once for all the news that comes until then.
    pub(super) fn load_soon(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.settling, true) {
            ctx.run_later(self.source.settle(), |watcher, ctx| {
                watcher.settling = false;
                watcher.load(Cause::Changed, ctx);
            });
        }
    }
}
