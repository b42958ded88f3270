//! Why a client's connection ends. One enum, one exhaustive match: what the client is told, what
//! its backends are told, what is counted and how loudly it is logged.

use crate::codec::client::FrameError;
use crate::codec::code::Code;

/// Why a client's connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// The client sent CLOSE with this code.
    ByClient(Code),
    /// The connection just ended.
    Disconnected,
    /// The connection failed, for example by a reset.
    Failed,
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
    /// RESUME reached a gateway that is to be left, while the old connection stands.
    ResumeElsewhere,
    /// A backend ended the session.
    ByBackend {
        /// The code that the backend gave, or 440.
        code: Code,
        /// Milliseconds, passed on as they came.
        retry_after_ms: u32,
        /// Passed on as it came.
        text: Box<str>,
    },
    /// An operator ended the session.
    Kicked,
    /// The client's outbound queue overflowed.
    TooSlow,
    /// This gateway is draining.
    Draining,
    /// `listen.max_connections` is reached.
    Full,
    /// Something inside failed.
    Internal,
    /// An HTTP connection is over; its requests were answered one by one.
    Served,
    /// A PROXY header where none belongs.
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
    /// A WebSocket's message is not what it must be.
    BadMessage(MessageFault),
}

/// How loudly a closing is logged. Peers' everyday mistakes must not fill a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// Everyday.
    Debug,
    /// An operator may want to know of each.
    Warn,
}

/// All that follows from a [`Closing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The code of the CLOSE that the client gets; `None` sends nothing.
    pub client: Option<Code>,
    /// The code of the final CLOSE to each backend of the session.
    pub backends: Code,
    /// The text of the client's CLOSE.
    pub text: &'a str,
    /// The metric label.
    pub label: &'static str,
    /// The log level.
    pub loudness: Loudness,
}

/// What is said and counted of lost framing.
fn frame_words(error: &FrameError) -> (&'static str, &'static str) {
    match error {
        FrameError::Magic => ("wrong magic", "bad_magic"),
        FrameError::Version(_) => ("this version is not spoken here, only 1", "bad_version"),
        FrameError::ServiceLength(_) => ("service name over 64 bytes", "bad_service_name"),
        FrameError::ServiceName => (
            "service name is not [a-z0-9][a-z0-9._-]*",
            "bad_service_name",
        ),
        FrameError::PayloadTooLarge { .. } => ("payload over the limit", "payload_too_large"),
    }
}

/// What is wrong with a WebSocket's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// It is text.
    #[error("a text message")]
    Text,
    /// It ends within a frame.
    #[error("a message that ends within a frame")]
    CutFrame,
    /// It is larger than any frame may be.
    #[error("a message over the limit")]
    TooLarge,
    /// It is not what RFC 6455 lets a client send.
    #[error("not a WebSocket's frames")]
    Malformed,
}

impl MessageFault {
    /// What is said and counted of it.
    fn words(self) -> (Code, &'static str, &'static str) {
        match self {
            MessageFault::Text => (
                Code::MALFORMED,
                "text messages are not spoken here",
                "text_message",
            ),
            MessageFault::CutFrame => (
                Code::MALFORMED,
                "the message ends within a frame",
                "cut_message",
            ),
            MessageFault::TooLarge => (
                Code::TOO_LARGE,
                "message over the limit",
                "payload_too_large",
            ),
            MessageFault::Malformed => {
                (Code::MALFORMED, "not a WebSocket's frames", "bad_websocket")
            }
        }
    }
}

// What clients are told, where it is long.
const DRAINING: &str = "this gateway is draining";
const ELSEWHERE: &str = "another gateway has the session";
const OVERFLOWED: &str = "outbound queue overflowed";
const RESUMED: &str = "resumed on another connection";
const SLOW_START: &str = "first frame came too slowly";

