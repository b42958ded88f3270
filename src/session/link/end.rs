//! The reasons for which a link ends.

use crate::labels::labels;

/// Reason for which a link has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkEnd {
    /// TCP or TLS could not be established.
    ConnectFailed,
    /// No PONG within `backend.connect_timeout`.
    ConnectTimeout,
    /// The backend closed the connection.
    PeerClosed,
    /// Reading or writing failed.
    IoError,
    /// The backend broke the link protocol.
    ProtocolError,
    /// The backend answered no PING for too long.
    PingTimeout,
    /// Memory was short, and the link held much of it.
    ShortOfMemory,
    /// The link was not needed any more.
    Idle,
    /// The gateway is ending.
    ShutDown,
    /// The link's actor panicked.
    Panicked,
}

labels!(LinkEnd {
    ConnectFailed => "connect_failed",
    ConnectTimeout => "connect_timeout",
    PeerClosed => "peer_closed",
    IoError => "io_error",
    ProtocolError => "protocol_error",
    PingTimeout => "ping_timeout",
    ShortOfMemory => "memory",
    Idle => "idle",
    ShutDown => "shut_down",
    Panicked => "panicked",
});

impl LinkEnd {
    /// Tells whether what was written may not have been read: the link did not end by this gateway's will.
    pub fn is_loss(self) -> bool {
        match self {
            LinkEnd::PeerClosed
            | LinkEnd::IoError
            | LinkEnd::ProtocolError
            | LinkEnd::PingTimeout
            | LinkEnd::ShortOfMemory
            | LinkEnd::Panicked => true,
            LinkEnd::ConnectFailed
            | LinkEnd::ConnectTimeout
            | LinkEnd::Idle
            | LinkEnd::ShutDown => false,
        }
    }
}
