//! Actors as the registry sees them: plain values, as the admin API shows them.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Kind;
use crate::metrics::{HistogramSnapshot, Percentiles};

/// Why an actor died last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastError {
    /// What the panic said.
    pub message: String,
    /// The line of the source that panicked.
    #[schema(example = "src/actors/link/inbound.rs:117")]
    pub place: Option<String>,
    /// The actor; `null` for a client.
    pub actor: Option<String>,
    /// Seconds since 1970.
    pub at_seconds: u64,
}

impl LastError {
    /// Returns what was said, and where.
    pub fn describe(&self) -> String {
        match &self.place {
            Some(place) => format!("{} ({place})", self.message),
            None => self.message.clone(),
        }
    }
}

/// Time in the handler of one type of message. Where many come only some are timed, and stand for the others.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimesSnapshot {
    /// The type of the message; `socket` for a turn at reading and writing, `accept` for one at new connections,
    /// `tick` for one by the clock.
    #[schema(example = "Forward")]
    pub message: &'static str,
    /// Messages that were handled, those since the last that was timed left out.
    pub handled: u64,
    /// Those of them that were timed.
    pub timed: u64,
    /// Seconds that they have taken, as those that were timed.
    pub busy_seconds: f64,
    /// Microseconds of one on the average.
    pub mean_us: f64,
    /// The longest that was timed since the start, in microseconds; `null` for a kind.
    pub max_us: Option<f64>,
    /// Percentiles of the last minute or two; `null`: there was none. Those of a single actor are of the last minutes, of
    /// which older ones weigh less, half for each minute, and exact to a half.
    pub recent: Option<Percentiles>,
}

impl TimesSnapshot {
    pub(super) fn new(message: &'static str, handled: u64, timed: u64, seconds: f64) -> Self {
        TimesSnapshot {
            message,
            handled,
            timed,
            busy_seconds: rounded(seconds, 1e6),
            mean_us: rounded(seconds * 1e6 / handled.max(1) as f64, 1e3),
            max_us: None,
            recent: None,
        }
    }
}

/// Rounds to so many parts of one, so that figures are no longer than they are good.
pub(super) fn rounded(figure: f64, parts: f64) -> f64 {
    (figure * parts).round() / parts
}

/// How much was done a second, over the last seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Load {
    /// Messages handled a second.
    pub messages_per_second: f64,
    /// Share of a thread's time that handlers took, in percent. 100 is all that one thread has.
    pub busy_percent: f64,
}

impl Load {
    /// Adds another one's.
    pub fn add(&mut self, other: Load) {
        self.messages_per_second =
            rounded(self.messages_per_second + other.messages_per_second, 10.0);
        self.busy_percent = rounded(self.busy_percent + other.busy_percent, 100.0);
    }
}

/// All actors of one kind, those that are gone included.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KindSnapshot {
    /// Which kind.
    pub kind: Kind,
    /// How many there are now.
    pub live: u64,
    /// How many were ever started, restarts included.
    pub started: u64,
    /// How many took the place of one that had panicked.
    pub restarts: u64,
    /// How many were restarted by hand.
    pub restarts_by_hand: u64,
    /// Why none can be restarted by hand; `null`: they can.
    pub restart_refused: Option<&'static str>,
    /// How many panicked.
    pub panics: u64,
    /// Messages that they have handled.
    pub handled: u64,
    /// Messages that were sent to them and are not handled yet.
    pub waiting: u64,
    /// The most that waited for a single one at a time.
    pub waiting_highest: u64,
    /// The same, within the last minute or two.
    pub waiting_highest_recent: u64,
    /// What they do, over the last seconds. Of clients and links it is an estimate.
    #[serde(flatten)]
    pub load: Load,
    /// Seconds that their handlers have taken.
    pub busy_seconds: f64,
    /// Time by type of message, the type with the most first.
    pub handlers: Vec<TimesSnapshot>,
    /// Times of all messages, for metrics.
    #[serde(skip)]
    pub times: HistogramSnapshot,
    /// The newest panic.
    pub last_error: Option<LastError>,
}

impl KindSnapshot {
    /// Before any was started.
    pub fn none(kind: Kind) -> KindSnapshot {
        KindSnapshot {
            kind,
            live: 0,
            started: 0,
            restarts: 0,
            restarts_by_hand: 0,
            restart_refused: kind.restart_refused(),
            panics: 0,
            handled: 0,
            waiting: 0,
            waiting_highest: 0,
            waiting_highest_recent: 0,
            load: Load::default(),
            busy_seconds: 0.0,
            handlers: Vec::new(),
            times: HistogramSnapshot::default(),
            last_error: None,
        }
    }
}

/// Where one actor is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorState {
    /// It takes messages.
    Running,
    /// It has panicked, or is restarted by hand, and will be rebuilt shortly.
    Restarting,
}

/// One actor.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActorSnapshot {
    /// Unique in the process and stable over restarts, for example `router-0` or `link-17`.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// What it works for, for example `game 10.0.0.7:9300`; empty where the id says all.
    pub name: String,
    /// On which worker's thread it lives; `null`: the gateway's own.
    pub worker: Option<usize>,
    /// The id of the actor that supervises it; `null` for the root.
    pub parent: Option<String>,
    /// Where it is in its life.
    pub state: ActorState,
    /// Seconds since it was started the last time.
    pub uptime_seconds: u64,
    /// How often it was started again after a panic.
    pub restarts: u64,
    /// How often it was restarted by hand.
    pub restarts_by_hand: u64,
    /// How often it panicked.
    pub panics: u64,
    /// Messages that it has handled, before restarts included.
    pub handled: u64,
    /// Messages that were sent to it and are not handled yet.
    pub waiting: u64,
    /// The most that waited at a time.
    pub waiting_highest: u64,
    /// What it does, over the last seconds; nothing for a client, see `/api/v1/top-talkers`.
    #[serde(flatten)]
    pub load: Load,
    /// Seconds that its handlers have taken, before restarts included. For clients and links it is an estimate.
    pub busy_seconds: f64,
    /// Time by type of message, the type with the most first; `null` in lists, in the tree, and for a client.
    pub handlers: Option<Vec<TimesSnapshot>>,
    /// The newest panic.
    pub last_error: Option<LastError>,
    /// Its own account of itself; `null` where it was not asked or did not answer in time.
    #[schema(value_type = Option<serde_json::Value>)]
    pub detail: Option<Box<RawValue>>,
    /// `false`: it was asked for its account and did not answer in time.
    pub responding: bool,
}

/// An actor, or all clients of a worker, and what it does.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BusyActor {
    /// Its id; `null` for the clients of a worker.
    pub id: Option<String>,
    /// Its kind.
    pub kind: Kind,
    /// What it works for; how many clients.
    pub name: String,
    /// On which worker's thread it lives; `null`: another one.
    pub worker: Option<usize>,
    /// Messages that were sent to it and are not handled yet.
    pub waiting: u64,
    /// What it does, over the last seconds.
    #[serde(flatten)]
    pub load: Load,
}

/// What a worker's thread does.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkerLoad {
    /// Its number.
    pub worker: usize,
    /// Clients on it.
    pub clients: u64,
    /// What all its actors do, over the last seconds.
    #[serde(flatten)]
    pub load: Load,
    /// How late its event loop came to a timer that is due every 50 ms, in the last minute or two; `null`: it has
    /// not come at all.
    pub loop_lag: Option<Percentiles>,
}

impl WorkerLoad {
    pub(super) fn none(worker: usize) -> WorkerLoad {
        WorkerLoad {
            worker,
            clients: 0,
            load: Load::default(),
            loop_lag: None,
        }
    }
}
