//! Values that go into and out of the session core.

use bytes::Bytes;

use crate::sdk::client::{Data, Told};

/// Number of a connection, chosen by the core, never used twice within a session.
pub type ConnId = u64;

/// An order of the core to its driver; the order of effects matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Connect to the deployment, to any gateway. Answered by
    /// [`connected`](super::SessionCore::connected) or
    /// [`connect_failed`](super::SessionCore::connect_failed).
    Connect(ConnId),
    /// Queue these bytes, one or more whole frames, on a connection. Answered by
    /// [`wrote`](super::SessionCore::wrote) as the network takes them.
    Send(ConnId, Bytes),
    /// Drop a connection or the attempt to make it, and all that waits on it in either direction.
    /// Nothing is reported of it afterwards; reports that cross this one are ignored.
    Disconnect(ConnId),
    /// Tell the application. Nothing follows [`Event::Ended`].
    Tell(Event),
}

/// An event of a session, as its application sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The gateway has the session; it has this id.
    Started(u64),
    /// The application's bytes, in order, none lost or doubled since the last gap.
    Data(Data),
    /// Something was refused; the session goes on.
    Error(Told),
    /// The connection is lost; the session comes back or ends.
    Interrupted,
    /// The session goes on over another connection.
    Resumed {
        /// Frames in either direction may be missing.
        gap: bool,
        /// Frames that were sent and may be missing; 0 without a gap.
        unknown: usize,
    },
    /// The session is over; nothing follows.
    Ended(End),
}

/// Reason for the end of a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The gateway or a backend has ended it.
    #[error("closed with {}: {}", .0.code, .0.text)]
    Closed(Told),
    /// The connection was lost before the gateway had sent a resume token.
    #[error("connection lost before the session could be resumed")]
    Lost,
    /// No gateway resumed the session within [`SessionOptions::give_up_after`](super::SessionOptions).
    #[error("gave up: no gateway resumed the session in time")]
    GaveUp,
    /// The gateway broke the protocol.
    #[error("protocol violation by the gateway: {0}")]
    Broken(String),
    /// Closed by the application.
    #[error("closed by the application")]
    Local,
}
