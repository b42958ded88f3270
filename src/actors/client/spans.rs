//! Spans of a client whose session is sampled. All others know by a mark of theirs that nothing of this concerns them.
//!
//! ```text
//!   session ─┬─ connect        accepted, up to the first frame
//!            ├─ route ── open  by the rules to a link, each endpoint that was tried
//!            ├─ first_answer   OPEN, up to the backend's first DATA
//!            ├─ resume ── open from RESUME to OPENED
//!            ├─ move           from one backend to another
//!            ├─ drain          GOAWAY, up to the session's end here
//!            └─ handover       to the gateway that goes on with it
//! ```
//!
//! Every gateway that has the session has a span `session` of its own. That of the first is the root.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::Client;
use super::opens::Opens;
use super::traced::Word;
use crate::actors::link::Lease;
use crate::codec::client;
use crate::codec::code::Code;
use crate::labels::Label;
use crate::memory::{Held, Part};
use crate::session::closing::Closing;
use crate::session::core::{Hold, Millis, RouteFailed};
use crate::session::trace_id::{SessionTrace, SpanId};
use crate::telemetry::{Span, SpanKind, UnixNanos, now};

/// What a sampled session's spans need that are not over.
#[derive(Debug)]
pub(super) struct OpenSpans {
    pub(super) session_id: u64,
    pub(super) trace: SessionTrace,
    /// The span of the session here.
    pub(super) own: SpanId,
    pub(super) since: UnixNanos,
    /// Since when it is resumed from elsewhere, while it is.
    pub(super) resuming: Option<UnixNanos>,
    pub(super) asked_away: Option<UnixNanos>,
    /// Services whose backends have not answered yet, and since when.
    pub(super) unanswered: SmallVec<[(Arc<str>, SocketAddr, UnixNanos); 1]>,
    _held: Held,
}

pub(super) fn draw() -> SpanId {
    SpanId::new(rand::random())
}

fn before(end: UnixNanos, took: Duration) -> UnixNanos {
    end.saturating_sub(UnixNanos::try_from(took.as_nanos()).unwrap_or(end))
}

fn lasted(took: Millis) -> (UnixNanos, UnixNanos) {
    let end = now();
    (before(end, Duration::from_millis(took)), end)
}

pub(super) fn at(span: Span, service: &str, endpoint: SocketAddr) -> Span {
    span.with("game_gateway.service", service)
        .with("server.address", endpoint.ip().to_string())
        .with("server.port", u64::from(endpoint.port()))
}

impl Client {
    /// A connection turns out to begin a session, or to want one back.
    pub(super) fn span_connect(&self, session_id: u64) {
        let spans = &self.shared.scope.spans;
        let Some(trace) = spans.sampled(session_id) else {
            return;
        };
        let waited = (self.shared.elapsed_ms() as u32).wrapping_sub(self.since_ms);
        let transport = self.stats.transport().label();
        let span = Span::new(trace.id, draw(), "connect", lasted(waited.into()))
            .under(self.with_spans(|open| open.own).unwrap_or(trace.root))
            .with("game_gateway.transport", transport);
        spans.record(span);
    }

    /// A session is to come here from elsewhere.
    pub(super) fn span_claim(&self, session_id: u64) {
        if let Some(trace) = self.shared.scope.spans.sampled(session_id) {
            self.open_spans(session_id, trace, draw());
            self.with_spans(|open| open.resuming = Some(now()));
        }
    }

    /// A session has begun, or has been taken up.
    pub(super) fn span_session_starts(&self, session_id: u64, taken_up: bool) {
        if self.stats.has_spans() {
            self.with_spans(|open| open.since = now());
        } else if let Some(trace) = self.shared.scope.spans.sampled(session_id) {
            let own = if taken_up { draw() } else { trace.root };
            self.open_spans(session_id, trace, own);
            self.span_connect(session_id);
        }
    }

    fn open_spans(&self, session_id: u64, trace: SessionTrace, own: SpanId) {
        let open = OpenSpans {
            session_id,
            trace,
            own,
            since: now(),
            resuming: None,
            asked_away: None,
            unanswered: SmallVec::new(),
            _held: Held::new(Part::History, size_of::<OpenSpans>()),
        };
        let mut all = self.shared.open_spans.borrow_mut();
        all.insert(self.slot, Box::new(open));
        self.stats.set_has_spans(true);
    }

    fn with_spans<R>(&self, look: impl FnOnce(&mut OpenSpans) -> R) -> Option<R> {
        if !self.stats.has_spans() {
            return None;
        }
        let mut all = self.shared.open_spans.borrow_mut();
        all.get_mut(&self.slot).map(|open| look(open))
    }