impl Closing {
    /// What follows. Protocol 1.4: "a final CLOSE to a backend carries the code that the client
    /// sent or got; 0 where its connection just ended".
    pub fn verdict(&self) -> Verdict<'_> {
        use Loudness::{Debug, Warn};
        let told = |code, text, label, loudness| Verdict {
            client: Some(code),
            backends: code,
            text,
            label,
            loudness,
        };
        let silent = |backends, label| Verdict {
            client: None,
            backends,
            text: "",
            label,
            loudness: Debug,
        };
        // The session is not over, only not here (protocol 2.4).
        let left = |code, text, label| Verdict {
            backends: Code::LEAVES_LINK,
            ..told(code, text, label, Debug)
        };
        match self {
            Closing::ByClient(code) => silent(*code, "client"),
            Closing::Disconnected => silent(Code::NORMAL, "disconnected"),
            Closing::Failed => silent(Code::NORMAL, "failed"),
            Closing::Unrecognised => silent(Code::NORMAL, "unrecognised"),
            Closing::SilentStart => silent(Code::NORMAL, "silent_start"),
            Closing::BrokenFrame(error) => {
                let (text, label) = frame_words(error);
                told(error.code(), text, label, Debug)
            }
            Closing::SlowStart => told(Code::TIMEOUT, SLOW_START, "slow_start", Debug),
            Closing::Idle => told(Code::TIMEOUT, "idle", "idle", Debug),
            Closing::IdInUse => told(Code::CONFLICT, "session id is in use", "id_in_use", Debug),
            Closing::NotResumable => {
                told(Code::GONE, "cannot be resumed here", "not_resumable", Debug)
            }
            Closing::Replaced => left(Code::REPLACED, RESUMED, "replaced"),
            Closing::TakenElsewhere => left(Code::GONE, ELSEWHERE, "taken_elsewhere"),
            Closing::ResumeElsewhere => {
                told(Code::UNAVAILABLE, DRAINING, "resume_elsewhere", Debug)
            }
            Closing::ByBackend { code, text, .. } => told(*code, text, "backend", Debug),
            Closing::Kicked => told(Code::KICKED, "ended by an operator", "kicked", Debug),
            Closing::TooSlow => told(Code::TOO_SLOW, OVERFLOWED, "too_slow", Debug),
            Closing::Draining => told(Code::UNAVAILABLE, DRAINING, "draining", Debug),
            Closing::Full => told(Code::UNAVAILABLE, "this gateway is full", "full", Debug),
            Closing::Internal => told(Code::INTERNAL, "internal error", "internal", Warn),
            Closing::Served => silent(Code::NORMAL, "served"),
            Closing::ProxyUnexpected => silent(Code::NORMAL, "proxy_unexpected"),
            Closing::ProxyMissing => silent(Code::NORMAL, "proxy_missing"),
            Closing::ProxyMalformed => silent(Code::NORMAL, "proxy_malformed"),
            Closing::TlsFailed => silent(Code::NORMAL, "tls_failed"),
            Closing::TlsBusy => silent(Code::NORMAL, "tls_busy"),
            Closing::TlsMissing => silent(Code::NORMAL, "tls_missing"),
            Closing::BadMessage(fault) => {
                let (code, text, label) = fault.words();
                told(code, text, label, Debug)
            }
        }
    }

    /// The close code of a WebSocket that ends with it (protocol 1.6).
    pub fn websocket_code(&self) -> u16 {
        match self {
            Closing::BadMessage(MessageFault::Text) => 1003,
            closing => {
                let verdict = closing.verdict();
                verdict.client.unwrap_or(verdict.backends).websocket()
            }
        }
    }

    /// Whether it ends only the connection of a session that can be resumed (protocol 1.4, 3.2).
    pub fn only_suspends(&self) -> bool {
        matches!(
            self,
            Closing::Disconnected
                | Closing::Failed
                | Closing::Idle
                | Closing::Internal
                | Closing::Draining
                | Closing::TooSlow
        )
    }

    /// Whether the socket is of no use any more, or nothing is to be sent on it.
    pub fn is_abrupt(&self) -> bool {
        matches!(
            self,
            Closing::Failed
                | Closing::Disconnected
                | Closing::Unrecognised
                | Closing::Served
                | Closing::ProxyUnexpected
                | Closing::ProxyMissing
                | Closing::ProxyMalformed
                | Closing::TlsFailed
                | Closing::TlsBusy
                | Closing::TlsMissing
        )
    }

    /// Every metric label, so that all series exist from the start.
    pub const LABELS: [&'static str; 32] = [
        "replaced",
        "taken_elsewhere",
        "resume_elsewhere",
        "client",
        "disconnected",
        "failed",
        "unrecognised",
        "silent_start",
        "bad_magic",
        "bad_version",
        "bad_service_name",
        "payload_too_large",
        "slow_start",
        "idle",
        "id_in_use",
        "not_resumable",
        "backend",
        "kicked",
        "too_slow",
        "draining",
        "full",
        "internal",
        "served",
        "proxy_unexpected",
        "proxy_missing",
        "proxy_malformed",
        "text_message",
        "cut_message",
        "bad_websocket",
        "tls_failed",
        "tls_busy",
        "tls_missing",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_ends_with_the_code_of_its_closing() {
        for (closing, code) in [
            (Closing::BadMessage(MessageFault::Text), 1003),
            (Closing::BadMessage(MessageFault::CutFrame), 1002),
            (Closing::BadMessage(MessageFault::TooLarge), 1009),
            (Closing::Draining, 1001),
            (Closing::Idle, 1013),
            (Closing::Internal, 1011),
            (Closing::Kicked, 1008),
            (Closing::ByClient(Code::NORMAL), 1000),
        ] {
            assert_eq!(closing.websocket_code(), code, "{closing:?}");
        }
    }

    #[test]
    fn backends_get_the_code_that_the_client_sent_or_got() {
        let check = |closing: Closing, client: Option<u16>, backends: u16| {
            let verdict = closing.verdict();
            assert_eq!(verdict.client.map(|c| c.0), client, "{closing:?}");
            assert_eq!(verdict.backends.0, backends, "{closing:?}");
            assert!(Closing::LABELS.contains(&verdict.label), "{closing:?}");
        };
        check(Closing::ByClient(Code(7)), None, 7);
        check(Closing::Disconnected, None, 0);
        check(Closing::Failed, None, 0);
        check(Closing::Unrecognised, None, 0);
        check(Closing::SilentStart, None, 0);
        check(Closing::BrokenFrame(FrameError::Magic), Some(400), 400);
        check(Closing::BrokenFrame(FrameError::Version(9)), Some(400), 400);
        check(
            Closing::BrokenFrame(FrameError::ServiceName),
            Some(400),
            400,
        );
        check(
            Closing::BrokenFrame(FrameError::ServiceLength(65)),
            Some(400),
            400,
        );
        let large = FrameError::PayloadTooLarge { len: 2, limit: 1 };
        check(Closing::BrokenFrame(large), Some(413), 413);
        check(Closing::SlowStart, Some(408), 408);
        check(Closing::Idle, Some(408), 408);
        check(Closing::IdInUse, Some(409), 409);
        check(Closing::NotResumable, Some(410), 410);
        check(Closing::Replaced, Some(205), 307);
        check(Closing::TakenElsewhere, Some(410), 307);
        check(Closing::ResumeElsewhere, Some(503), 503);
        let backend = Closing::ByBackend {
            code: Code(440),
            retry_after_ms: 3,
            text: "bye".into(),
        };
        check(backend, Some(440), 440);
        check(Closing::Kicked, Some(440), 440);
        check(Closing::TooSlow, Some(507), 507);
        check(Closing::Draining, Some(503), 503);
        check(Closing::Full, Some(503), 503);
        check(Closing::Internal, Some(500), 500);
        check(Closing::Served, None, 0);
        check(Closing::ProxyUnexpected, None, 0);
        check(Closing::ProxyMissing, None, 0);
        check(Closing::ProxyMalformed, None, 0);
        check(Closing::TlsFailed, None, 0);
        check(Closing::TlsBusy, None, 0);
        check(Closing::TlsMissing, None, 0);
        check(Closing::BadMessage(MessageFault::Text), Some(400), 400);
        check(Closing::BadMessage(MessageFault::CutFrame), Some(400), 400);
        check(Closing::BadMessage(MessageFault::TooLarge), Some(413), 413);
        check(Closing::BadMessage(MessageFault::Malformed), Some(400), 400);
    }
}
