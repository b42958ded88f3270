//! `/api/v1/events`: what the page at `/` shows, as server-sent events.
//!
//! One snapshot is made a second for all readers, and none while nobody reads. A reader gets every section at first, then
//! those that have changed. One that is slow misses snapshots, never the newest one; so nothing waits for it here.

mod readings;
mod sections;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::rt;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Desk;
use super::access::Caller;
use super::errors::{ApiError, ErrorBody};
use super::event_streams::event;
use super::params::{Nothing, Query};
use super::process_families::OsFigures;
use readings::{Point, Readings};
use sections::{LiveEvents, Talkers};

/// Time between two snapshots.
const STEP: Duration = Duration::from_secs(1);
/// Time between two looks at the figures of the process.
const PROCESS_STEP: Duration = Duration::from_secs(5);
/// Time between two looks at who talks the most, which asks for everybody's counters; the longer one with many sessions.
const TALKERS_STEPS: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(9)];
const MANY_SESSIONS: u64 = 20_000;

/// The newest snapshot, and the last minutes.
pub(super) struct Live {
    newest: watch::Sender<Arc<Snapshot>>,
    /// The first reader has come.
    wanted: Notify,
    readings: Mutex<Readings>,
    talkers: Mutex<Option<Talkers>>,
}

/// All sections, written.
#[derive(Debug, Default)]
struct Snapshot {
    number: u64,
    sections: Vec<Section>,
}

#[derive(Debug, Clone)]
struct Section {
    name: &'static str,
    /// The snapshot that it is new in.
    number: u64,
    text: Bytes,
}

/// The last minutes, the oldest point first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct History {
    step_ms: u64,
    points: Vec<Point>,
}

impl Default for Live {
    fn default() -> Live {
        Live {
            newest: watch::Sender::default(),
            wanted: Notify::new(),
            readings: Mutex::default(),
            talkers: Mutex::default(),
        }
    }
}

