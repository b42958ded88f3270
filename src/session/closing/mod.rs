//! The ends of a client's connection. All that follows from one stands in one exhaustive match,
//! [`Closing::outcome`].

mod label;
mod outcome;

use crate::codec::client::FrameError;
use crate::codec::code::Code;

pub use label::ClosingLabel;
pub use outcome::{LogLevel, Outcome, Retry};

/// Reason for which a client's connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// The client sent CLOSE with this code.
    ByClient(Code),
    /// The connection just ended.
    Disconnected,
    /// The connection failed, for example by a reset.
    Failed,
    /// Nobody has resumed the session, or there was no room for it any more. Backends hear the code for which
    /// its connection ended.
    Abandoned(Code),
    /// Framing is lost.
    BrokenFrame(FrameError),
    /// The first bytes are of no transport that is spoken here.
    Unrecognised,
    /// Nothing, or too little to tell the transport, came within `listen.sniff_timeout`.
    SilentStart,
    /// The transport is known, but its first header came too slowly.
    SlowStart,
    /// Silent for longer than `session.idle_timeout`.
    Idle,
    /// The session id that the client chose is in use.
    IdInUse,
    /// RESUME for a session that cannot be resumed here.
    NotResumable,
    /// The session was resumed on another connection; it goes on there.
    Replaced,
    /// A backend says that another gateway has the session.
    TakenElsewhere,
    /// RESUME reached a draining gateway while the session's old connection stands.
    ResumeElsewhere,
    /// Another resume of the session is under way, or has just ended; the next attempt finds out.
    ResumeBusy,
    /// The session's client stopped before it read of the resume; the next attempt finds out how it ended.
    ResumeMetEnd,
    /// A backend ended the session.
    ByBackend {
        /// The backend's code, or 440.
        code: Code,
        /// The backend's advice in milliseconds; 0 for no advice.
        retry_after_ms: u32,
        /// The backend's text.
        text: Box<str>,
    },
    /// An operator ended the session.
    Kicked,
    /// An operator has banned the user or the address.
    Banned,
    /// The same, of a connection whose transport is not known yet.
    BannedUnheard,
    /// The client's outbound queue overflowed.
    TooSlow,
    /// The client holds the most while too much of `limits.memory` is held, and does not take what is queued for it.
    Evicted,
    /// The same of a client for which nothing is queued: what it has sent is the most.
    InputTooLarge,
    /// This gateway is draining.
    Draining,
    /// `listen.max_connections` is reached.
    Full,
    /// The remote address is denied.
    Denied,
    /// The address has too many connections, or has had too many of late.
    TooManyOfAddress,
    /// Too many connections have come of late, from everybody.
    TooManyConnections,
    /// Too many sessions have started of late.
    TooManySessions,
    /// The client was over its rate of frames or bytes for longer than `limits.patience`.
    TooFast,
    /// Too much of `limits.memory` is held for a new session.
    ShortOfMemory,
    /// There are no rules yet, so that nobody can tell whether a token's backends are still such.
    NoRoutes,
    /// A fault of the gateway's own.
    Internal,
    /// An HTTP connection is over; its requests were answered one by one.
    Served,
    /// A PROXY header from a network that is not configured to send one.
    ProxyUnexpected,
    /// No PROXY header from a network that must send one.
    ProxyMissing,
    /// A PROXY header with mistakes.
    ProxyMalformed,
    /// The TLS handshake failed; TLS's own alert has said why.
    TlsFailed,
    /// `listen.tls.max_handshakes` are under way.
    TlsBusy,
    /// No TLS where `listen.tls.required` wants it.
    TlsMissing,
    /// A WebSocket message that is not whole binary frames.
    BadMessage(MessageFault),
}

/// Fault in a WebSocket message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// A text message.
    #[error("a text message")]
    Text,
    /// The message ends within a frame.
    #[error("a message that ends within a frame")]
    CutFrame,
    /// Larger than any frame may be.
    #[error("a message over the limit")]
    TooLarge,
    /// Not what RFC 6455 lets a client send.
    #[error("not a WebSocket's frames")]
    Malformed,
}

#[cfg(test)]
mod tests;
