//! The ends of spans: with their session, or with the gateway.

use super::spans::{OpenSpans, at, draw};
use super::story::Detail;
use super::traced::name;
use super::{Client, WorkerScope};
use crate::codec::code::Code;
use crate::history::{self, EndedSession};
use crate::labels::Label;
use crate::telemetry::{Event, Span, SpanKind, UnixNanos, now};

const NANOS_PER_S: u64 = 1_000_000_000;
/// Why a session that waits for its player is over here when the gateway ends.
const GATEWAY_ENDED: &str = "gateway_ended";

impl WorkerScope {
    /// The gateway ends: so do the spans of sessions that wait for their players, here at least.
    pub fn end_spans(&self) {
        let open = std::mem::take(&mut *self.open_spans.borrow_mut());
        for open in open.into_values() {
            let span = self.end_parts(&open, GATEWAY_ENDED);
            let id = format!("{}:{}", self.scope.config.gateway.id, open.session_id);
            let span = span.with("session.id", id);
            self.scope
                .spans
                .record(span.with("game_gateway.reason", GATEWAY_ENDED));
        }
    }

    /// Ends what is open of a session. Returns its own span.
    fn end_parts(&self, open: &OpenSpans, why: &'static str) -> Span {
        let end = now();
        let part =
            |name, since| Span::new(open.trace.id, draw(), name, (since, end)).under(open.own);
        let spans = &self.scope.spans;
        if let Some(since) = open.resuming {
            spans.record(part("resume", since).failed(Some(why)));
        }
        for (service, endpoint, since) in &open.unanswered {
            let span = at(part("first_answer", *since), service, *endpoint);
            let span = span.with("game_gateway.answered", false);
            spans.record(span.of_kind(SpanKind::Client));
        }
        if let Some(since) = open.asked_away {
            spans.record(part("drain", since).with("game_gateway.reason", why));
        }
        let (trace, own) = (open.trace, open.own);
        Span {
            parent: (own != trace.root).then_some(trace.root),
            kind: SpanKind::Server,
            ..Span::new(trace.id, own, "session", (open.since, end))
        }
    }

    fn span_events(
        &self,
        ended: &EndedSession,
        (start, end): (UnixNanos, UnixNanos),
    ) -> Vec<Event> {
        let place = self.place();
        let event = |event: &history::Event| Event {
            // Of these only the second is known.
            at: (place.at(event.first_s) * NANOS_PER_S).clamp(start, end),
            name: name(&event.what).label(),
            detail: Detail(&event.what).to_string(),
            count: event.count.into(),
        };
        let story = ended.story.as_deref();
        story.map_or_else(Vec::new, |story| story.events().iter().map(event).collect())
    }
}

impl Client {
    /// The session is over here: what is open ends with it.
    pub(super) fn span_session(&self, ended: &EndedSession) {
        if !self.stats.has_spans() {
            return;
        }
        let shared = &self.shared;
        let open = shared.open_spans.borrow_mut().remove(&self.slot);
        self.forget_spans();
        let Some(open) = open else { return };
        let span = shared.end_parts(&open, ended.why.label());
        let times = (span.start, span.end);
        let span = Span {
            events: shared.span_events(ended, times),
            ..span
        };
        let gateway_id = &shared.scope.config.gateway.id;
        shared.scope.spans.record(describe(span, ended, gateway_id));
    }
}

/// Says whose session it was and what became of it.
fn describe(span: Span, ended: &EndedSession, gateway_id: &str) -> Span {
    let session = &ended.session;
    let failed = ended.code.0 >= Code::INTERNAL.0;
    span.with("session.id", format!("{gateway_id}:{}", session.session_id))
        .with("user.id", session.user_id.to_string())
        .with("game_gateway.user_is_bound", session.is_bound)
        .with("game_gateway.realm_id", u64::from(session.realm_id))
        .with("client.address", session.client.ip().to_string())
        .with("client.port", u64::from(session.client.port()))
        .with("game_gateway.transport", session.transport.label())
        .with("game_gateway.resumes", u64::from(ended.resumes))
        .with("game_gateway.frames_in", session.frames_in)
        .with("game_gateway.frames_out", session.frames_out)
        .with("game_gateway.bytes_in", session.bytes_in)
        .with("game_gateway.bytes_out", session.bytes_out)
        .with("game_gateway.code", u64::from(ended.code.0))
        .with("game_gateway.reason", ended.why.label())
        .failed(failed.then_some(ended.why.label()))
}
