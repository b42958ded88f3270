//! Labels of the counters.

use crate::codec::link::Transport;
use crate::labels::labels;

/// Reason that a connection could not be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptError {
    /// It has ended, or its network has failed, before it was accepted.
    Aborted,
    /// The process has no open files left.
    ProcessFiles,
    /// The system has no open files left.
    SystemFiles,
    /// The system has no memory for sockets left.
    Memory,
    /// None of these.
    Other,
}

labels!(AcceptError {
    Aborted => "aborted",
    ProcessFiles => "process_files",
    SystemFiles => "system_files",
    Memory => "memory",
    Other => "other",
});

/// Reason for dropping frames or messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// From a backend, before its ACCEPT: they belong to the epoch before.
    BeforeAccept,
    /// The client is being closed, or was too slow.
    ClientClosing,
    /// The client has ended.
    ClientGone,
    /// Over the client's rate of frames or bytes.
    RateLimited,
    /// The link was lost before they were written.
    LinkGone,
    /// From a backend, for a session that has left the link by CLOSE 307.
    LinkLeft,
    /// CLOSE 307 that answers none.
    UnexpectedClose307,
    /// FEATURES, ASSIGN or TRANSFER with a payload that is none.
    MalformedMove,
    /// ACCEPT that answers no OPEN.
    UnexpectedAccept,
    /// PONG with bytes that no PING had.
    UnexpectedPong,
    /// BIND from a service whose rule does not let it.
    MayNotBind,
    /// A kind that is unknown, or not for a backend to send.
    UnexpectedKind,
    /// None of these.
    Other,
    /// The session registry ended before it passed them on. Counted from any thread.
    RegistryGone,
}

labels!(DropReason {
    BeforeAccept => "before_accept",
    ClientClosing => "client_closing",
    ClientGone => "client_gone",
    RateLimited => "rate_limited",
    LinkGone => "link_gone",
    LinkLeft => "link_left",
    UnexpectedClose307 => "unexpected_close_307",
    MalformedMove => "malformed_move",
    UnexpectedAccept => "unexpected_accept",
    UnexpectedPong => "unexpected_pong",
    MayNotBind => "may_not_bind",
    UnexpectedKind => "unexpected_kind",
    Other => "other",
    RegistryGone => "registry_gone",
});

labels!(Transport {
    Tcp => "tcp",
    WebSocket => "websocket",
    Http => "http",
    TcpTls => "tcp+tls",
    WebSocketTls => "websocket+tls",
    HttpTls => "http+tls",
});

/// Exactness of a resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// Nothing is missing.
    Exact,
    /// Frames may be missing, and the client was told.
    Gap,
}

labels!(Resumed { Exact => "exact", Gap => "gap", });

/// How the search for a link to a service ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names suffice")]
pub enum Routed {
    Found,
    Refused,
}

/// How the look-up of a user's assignment in Redis ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookedUp {
    /// It was known.
    Known,
    /// It was known that there is none.
    KnownNone,
    /// Redis has said it.
    Read,
    /// Redis has said that there is none.
    ReadNone,
    /// Redis cannot be asked; it is the last one that is known.
    LastGood,
    /// Redis cannot be asked, and none is known.
    Failed,
}

labels!(LookedUp {
    Known => "known",
    KnownNone => "known_none",
    Read => "read",
    ReadNone => "read_none",
    LastGood => "last_good",
    Failed => "failed",
});

labels!(Routed { Found => "found", Refused => "refused", });