    /// Has a part of the session's span recorded, where the session is sampled.
    fn span(
        &self,
        name: &'static str,
        times: (UnixNanos, UnixNanos),
        fill: impl FnOnce(Span) -> Span,
    ) -> Option<(SessionTrace, SpanId)> {
        let (trace, own) = self.with_spans(|open| (open.trace, open.own))?;
        let span = Span::new(trace.id, draw(), name, times).under(own);
        let id = span.id;
        self.shared.scope.spans.record(fill(span));
        Some((trace, id))
    }

    /// A service was routed, or could not be.
    pub(super) fn span_route(
        &self,
        service: &Arc<str>,
        routed: &Result<(Lease, Word), RouteFailed>,
        took: Duration,
        opens: Opens,
    ) {
        let end = now();
        let route = self.span("route", (before(end, took), end), |span| match routed {
            Ok((lease, word)) => {
                at(span, service, lease.endpoint()).with("game_gateway.why", word.to_string())
            }
            Err(failed) => span
                .with("game_gateway.service", &**service)
                .with("game_gateway.code", u64::from(failed.code.0))
                .failed(Some(failed.text)),
        });
        let Some((trace, route)) = route else { return };
        for open in opens.into_all() {
            let span = Span::new(trace.id, draw(), "open", open.times).under(route);
            let span = at(span, service, open.endpoint).failed(open.error);
            self.shared
                .scope
                .spans
                .record(span.of_kind(SpanKind::Client));
        }
        if let Ok((lease, _)) = routed {
            let endpoint = lease.endpoint();
            self.with_spans(|open| {
                open.unanswered.retain(|(name, ..)| name != service);
                open.unanswered.push((Arc::clone(service), endpoint, end));
            });
            self.stats.set_awaits_answer(true);
        }
    }

    /// A service was opened again, or moved, where it is bound to; or could not be.
    pub(super) fn span_reach(&self, service: &str, opens: Opens) {
        for open in opens.into_all() {
            self.span("open", open.times, |span| {
                let span = at(span, service, open.endpoint).failed(open.error);
                span.of_kind(SpanKind::Client)
            });
        }
    }

    /// Frames come from a backend that may not have answered before.
    #[cold]
    pub(super) fn span_first_answer(&self, frames: &[u8]) {
        let Some((frame, _)) = client::headers(frames).next() else {
            return;
        };
        let answered = self.with_spans(|open| {
            let mut names = open.unanswered.iter().map(|(name, ..)| name);
            let place = names.position(|name| **name == *frame.service);
            let answered = place.map(|place| open.unanswered.remove(place));
            (answered, open.unanswered.is_empty())
        });
        let Some((answered, is_last)) = answered else {
            return;
        };
        if is_last {
            self.stats.set_awaits_answer(false);
        }
        if let Some((service, endpoint, since)) = answered {
            self.span("first_answer", (since, now()), |span| {
                at(span, &service, endpoint).of_kind(SpanKind::Client)
            });
        }
    }

    /// The session is back on a connection.
    pub(super) fn span_resumed(&self, gap: bool, took: Millis) {
        let from_elsewhere = self.with_spans(|open| open.resuming.take().is_some());
        self.span("resume", lasted(took), |span| {
            span.with("game_gateway.gap", gap)
                .with("game_gateway.taken_up", from_elsewhere.unwrap_or(false))
        });
    }

    /// A claim has come to nothing; there is no session here to say so.
    pub(super) fn span_claim_failed(&self, closing: &Closing) {
        if let Some(since) = self.with_spans(|open| open.resuming.take()).flatten() {
            let why = closing.outcome().label.label();
            self.span("resume", (since, now()), |span| span.failed(Some(why)));
        }
    }

    /// A move has ended.
    pub(super) fn span_move(&self, code: Code, from: SocketAddr, to: SocketAddr, took: Millis) {
        self.span("move", lasted(took), |span| {
            let failed = code != Code::NORMAL;
            span.with("game_gateway.from", from.to_string())
                .with("game_gateway.to", to.to_string())
                .with("game_gateway.code", u64::from(code.0))
                .failed(failed.then_some("the session stays with its backend"))
        });
    }

    /// The session was handed over to another gateway, or is not after all.
    pub(super) fn span_handover(&self, is_done: bool, took: Millis) {
        self.span("handover", lasted(took), |span| {
            span.failed((!is_done).then_some("the other gateway did not come back for it"))
        });
    }

    /// The player is asked to go elsewhere.
    pub(super) fn span_asked_away(&self) {
        self.with_spans(|open| {
            open.asked_away.get_or_insert_with(now);
        });
    }

    /// Nothing is recorded of this client any more.
    pub(super) fn forget_spans(&self) {
        if self.stats.has_spans() {
            self.stats.set_has_spans(false);
            self.stats.set_awaits_answer(false);
            self.shared.open_spans.borrow_mut().remove(&self.slot);
        }
    }
}
