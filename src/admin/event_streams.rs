//! Server-sent events: answers that go on until their reader leaves.
//!
//! Their number is bounded, of all and of those of one token, so that others find room. The connection asks for an event only when the one before it has been taken, and ends where
//! that takes too long ([`super::connection`]); so a source that can run ahead of its reader bounds what waits, by a
//! queue with an end. Beside the events a comment comes now and then, so that a dead connection is noticed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::access::Caller;
use super::errors::ApiError;
use super::family::{
    Family,
    Source::{Process, ProcessGauge},
    family,
};

/// Event streams at a time, where there are connections for twice as many.
const MAX_STREAMS: usize = 64;
/// One in so many is kept free for other tokens than one. Fifty people may share one, with a page open for each.
const SHARE_FOR_OTHERS: usize = 8;
/// Time between two comments.
const HEARTBEAT: Duration = Duration::from_secs(10);
const COMMENT: Bytes = Bytes::from_static(b": still there\n\n");
const END: Bytes = Bytes::from_static(b"event: end\ndata: {\"reason\":\"shutdown\"}\n\n");
/// Time for the last event at the end of the process.
const END_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) const FAMILIES: [Family; 2] = [
    family(
        "event_streams",
        "Event streams of the admin API that are open",
        ProcessGauge(|p| p.event_streams),
    ),
    family(
        "refused_event_streams",
        "Event streams of the admin API that were refused because too many were open",
        Process(|p| p.refused_event_streams),
    ),
];

/// All event streams.
#[derive(Debug, Clone)]
pub(super) struct EventStreams {
    counts: Arc<Counts>,
    /// True once the process ends. Each stream has a receiver.
    ending: watch::Sender<bool>,
}

#[derive(Debug)]
struct Counts {
    most: usize,
    /// Open ones, by who has them: a token, or an address where none is needed.
    open: Mutex<HashMap<String, usize>>,
    refused: AtomicU64,
}

impl Counts {
    fn open(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream's count among the open ones.
#[derive(Debug)]
struct Seat {
    counts: Arc<Counts>,
    holder: String,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.counts.open();
        if let Some(own) = open.get_mut(&self.holder) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.holder);
            }
        }
    }
}

impl EventStreams {
    /// No streams yet, and at most half of so many connections.
    pub(super) fn new(connections: usize) -> EventStreams {
        let counts = Counts {
            most: (connections / 2).clamp(1, MAX_STREAMS),
            open: Mutex::default(),
            refused: AtomicU64::new(0),
        };
        EventStreams {
            counts: Arc::new(counts),
            ending: watch::Sender::new(false),
        }
    }

    /// Returns how many are open.
    pub(super) fn open(&self) -> usize {
        self.counts.open().values().sum()
    }

    /// Returns how many were refused because too many were open.
    pub(super) fn refused(&self) -> u64 {
        self.counts.refused.load(Relaxed)
    }

    fn seat(&self, holder: String) -> Result<Seat, ApiError> {
        let counts = &self.counts;
        let (most, mut open) = (counts.most, counts.open());
        let of_one = (most - most / SHARE_FOR_OTHERS).max(1);
        let own = open.get(&holder).copied().unwrap_or(0);
        let message = if open.values().sum::<usize>() >= most {
            format!("{most} event streams are open, and no more are allowed at a time: close one")
        } else if own >= of_one {
            format!(
                "{own} event streams of {holder} are open, and no more are allowed of one token or address: close one"
            )
        } else {
            *open.entry(holder.clone()).or_default() += 1;
            let counts = Arc::clone(counts);
            return Ok(Seat { counts, holder });
        };
        counts.refused.fetch_add(1, Relaxed);
        Err(ApiError::unavailable("too_many_streams", message))
    }

    /// Answers with events, each made by [`event`], up to the end of their source.
    ///
    /// # Errors
    /// Too many streams are open.
    pub(super) fn respond(
        &self,
        caller: &Caller,
        events: impl Stream<Item = Bytes> + 'static,
    ) -> Result<HttpResponse, ApiError> {
        self.respond_to(caller.holder(), HEARTBEAT, events)
    }

    fn respond_to(
        &self,
        holder: String,
        heartbeat: Duration,
        events: impl Stream<Item = Bytes> + 'static,
    ) -> Result<HttpResponse, ApiError> {
        let seat = self.seat(holder)?;
        let mut heartbeat = interval_at(Instant::now() + heartbeat, heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let feed = Feed {
            events: Box::pin(events),
            heartbeat,
            ending: self.ending.subscribe(),
            has_ended: false,
            _seat: seat,
        };
        let body = stream::unfold(feed, |mut feed| async move {
            let piece = feed.next().await?;
            Some((Ok::<_, std::convert::Infallible>(piece), feed))
        });
        Ok(HttpResponse::Ok()
            .content_type("text/event-stream")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            // nginx would gather them.
            .insert_header(("x-accel-buffering", "no"))
            .streaming(body))
    }

    /// Ends all streams, each with an event `end`, and waits for a moment until it is read.
    pub(super) async fn end(&self) {
        self.ending.send_replace(true);
        // Who does not read is cut off.
        let _ = timeout(END_TIMEOUT, self.ending.closed()).await;
    }
}

/// What one stream sends.
struct Feed<S> {
    events: std::pin::Pin<Box<S>>,
    heartbeat: Interval,
    /// Kept until the last event is written: [`EventStreams::end`] waits for it.
    ending: watch::Receiver<bool>,
    has_ended: bool,
    _seat: Seat,
}

impl<S: Stream<Item = Bytes>> Feed<S> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        tokio::select! {
            biased;
            _ = self.ending.wait_for(|ends| *ends) => {
                self.has_ended = true;
                Some(END)
            }
            _ = self.heartbeat.tick() => Some(COMMENT),
            event = self.events.next() => event,
        }
    }
}

