//! The consequences of a [`Closing`].

use super::{Closing, ClosingLabel as Label, MessageFault};
use crate::codec::client::FrameError;
use crate::codec::code::Code;

/// Level at which a closing is logged. Mistakes that remote ends make every day must not fill a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names suffice")]
pub enum LogLevel {
    Debug,
    Warn,
}

/// Advice to the client when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// None.
    NoAdvice,
    /// A random time for each client, so that many do not come back at once (protocol 1.4).
    Spread,
    /// The same, but what it waits for is a matter of milliseconds.
    Soon,
    /// Milliseconds that a backend gave.
    AfterMs(u32),
}

/// All that follows from a [`Closing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// Metric label.
    pub label: Label,
    /// Code of the CLOSE to the client; `None` sends nothing.
    pub client: Option<Code>,
    /// Code of the final CLOSE to each backend of the session.
    pub backends: Code,
    /// Text of the CLOSE to the client.
    pub text: &'a str,
    /// Level of the log line.
    pub log_level: LogLevel,
    /// True if the socket is closed at once: it has failed, or nothing may be sent on it.
    pub is_abrupt: bool,
    /// True if a resumable session outlives it (protocol 1.4, 3.2).
    pub only_suspends: bool,
    /// Advice in the CLOSE to the client.
    pub retry: Retry,
    /// Code of the WebSocket's close frame (protocol 1.6).
    pub websocket: u16,
}

/// Consequence for a session that can be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Suspend,
    End,
}

impl Closing {
    /// Returns all that follows from this closing.
    ///
    /// Protocol 1.4: "a final CLOSE to a backend carries the code that the client sent or got; 0
    /// where its connection just ended".
    #[expect(
        clippy::too_many_lines,
        reason = "one exhaustive match for all closings"
    )]
    pub fn outcome(&self) -> Outcome<'_> {
        use Retry::{AfterMs, NoAdvice, Soon, Spread};
        use Then::{End, Suspend};
        let refused = |label, code| told(label, code, End, Spread);
        match self {
            Closing::ByClient(code) => silent(Label::Client, *code),
            Closing::Abandoned(code) => silent(Label::Abandoned, *code),
            Closing::SilentStart => silent(Label::SilentStart, Code::NORMAL),

            Closing::Disconnected => abrupt(Label::Disconnected, Suspend),
            Closing::Failed => abrupt(Label::Failed, Suspend),
            Closing::Unrecognised => abrupt(Label::Unrecognised, End),
            Closing::Denied => abrupt(Label::Denied, End),
            Closing::BannedUnheard => abrupt(Label::Banned, End),
            Closing::Served => abrupt(Label::Served, End),
            Closing::ProxyUnexpected => abrupt(Label::ProxyUnexpected, End),
            Closing::ProxyMissing => abrupt(Label::ProxyMissing, End),
            Closing::ProxyMalformed => abrupt(Label::ProxyMalformed, End),
            Closing::TlsFailed => abrupt(Label::TlsFailed, End),
            Closing::TlsBusy => abrupt(Label::TlsBusy, End),
            Closing::TlsMissing => abrupt(Label::TlsMissing, End),
            Closing::BrokenFrame(error) => broken_frame(error),
            Closing::BadMessage(fault) => bad_message(*fault),
            Closing::SlowStart => told(Label::SlowStart, Code::TIMEOUT, End, NoAdvice)
                .with("first frame came too slowly"),
            Closing::Idle => told(Label::Idle, Code::TIMEOUT, Suspend, NoAdvice).with("idle"),
            Closing::IdInUse => {
                told(Label::IdInUse, Code::CONFLICT, End, NoAdvice).with("session id is in use")
            }
            Closing::NotResumable => {
                told(Label::NotResumable, Code::GONE, End, NoAdvice).with("cannot be resumed here")
            }
            Closing::ResumeElsewhere => {
                refused(Label::ResumeElsewhere, Code::UNAVAILABLE).with(DRAINING)
            }
            Closing::ResumeBusy => told(Label::ResumeBusy, Code::UNAVAILABLE, End, Soon)
                .with("another resume of this session is under way"),
            Closing::ResumeMetEnd => told(Label::ResumeBusy, Code::UNAVAILABLE, End, Soon)
                .with("the session has just ended here"),
            Closing::ByBackend {
                code,
                retry_after_ms,
                text,
            } => told(Label::Backend, *code, End, AfterMs(*retry_after_ms)).with(text),
            Closing::Kicked => by_operator(Label::Kicked, "ended by an operator"),
            Closing::Banned => by_operator(Label::Banned, "banned by an operator"),
            Closing::TooSlow => told(Label::TooSlow, Code::TOO_SLOW, Suspend, NoAdvice)
                .with("outbound queue overflowed"),
            Closing::Evicted => evicted(),
            Closing::InputTooLarge => told(Label::TooSlow, Code::TOO_SLOW, Suspend, NoAdvice)
                .with("input that waits took too much memory"),
            Closing::Draining => {
                told(Label::Draining, Code::UNAVAILABLE, Suspend, Spread).with(DRAINING)
            }
            Closing::Full => refused(Label::Full, Code::UNAVAILABLE).with("this gateway is full"),
            Closing::TooManyOfAddress => refused(Label::AddressRate, Code::RATE_LIMITED)
                .with("too many connections from this address"),
            Closing::TooManyConnections => refused(Label::ConnectionRate, Code::UNAVAILABLE)
                .with("too many connections at a time"),
            Closing::TooManySessions => refused(Label::SessionRate, Code::UNAVAILABLE)
                .with("too many sessions start at a time"),
            Closing::TooFast => {
                refused(Label::TooFast, Code::RATE_LIMITED).with("over the rate limit for too long")
            }
            Closing::ShortOfMemory => refused(Label::ShortOfMemory, Code::UNAVAILABLE)
                .with("this gateway is short of memory"),
            Closing::NoRoutes => refused(Label::NoRoutes, Code::UNAVAILABLE).with("no routes yet"),
            Closing::Internal => Outcome {
                log_level: LogLevel::Warn,
                ..told(Label::Internal, Code::INTERNAL, Suspend, NoAdvice).with("internal error")
            },

            Closing::Replaced => {
                left(Label::Replaced, Code::REPLACED).with("resumed on another connection")
            }
            Closing::TakenElsewhere => {
                left(Label::TakenElsewhere, Code::GONE).with("another gateway has the session")
            }
        }
    }
}

