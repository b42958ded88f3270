//! A span, as the gateway knows it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::session::trace_id::{SpanId, TraceId};

/// Nanoseconds since 1970.
pub type UnixNanos = u64;

/// Returns the time.
pub fn now() -> UnixNanos {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixNanos::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(UnixNanos::MAX)
}

/// How a span stands to whoever has caused it, as OpenTelemetry has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "OpenTelemetry's names")]
pub enum SpanKind {
    Internal,
    Server,
    Client,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names suffice")]
pub enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Flag(flag)
    }
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names suffice")]
pub struct Event {
    pub at: UnixNanos,
    pub name: &'static str,
    pub detail: String,
    pub count: u64,
}

/// One span that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "OpenTelemetry's names")]
pub struct Span {
    pub trace: TraceId,
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub name: &'static str,
    pub kind: SpanKind,
    pub start: UnixNanos,
    pub end: UnixNanos,
    pub attributes: Vec<(&'static str, Value)>,
    pub events: Vec<Event>,
    /// Why it has failed, if it has.
    pub error: Option<String>,
}

impl Span {
    /// A span from the first to the second time.
    pub fn new(
        trace: TraceId,
        id: SpanId,
        name: &'static str,
        (start, end): (UnixNanos, UnixNanos),
    ) -> Span {
        Span {
            trace,
            id,
            parent: None,
            name,
            kind: SpanKind::Internal,
            start,
            // The system's clock may have been set back meanwhile.
            end: end.max(start),
            attributes: Vec::new(),
            events: Vec::new(),
            error: None,
        }
    }

    /// Bytes of memory beside the span's own.
    pub(super) fn beside(&self) -> usize {
        let text = |(_, value): &(&str, Value)| match value {
            Value::Text(text) => text.capacity(),
            Value::Number(_) | Value::Flag(_) => 0,
        };
        self.attributes.capacity() * size_of::<(&str, Value)>()
            + self.attributes.iter().map(text).sum::<usize>()
            + self.events.capacity() * size_of::<Event>()
            + (self.events.iter().map(|event| event.detail.capacity())).sum::<usize>()
            + self.error.as_ref().map_or(0, String::capacity)
    }

    /// Adds an attribute.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Span {
        self.attributes.push((name, value.into()));
        self
    }

    /// Says how it stands to whoever has caused it.
    pub fn of_kind(self, kind: SpanKind) -> Span {
        Span { kind, ..self }
    }

    /// Says whose part it is.
    pub fn under(self, parent: SpanId) -> Span {
        Span {
            parent: Some(parent),
            ..self
        }
    }

    /// Says why it has failed, where it has.
    pub fn failed(self, error: Option<impl Into<String>>) -> Span {
        Span {
            error: error.map(Into::into),
            ..self
        }
    }
}