/// Writes one event. `data` is one line of JSON.
pub(super) fn event(name: &str, data: &impl Serialize) -> Bytes {
    // It has no maps whose keys are not strings, the one thing that JSON cannot have.
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use actix_web::body::{BoxBody, MessageBody};
    use futures_util::FutureExt;

    use super::*;

    async fn text(body: &mut BoxBody) -> Option<String> {
        let piece = poll_fn(|cx| pin!(&mut *body).poll_next(cx)).await?;
        Some(String::from_utf8(piece.expect("no error").to_vec()).expect("UTF-8"))
    }

    fn respond(
        streams: &EventStreams,
        holder: &str,
        events: impl Stream<Item = Bytes> + 'static,
    ) -> Result<HttpResponse, ApiError> {
        streams.respond_to(holder.to_owned(), HEARTBEAT, events)
    }

    fn open(streams: &EventStreams, events: impl Stream<Item = Bytes> + 'static) -> BoxBody {
        respond(streams, "one", events).expect("room").into_body()
    }

    #[tokio::test]
    async fn their_number_is_bounded_and_one_that_is_left_makes_room() {
        let streams = EventStreams::new(7);
        let open = || respond(&streams, "one", stream::pending());
        let mut kept: Vec<_> = (0..3).map(|_| open().expect("room")).collect();
        let refused = open().expect_err("three are open");
        assert_eq!(
            refused.to_string(),
            "3 event streams are open, and no more are allowed at a time: close one"
        );
        assert_eq!((streams.open(), streams.refused()), (3, 1));
        kept.pop();
        let _more = open().expect("room");
        assert_eq!((streams.open(), streams.refused()), (3, 1));
        assert_eq!(EventStreams::new(1000).counts.most, MAX_STREAMS);
        assert_eq!(EventStreams::new(0).counts.most, 1);
    }

    #[tokio::test]
    async fn one_token_leaves_room_for_others() {
        let streams = EventStreams::new(32);
        let open = |holder| respond(&streams, holder, stream::pending());
        let mut kept: Vec<_> = (0..14).map(|_| open("ops").expect("room")).collect();
        let refused = open("ops").expect_err("fourteen of sixteen").to_string();
        assert!(
            refused.starts_with("14 event streams of ops are open"),
            "{refused}"
        );
        let others = [open("page"), open("192.0.2.7")].map(|other| other.expect("room"));
        let refused = open("page").expect_err("sixteen").to_string();
        assert!(
            refused.starts_with("16 event streams are open"),
            "{refused}"
        );
        kept.pop();
        kept.push(open("ops").expect("room"));
        drop((kept, others));
        assert_eq!((streams.open(), streams.refused()), (0, 2));
        assert!(streams.counts.open().is_empty(), "nobody is remembered");
    }

    #[tokio::test]
    async fn events_to_their_end() {
        let streams = EventStreams::new(2);
        let events = stream::iter([event("first", &[1]), event("second", &"a\nb")]);
        let mut body = open(&streams, events);
        for expected in [
            "event: first\ndata: [1]\n\n",
            "event: second\ndata: \"a\\nb\"\n\n",
        ] {
            assert_eq!(text(&mut body).await.as_deref(), Some(expected));
        }
        assert_eq!(text(&mut body).await, None, "the source has ended");
    }

    #[tokio::test]
    async fn comments_while_nothing_happens() {
        let streams = EventStreams::new(2);
        let soon = Duration::from_millis(1);
        let answer = streams.respond_to("one".to_owned(), soon, stream::pending());
        let mut body = answer.expect("room").into_body();
        for _ in 0..3 {
            assert_eq!(text(&mut body).await.as_deref(), Some(": still there\n\n"));
        }
    }

    #[tokio::test]
    async fn the_end_waits_for_the_last_event_but_not_for_ever() {
        let streams = EventStreams::new(4);
        let mut read = open(&streams, stream::pending());
        let _unread = open(&streams, stream::pending());
        let ended = streams.end();
        let mut ended = pin!(ended);
        assert!(ended.as_mut().now_or_never().is_none());
        assert_eq!(
            text(&mut read).await.as_deref(),
            std::str::from_utf8(&END).ok()
        );
        assert_eq!(text(&mut read).await, None);
        drop(read);
        ended.await;
        assert_eq!(streams.open(), 1);
    }
}
