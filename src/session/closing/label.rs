//! Metric labels of closings.

use crate::labels::labels;

/// Label under which the end of a connection is counted. Several closings may share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each names a closing or a fault in a frame or message"
)]
pub enum ClosingLabel {
    Replaced,
    TakenElsewhere,
    ResumeElsewhere,
    ResumeBusy,
    Client,
    Disconnected,
    Failed,
    Abandoned,
    Unrecognised,
    SilentStart,
    BadMagic,
    BadVersion,
    BadServiceName,
    PayloadTooLarge,
    SlowStart,
    Idle,
    IdInUse,
    NotResumable,
    Backend,
    Kicked,
    Banned,
    TooSlow,
    Draining,
    Full,
    Denied,
    AddressRate,
    ConnectionRate,
    SessionRate,
    TooFast,
    ShortOfMemory,
    NoRoutes,
    Internal,
    Served,
    ProxyUnexpected,
    ProxyMissing,
    ProxyMalformed,
    TextMessage,
    CutMessage,
    BadWebsocket,
    TlsFailed,
    TlsBusy,
    TlsMissing,
}

impl ClosingLabel {
    /// Tells whether somebody is turned away, as opposed to one who leaves, or whose session ends in its course.
    pub fn is_refusal(self) -> bool {
        use ClosingLabel as L;
        match self {
            L::Replaced | L::TakenElsewhere | L::Client | L::Disconnected | L::Failed => false,
            L::Abandoned | L::Idle | L::Backend | L::Kicked | L::TooSlow | L::Internal => false,
            L::SilentStart | L::Served => false,
            L::ResumeElsewhere | L::ResumeBusy | L::IdInUse | L::NotResumable => true,
            L::Unrecognised | L::SlowStart | L::BadMagic | L::BadVersion => true,
            L::BadServiceName | L::PayloadTooLarge | L::Banned | L::Draining | L::Full => true,
            L::Denied | L::AddressRate | L::ConnectionRate | L::SessionRate | L::TooFast => true,
            L::ShortOfMemory | L::NoRoutes => true,
            L::ProxyUnexpected | L::ProxyMissing | L::ProxyMalformed => true,
            L::TextMessage | L::CutMessage | L::BadWebsocket => true,
            L::TlsFailed | L::TlsBusy | L::TlsMissing => true,
        }
    }
}

labels!(ClosingLabel {
    Replaced => "replaced",
    TakenElsewhere => "taken_elsewhere",
    ResumeElsewhere => "resume_elsewhere",
    ResumeBusy => "resume_busy",
    Client => "client",
    Disconnected => "disconnected",
    Failed => "failed",
    Abandoned => "abandoned",
    Unrecognised => "unrecognised",
    SilentStart => "silent_start",
    BadMagic => "bad_magic",
    BadVersion => "bad_version",
    BadServiceName => "bad_service_name",
    PayloadTooLarge => "payload_too_large",
    SlowStart => "slow_start",
    Idle => "idle",
    IdInUse => "id_in_use",
    NotResumable => "not_resumable",
    Backend => "backend",
    Kicked => "kicked",
    Banned => "banned",
    TooSlow => "too_slow",
    Draining => "draining",
    Full => "full",
    Denied => "denied",
    AddressRate => "address_rate",
    ConnectionRate => "connection_rate",
    SessionRate => "session_rate",
    TooFast => "too_fast",
    ShortOfMemory => "memory",
    NoRoutes => "no_routes",
    Internal => "internal",
    Served => "served",
    ProxyUnexpected => "proxy_unexpected",
    ProxyMissing => "proxy_missing",
    ProxyMalformed => "proxy_malformed",
    TextMessage => "text_message",
    CutMessage => "cut_message",
    BadWebsocket => "bad_websocket",
    TlsFailed => "tls_failed",
    TlsBusy => "tls_busy",
    TlsMissing => "tls_missing",
});
