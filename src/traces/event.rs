//! One event of a traced client.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::labels::labels;

/// The longest detail that is kept, in bytes.
const MAX_DETAIL: usize = 256;

/// Whose event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The worker.
    pub worker: usize,
    /// The client's number.
    pub connection: u64,
    /// 0: none yet.
    pub session_id: u64,
    /// Bound or claimed; 0: not known.
    pub user_id: u64,
    /// The player's address.
    pub client: SocketAddr,
}

/// The way of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the labels say it")]
pub enum Direction {
    FromClient,
    ToClient,
}

labels!(Direction {
    FromClient => "from_client",
    ToClient => "to_client",
});

/// What becomes of a frame here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was taken from the client.
    Taken,
    /// It goes to the client's socket.
    Sent,
    /// It waits in the replay ring for a client that comes back.
    Kept,
}

labels!(Fate {
    Taken => "taken",
    Sent => "sent",
    Kept => "kept",
});

/// The header of a frame, and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of the protocol's header")]
pub struct Frame {
    pub direction: Direction,
    pub fate: Fate,
    pub kind: u8,
    pub flags: u8,
    pub realm_id: u32,
    pub user_id: u64,
    pub session_id: u64,
    pub service: Box<str>,
    pub payload_bytes: u32,
    /// Of ERROR and CLOSE.
    pub code: Option<u16>,
}

/// A decision, or a step of a session's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/admin.md has a table of them")]
pub enum Name {
    Connected,
    AddressKnown,
    UserKnown,
    SessionStarted,
    Routing,
    Routed,
    RouteFailed,
    Reaching,
    Reached,
    NotReached,
    ServicesChanged,
    Bound,
    Accepted,
    ServiceLeft,
    ServiceMoved,
    LinkLost,
    BackendClosed,
    Suspended,
    Disconnected,
    Resumed,
    TakenUp,
    HandedOver,
    ResumeRefused,
    AsksGateway,
    AnswersGateway,
    Replayed,
    AskedAway,
    Refused,
    OverRate,
    LinkFull,
    HeldBack,
    RingCut,
    ConnectionEnded,
    SessionEnded,
}

labels!(Name {
    Connected => "connected",
    AddressKnown => "address_known",
    UserKnown => "user_known",
    SessionStarted => "session_started",
    Routing => "routing",
    Routed => "routed",
    RouteFailed => "route_failed",
    Reaching => "reaching",
    Reached => "reached",
    NotReached => "not_reached",
    ServicesChanged => "services_changed",
    Bound => "bound",
    Accepted => "accepted",
    ServiceLeft => "service_left",
    ServiceMoved => "service_moved",
    LinkLost => "link_lost",
    BackendClosed => "backend_closed",
    Suspended => "suspended",
    Disconnected => "disconnected",
    Resumed => "resumed",
    TakenUp => "taken_up",
    HandedOver => "handed_over",
    ResumeRefused => "resume_refused",
    AsksGateway => "asks_gateway",
    AnswersGateway => "answers_gateway",
    Replayed => "replayed",
    AskedAway => "asked_away",
    Refused => "refused",
    OverRate => "over_rate",
    LinkFull => "link_full",
    HeldBack => "held_back",
    RingCut => "ring_cut",
    ConnectionEnded => "connection_ended",
    SessionEnded => "session_ended",
});

/// A decision with its particulars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Which.
    pub name: Name,
    /// The service concerned; empty: none.
    pub service: Box<str>,
    /// The endpoint concerned.
    pub endpoint: Option<SocketAddr>,
    /// The protocol's code.
    pub code: Option<u16>,
    /// How and why, for people; never what a player or backend has said.
    pub detail: Box<str>,
}

/// What happens to a traced client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A frame.
    Frame(Frame),
    /// Anything else.
    Decision(Decision),
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in microseconds since 1970.
    pub at_us: u64,
    /// Whose.
    pub subject: Subject,
    /// What.
    pub what: What,
}

impl Decision {
    /// A decision without particulars.
    pub fn new(name: Name) -> Decision {
        Decision {
            name,
            service: Box::default(),
            endpoint: None,
            code: None,
            detail: Box::default(),
        }
    }

    /// Adds the service concerned.
    pub fn service(self, service: &str) -> Decision {
        Decision {
            service: service.into(),
            ..self
        }
    }

    /// Adds the endpoint concerned.
    pub fn endpoint(self, endpoint: SocketAddr) -> Decision {
        Decision {
            endpoint: Some(endpoint),
            ..self
        }
    }

    /// Adds a code of the protocol.
    pub fn code(self, code: u16) -> Decision {
        Decision {
            code: Some(code),
            ..self
        }
    }

    /// Adds as much of how and why as is kept.
    pub fn detail(self, detail: impl Into<String>) -> Decision {
        let mut detail = detail.into();
        let mut ends = (0..=MAX_DETAIL.min(detail.len())).rev();
        let end = ends.find(|end| detail.is_char_boundary(*end));
        detail.truncate(end.unwrap_or(0));
        Decision {
            detail: detail.into(),
            ..self
        }
    }
}

impl From<Decision> for What {
    fn from(decision: Decision) -> What {
        What::Decision(decision)
    }
}

impl Event {
    /// An event of this moment.
    pub fn new(subject: Subject, what: What) -> Event {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Event {
            at_us: u64::try_from(now.unwrap_or_default().as_micros()).unwrap_or(u64::MAX),
            subject,
            what,
        }
    }

    /// Returns the memory that it holds, in bytes.
    pub fn bytes(&self) -> usize {
        let texts = match &self.what {
            What::Frame(frame) => frame.service.len(),
            What::Decision(decision) => decision.service.len() + decision.detail.len(),
        };
        // Two counts of the Arc that it is in.
        size_of::<Event>() + 2 * size_of::<usize>() + texts
    }
}
