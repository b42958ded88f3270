//! Spans as OTLP has them on the wire: the part of `opentelemetry/proto/trace/v1` and
//! `opentelemetry/proto/collector/trace/v1` that is sent or read here.

use prost::Message;

use super::span::{Event, Span, SpanKind, Value};
use crate::session::trace_id::Threshold;

/// STATUS_CODE_ERROR.
const ERROR: i32 = 2;
/// The flags of W3C Trace Context: sampled.
const FLAGS: u32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Instrumentation>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<WireSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct Instrumentation {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct WireSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
    #[prost(message, repeated, tag = "11")]
    events: Vec<WireEvent>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct WireEvent {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "3")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Kind", tags = "1, 2, 3")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

/// Makes an attribute of the resource.
pub(super) fn text(key: &str, value: &str) -> Attribute {
    attribute(key, Value::from(value))
}

fn attribute(key: &str, value: Value) -> Attribute {
    let kind = match value {
        Value::Text(text) => Kind::Text(text),
        Value::Number(number) => Kind::Number(number),
        Value::Flag(flag) => Kind::Flag(flag),
    };
    Attribute {
        key: key.to_owned(),
        value: Some(AnyValue { kind: Some(kind) }),
    }
}

/// Encodes a request with these spans.
pub(super) fn encode(
    resource: &[Attribute],
    spans: Vec<Span>,
    threshold: Option<Threshold>,
) -> Vec<u8> {
    let trace_state = threshold.map_or_else(String::new, Threshold::tracestate);
    let spans = spans.into_iter().map(|span| wire(span, &trace_state));
    let request = ExportRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: resource.to_vec(),
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(Instrumentation {
                    name: env!("CARGO_PKG_NAME").to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                }),
                spans: spans.collect(),
            }],
        }],
    };
    request.encode_to_vec()
}

fn wire(span: Span, trace_state: &str) -> WireSpan {
    let attributes = span.attributes.into_iter();
    WireSpan {
        trace_id: span.trace.bytes().to_vec(),
        span_id: span.id.bytes().to_vec(),
        trace_state: trace_state.to_owned(),
        parent_span_id: span.parent.map_or_else(Vec::new, |id| id.bytes().to_vec()),
        name: span.name.to_owned(),
        kind: match span.kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
        },
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: attributes
            .map(|(key, value)| attribute(key, value))
            .collect(),
        events: span.events.into_iter().map(wire_event).collect(),
        status: span.error.map(|message| Status {
            message,
            code: ERROR,
        }),
        flags: FLAGS,
    }
}

fn wire_event(event: Event) -> WireEvent {
    WireEvent {
        time_unix_nano: event.at,
        name: event.name.to_owned(),
        attributes: vec![
            text("game_gateway.detail", &event.detail),
            attribute("game_gateway.count", event.count.into()),
        ],
    }
}
