//! Holders of memory.

use crate::labels::{Label, labels};

/// A holder of memory that somebody outside can make grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Frames that wait for players' sockets.
    ClientQueues,
    /// Bytes of players that have begun a frame, are held back, or wait for a link.
    ClientInput,
    /// Buffers of WebSockets and TLS.
    Sockets,
    /// Heads, bodies and answers of HTTP requests.
    Http,
    /// The last frames to players who can resume.
    Replay,
    /// Sessions without a connection.
    Suspended,
    /// Frames that wait for backends' sockets.
    LinkQueues,
    /// Bytes of backends that have begun a frame.
    LinkInput,
    /// Payloads that many players share.
    Multicast,
    /// Frames on their way to the worker that has their session.
    Relayed,
    /// Frames that wait to be written to peer gateways.
    Peers,
    /// Events that are kept for operators.
    History,
    /// Users' assignments that were read from Redis, and questions about them.
    Assignments,
    /// Spans on their way to a collector.
    Spans,
}

labels!(Part {
    ClientQueues => "client_queues",
    ClientInput => "client_input",
    Sockets => "sockets",
    Http => "http",
    Replay => "replay",
    Suspended => "suspended",
    LinkQueues => "link_queues",
    LinkInput => "link_input",
    Multicast => "multicast",
    Relayed => "relayed",
    Peers => "peers",
    History => "history",
    Assignments => "assignments",
    Spans => "spans",
});

/// Number of parts.
pub(super) const PARTS: usize = Part::ALL.len();
