//! Events of traces as the admin API tells them.

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::Serialize;
use utoipa::ToSchema;

use crate::codec::client::Kind;
use crate::labels::Label;
use crate::session::trace_id::TraceId;
use crate::supervision::{ActorId, Kind as ActorKind};
use crate::traces::{Decision, Event, Frame, Page, What};

/// Some events of a trace.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TracePage {
    /// The gateway's id.
    gateway_id: String,
    /// The events, in the order in which they happened on each worker.
    events: Vec<TraceEvent>,
    /// Events that are missing: they were only counted, or have given way.
    lost: u64,
    /// The `after` of the next page.
    #[schema(example = 42)]
    next: u64,
    /// The trace is over, and nothing comes behind these.
    end: bool,
}

/// One event. Members that do not apply are left out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TraceEvent {
    /// Its number in the trace.
    number: u64,
    /// When, in microseconds since 1970.
    at_us: u64,
    /// The gateway's id.
    gateway_id: String,
    /// The worker.
    worker: usize,
    /// The client's actor, of which each connection has one.
    #[schema(example = "client-7")]
    connection: String,
    /// The session, decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// `{gateway_id}:{session_id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    global_id: Option<String>,
    /// The session's W3C trace id, which log lines have.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    /// The user, decimal; "0": not known.
    user_id: String,
    /// The player's address.
    #[schema(value_type = String, example = "192.0.2.7:4242")]
    client: SocketAddr,
    /// `frame`, or a decision.
    #[schema(example = "routed")]
    event: &'static str,
    /// The frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<FrameSnapshot>,
    /// The service that a decision concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// The endpoint that a decision concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "10.0.0.7:9300")]
    endpoint: Option<SocketAddr>,
    /// The code of an ERROR or CLOSE, or a status of HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    /// How and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// A frame's header and size.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FrameSnapshot {
    /// `from_client` or `to_client`.
    #[schema(example = "from_client")]
    direction: &'static str,
    /// `taken` from the client, `sent` to it, or `kept` for a client that comes back.
    #[schema(example = "taken")]
    fate: &'static str,
    /// The kind by its name, or its number.
    #[schema(value_type = String, example = "DATA")]
    kind: Cow<'static, str>,
    flags: u8,
    realm_id: u32,
    /// Of the header, decimal.
    user_id: String,
    /// Of the header, decimal.
    session_id: String,
    /// Empty: the one named before.
    service: String,
    payload_bytes: u32,
}

impl TracePage {
    pub(super) fn of(page: &Page, gateway_id: &str) -> TracePage {
        let events = page.events.iter();
        TracePage {
            gateway_id: gateway_id.to_owned(),
            events: events
                .map(|(number, event)| TraceEvent::of(*number, event, gateway_id))
                .collect(),
            lost: page.lost,
            next: page.next,
            end: page.is_end,
        }
    }
}

impl TraceEvent {
    pub(super) fn of(number: u64, event: &Event, gateway_id: &str) -> TraceEvent {
        let subject = &event.subject;
        let session_id = Some(subject.session_id).filter(|id| *id != 0);
        let connection = ActorId {
            kind: ActorKind::Client,
            number: subject.connection,
        };
        let bare = TraceEvent {
            number,
            at_us: event.at_us,
            gateway_id: gateway_id.to_owned(),
            worker: subject.worker,
            connection: connection.to_string(),
            session_id: session_id.map(|id| id.to_string()),
            global_id: session_id.map(|id| format!("{gateway_id}:{id}")),
            trace_id: TraceId::of(subject.session_id).map(|id| id.to_string()),
            user_id: subject.user_id.to_string(),
            client: subject.client,
            event: "frame",
            frame: None,
            service: None,
            endpoint: None,
            code: None,
            detail: None,
        };
        match &event.what {
            What::Frame(frame) => TraceEvent {
                code: frame.code,
                frame: Some(FrameSnapshot::of(frame)),
                ..bare
            },
            What::Decision(decision) => bare.with(decision),
        }
    }

    /// Returns the name of the event.
    pub(super) fn event(&self) -> &'static str {
        self.event
    }

    fn with(self, decision: &Decision) -> TraceEvent {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        TraceEvent {
            event: decision.name.label(),
            service: text(&decision.service),
            endpoint: decision.endpoint,
            code: decision.code,
            detail: text(&decision.detail),
            ..self
        }
    }
}

impl FrameSnapshot {
    fn of(frame: &Frame) -> FrameSnapshot {
        FrameSnapshot {
            direction: frame.direction.label(),
            fate: frame.fate.label(),
            kind: Kind::from_byte(frame.kind).map_or_else(
                || Cow::from(frame.kind.to_string()),
                |kind| Cow::from(kind.name()),
            ),
            flags: frame.flags,
            realm_id: frame.realm_id,
            user_id: frame.user_id.to_string(),
            session_id: frame.session_id.to_string(),
            service: frame.service.to_string(),
            payload_bytes: frame.payload_bytes,
        }
    }
}