impl Live {
    fn readings<T>(&self, then: impl FnOnce(&mut Readings) -> T) -> T {
        then(&mut self.readings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn talkers<T>(&self, then: impl FnOnce(&mut Option<Talkers>) -> T) -> T {
        then(&mut self.talkers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts what is there now in the place of the last snapshot.
    fn publish(&self, sections: Vec<(&'static str, Bytes)>) {
        self.newest.send_modify(|newest| {
            let number = newest.number + 1;
            let section = |(name, text)| {
                let before = newest.sections.iter().find(|section| section.name == name);
                let same = before.filter(|before| before.text == text).cloned();
                same.unwrap_or(Section { name, number, text })
            };
            *newest = Arc::new(Snapshot {
                number,
                sections: sections.into_iter().map(section).collect(),
            });
        });
    }

    /// Forgets the sections, since nobody reads them, but not how many snapshots there were.
    fn forget(&self) {
        if !self.newest.borrow().sections.is_empty() {
            self.publish(Vec::new());
            self.talkers(|talkers| *talkers = None);
        }
    }

    /// Returns the events of one reader.
    fn events(&self) -> impl Stream<Item = Bytes> + use<> {
        let mut newest = self.newest.subscribe();
        if newest.borrow().sections.is_empty() {
            self.wanted.notify_one();
        } else {
            newest.mark_changed();
        }
        let history = History {
            step_ms: STEP.as_millis() as u64,
            points: self.readings(|readings| readings.points()),
        };
        let reader = Reader {
            newest,
            seen: 0,
            waiting: VecDeque::from([event("history", &history)]),
        };
        stream::unfold(reader, |mut reader| async move {
            Some((reader.next().await?, reader))
        })
    }
}

/// One who reads.
struct Reader {
    newest: watch::Receiver<Arc<Snapshot>>,
    /// The newest snapshot that was looked at.
    seen: u64,
    /// Its sections that are still to be written.
    waiting: VecDeque<Bytes>,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(text) = self.waiting.pop_front() {
                return Some(text);
            }
            self.newest.changed().await.ok()?;
            let newest = self.newest.borrow_and_update();
            let fresh = newest.sections.iter().filter(|s| s.number > self.seen);
            self.waiting
                .extend(fresh.map(|section| section.text.clone()));
            self.seen = newest.number;
        }
    }
}

/// Reads counters and makes snapshots, for ever.
pub(super) fn start(desk: &web::Data<Desk>) {
    rt::spawn(read_counters(desk.clone()));
    rt::spawn(make_snapshots(desk.clone()));
    rt::spawn(rank_talkers(desk.clone()));
}

async fn read_counters(desk: web::Data<Desk>) {
    let mut step = interval(STEP);
    step.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        step.tick().await;
        desk.live.readings(|readings| readings.take(&desk));
    }
}

async fn make_snapshots(desk: web::Data<Desk>) {
    let mut step = interval(STEP);
    step.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut process, mut read) = (OsFigures::default(), None::<Instant>);
    loop {
        tokio::select! {
            _ = step.tick() => {}
            () = desk.live.wanted.notified() => {}
        }
        if desk.live.newest.receiver_count() == 0 {
            desk.live.forget();
            continue;
        }
        // Older kernels do not say how many files are open: each is counted.
        if read.is_none_or(|read| read.elapsed() >= PROCESS_STEP) {
            (process, read) = (OsFigures::read(desk.started_at), Some(Instant::now()));
        }
        let events = LiveEvents::now(&desk, process).await;
        desk.live.publish(events.written());
    }
}

async fn rank_talkers(desk: web::Data<Desk>) {
    loop {
        let sessions: u64 = desk.metrics.iter().map(|m| m.sessions_now()).sum();
        sleep(TALKERS_STEPS[usize::from(sessions > MANY_SESSIONS)]).await;
        if desk.live.newest.receiver_count() > 0 {
            let talkers = Talkers::now(&desk).await;
            desk.live.talkers(|newest| *newest = talkers);
        }
    }
}

/// What the page at `/` shows, live: at first every event of the table, then, once a second, those whose data has
/// changed. `history` comes first and once; `end` says that the gateway stops.
///
/// The answer ends with its connection. A comment comes every 10 s; an event must be read within 30 s. At most 64
/// streams are open at a time, and 56 of one token.
#[utoipa::path(get, path = "/api/v1/events", tag = "gateway", responses(
    (status = 200, description = "Server-sent events. The schema has a member for each, with its data.",
        body = LiveEvents, content_type = "text/event-stream"),
    (status = 503, description = "Too many event streams are open.", body = ErrorBody),
))]
pub(super) async fn events(
    desk: web::Data<Desk>,
    caller: Caller,
    _: Query<Nothing>,
) -> Result<HttpResponse, ApiError> {
    desk.event_streams.respond(&caller, desk.live.events())
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    fn text(of: &'static str) -> Bytes {
        Bytes::from_static(of.as_bytes())
    }

    #[test]
    fn a_reader_gets_everything_then_what_has_changed_and_of_that_the_newest() {
        let live = Live::default();
        let mut events = std::pin::pin!(live.events());
        let mut next = || events.next().now_or_never().flatten();
        let history = next().expect("the history comes at once");
        assert!(history.starts_with(b"event: history\n"));
        assert_eq!(next(), None);
        live.publish(vec![("a", text("a1")), ("b", text("b1"))]);
        assert_eq!(
            (next(), next(), next()),
            (Some(text("a1")), Some(text("b1")), None)
        );
        live.publish(vec![("a", text("a1")), ("b", text("b2"))]);
        assert_eq!((next(), next()), (Some(text("b2")), None));
        // It was slow.
        live.publish(vec![("a", text("a2")), ("b", text("b3"))]);
        live.publish(vec![("a", text("a3")), ("b", text("b3"))]);
        live.publish(vec![("a", text("a3")), ("b", text("b3"))]);
        assert_eq!(
            (next(), next(), next()),
            (Some(text("a3")), Some(text("b3")), None)
        );
        // One who comes later gets what is there.
        let mut late = std::pin::pin!(live.events());
        let mut next = || late.next().now_or_never().flatten();
        assert!(next().is_some());
        assert_eq!(
            (next(), next(), next()),
            (Some(text("a3")), Some(text("b3")), None)
        );
    }
}
