//! Reads the routing data from a file or Redis, hears of changes, and keeps the last good table.
//!
//! It has a thread of its own, and whatever takes long is done on others, so that it answers meanwhile:
//!
//! ```text
//!   news, interval ─▶ load ─ read, parse, compare ─▶ newest good data ─┐ at once, or when its new
//!                             (blocking pool)                          ▼ names have been looked up
//!   clock of a name ─▶ look up (a thread each) ─▶ last good answers ─▶ build ─▶ in force ─▶ retired
//!                                                                (blocking pool)   (blocking pool)
//! ```
//!
//! Reading and building have at most one run under way and one more after it, however much news comes; each
//! name has its own clock. A periodic look catches what a lost notification missed. When it panics, the next
//! one inherits what was told and looked up, connects and reads again.

mod changes;
mod enforcing;
mod launch;
mod loading;
mod news;
mod one_at_a_time;
mod resolving;
mod source;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use crate::labels::labels;
use crate::routing::RouteTable;
use crate::store::redis::connect::Connected;
use crate::supervision::{Receive, Registration, Rescued};

pub use changes::{Change, Changes, MAX_CHANGES};
use launch::State;
pub use launch::{Audience, launch};
pub use news::RoutesLoaded;
use one_at_a_time::OneAtATime;
use resolving::Answer;
use source::{Seen, Source, Watch};

/// Reads everything again now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reload;

/// Why a table comes in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Start,
    /// The watched file has changed, or a notification has come.
    Changed,
    /// Somebody has asked for it, by SIGHUP.
    Reload,
    /// Redis is there again.
    Connected,
    /// Nothing in particular: a notification may be lost.
    Interval,
    /// The last read has failed.
    Retry,
    /// A name has other addresses.
    Resolved,
}

labels!(Cause {
    Start => "start",
    Changed => "changed",
    Reload => "reload",
    Connected => "connected",
    Interval => "interval",
    Retry => "retry",
    Resolved => "resolved",
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
    /// Between two reads, notification or not.
    interval: Duration,
    /// Between the answer to a name's look-up and the next one.
    resolve_interval: Duration,
    audience: Audience,
    /// Why the newest read has begun.
    cause: Cause,
    /// What the last writer of the data says of itself, until that is in force.
    changed_by: Option<String>,
    reading: OneAtATime,
    /// None while a read is under way.
    seen: Option<Seen>,
    building: OneAtATime,
    /// When the newest data comes in force whatever its names say; none: it may do so now.
    names_until: Option<tokio::time::Instant>,
    /// Wakes for the next name that is due.
    name_timer: Option<SpawnHandle>,
    /// Tables that others may still hold; the last to let go of one pays for its end.
    retired: Vec<Arc<RouteTable>>,
    settling: bool,
    retrying: bool,
    watch: Watch,
}

impl ConfigWatcher {
    fn tell(&self) {
        self.audience.gateway.do_send(self.state.told.clone());
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
        self.look_up(ctx);
        ctx.run_interval(self.interval, |watcher, ctx| {
            watcher.load(Cause::Interval, ctx);
            watcher.bury();
        });
    }
}

impl Receive<Reload> for ConfigWatcher {
    type Result = ();

    fn receive(&mut self, _: Reload, ctx: &mut Context<Self>) {
        self.state.names.hurry();
        self.look_up(ctx);
        self.load(Cause::Reload, ctx);
    }
}

impl Receive<Answer> for ConfigWatcher {
    type Result = ();

    fn receive(&mut self, answer: Answer, ctx: &mut Context<Self>) {
        self.answered(answer);
        self.look_up(ctx);
        self.build_if_due(ctx);
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
            SourceNews::Lost(why) => self.lost(why),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