impl<'a> Outcome<'a> {
    fn with(self, text: &'a str) -> Outcome<'a> {
        Outcome { text, ..self }
    }
}

/// The client gets a CLOSE, and its backends the same code.
fn told<'a>(label: Label, code: Code, then: Then, retry: Retry) -> Outcome<'a> {
    Outcome {
        label,
        client: Some(code),
        backends: code,
        text: "",
        log_level: LogLevel::Debug,
        is_abrupt: false,
        only_suspends: then == Then::Suspend,
        retry,
        websocket: code.websocket(),
    }
}

/// The client is to stay away.
fn by_operator<'a>(label: Label, text: &'a str) -> Outcome<'a> {
    told(label, Code::KICKED, Then::End, Retry::NoAdvice).with(text)
}

/// The client gets no CLOSE, but all that is queued for it.
fn silent<'a>(label: Label, backends: Code) -> Outcome<'a> {
    Outcome {
        client: None,
        ..told(label, backends, Then::End, Retry::NoAdvice)
    }
}

/// The client gets nothing any more.
fn abrupt<'a>(label: Label, then: Then) -> Outcome<'a> {
    Outcome {
        is_abrupt: true,
        only_suspends: then == Then::Suspend,
        ..silent(label, Code::NORMAL)
    }
}

const DRAINING: &str = "this gateway is draining";

/// The client does not take what it gets, so it gets no CLOSE either; its backends hear why.
fn evicted<'a>() -> Outcome<'a> {
    Outcome {
        backends: Code::TOO_SLOW,
        ..abrupt(Label::TooSlow, Then::Suspend)
    }
}

/// The session goes on elsewhere: its backends are left, not told of an end (protocol 2.4).
fn left<'a>(label: Label, code: Code) -> Outcome<'a> {
    Outcome {
        backends: Code::LEAVES_LINK,
        ..told(label, code, Then::End, Retry::NoAdvice)
    }
}

fn broken_frame<'a>(error: &FrameError) -> Outcome<'a> {
    let (label, text) = match error {
        FrameError::Magic => (Label::BadMagic, "wrong magic"),
        FrameError::Version(_) => (Label::BadVersion, "this version is not spoken here, only 1"),
        FrameError::ServiceLength(_) => (Label::BadServiceName, "service name over 64 bytes"),
        FrameError::ServiceName => (
            Label::BadServiceName,
            "service name is not [a-z0-9][a-z0-9._-]*",
        ),
        FrameError::PayloadTooLarge { .. } => (Label::PayloadTooLarge, "payload over the limit"),
    };
    told(label, error.code(), Then::End, Retry::NoAdvice).with(text)
}

fn bad_message<'a>(fault: MessageFault) -> Outcome<'a> {
    let told = |label, code| told(label, code, Then::End, Retry::NoAdvice);
    match fault {
        MessageFault::Text => Outcome {
            websocket: 1003,
            ..told(Label::TextMessage, Code::MALFORMED).with("text messages are not spoken here")
        },
        MessageFault::CutFrame => {
            told(Label::CutMessage, Code::MALFORMED).with("the message ends within a frame")
        }
        MessageFault::TooLarge => {
            told(Label::PayloadTooLarge, Code::TOO_LARGE).with("message over the limit")
        }
        MessageFault::Malformed => {
            told(Label::BadWebsocket, Code::MALFORMED).with("not a WebSocket's frames")
        }
    }
}
