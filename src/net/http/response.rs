//! Answers to HTTP requests.

use actix_http::header::{self, HeaderName};
use bytes::Bytes;

use super::body::Mistake;
use super::head::Head;
use super::request::Manner;
use crate::codec::code::{Code, Notice};
use crate::config::Http;
use crate::net::entry_host::Refusal;
use crate::session::id::{RETRY_AFTER_MS, spread_retry_ms};

/// Time for which a browser may cache the response to a preflight, in seconds.
const PREFLIGHT_SECONDS: &str = "600";
/// The methods that a service answers.
const METHODS: &str = "POST, OPTIONS";
/// The headers that a browser may send, and those that its page may read.
const REQUEST_HEADERS: &str = "content-type, x-realm-id, x-user-id";
const RESPONSE_HEADERS: &str = "x-session-id, retry-after";
/// Content type of the gateway's own texts.
const TEXT: &str = "text/plain; charset=utf-8";
/// The status of those who are to come back later.
const UNAVAILABLE: u16 = 503;
/// The status without a body.
const NO_CONTENT: u16 = 204;
/// Carries the session id, decimal.
const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// An answer, before it is HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    status: u16,
    content_type: &'static str,
    body: Bytes,
    session_id: u64,
    retry_after_ms: u32,
    headers: Vec<(HeaderName, &'static str)>,
    closing: bool,
}

impl From<Mistake> for Reply {
    /// Tells a client what is wrong; the connection ends.
    fn from(mistake: Mistake) -> Reply {
        Reply::refusal(mistake.status, mistake.text).closing()
    }
}

impl Reply {
    fn new(status: u16, content_type: &'static str, body: Bytes) -> Reply {
        Reply {
            status,
            content_type,
            body,
            session_id: 0,
            retry_after_ms: 0,
            headers: Vec::new(),
            closing: false,
        }
    }

    /// Answers with a backend's DATA.
    pub(super) fn data(session_id: u64, payload: Bytes) -> Reply {
        Reply {
            session_id,
            ..Reply::new(200, "application/octet-stream", payload)
        }
    }

    /// Answers with an ERROR or CLOSE of the session; 204 where it ended normally.
    pub(super) fn notice(session_id: u64, notice: &Notice<'_>, fatal: bool) -> Reply {
        if fatal && notice.code == Code::NORMAL {
            return Reply {
                session_id,
                ..Reply::new(204, "", Bytes::new())
            };
        }
        let reply = Reply::refusal(notice.code.http(), notice.text);
        Reply {
            session_id,
            retry_after_ms: match notice.retry_after_ms {
                0 => reply.retry_after_ms,
                advice => advice,
            },
            ..reply
        }
    }

    /// Answers that no session may start.
    pub(super) fn refused(refusal: &Refusal) -> Reply {
        Reply {
            retry_after_ms: refusal.retry_after_ms,
            ..Reply::refusal(refusal.code.http(), &refusal.text)
        }
    }

    /// Refuses with a line of text for people. A 503 has its `Retry-After`.
    pub(super) fn refusal(status: u16, text: &str) -> Reply {
        let (least, most) = RETRY_AFTER_MS;
        Reply {
            retry_after_ms: match status {
                UNAVAILABLE => spread_retry_ms(least, most),
                _ => 0,
            },
            ..Reply::new(status, TEXT, format!("{text}\n").into())
        }
    }

    /// Refuses the method for this path.
    pub(super) fn method_not_allowed(allowed: &'static str) -> Reply {
        Reply::refusal(405, "not for this method").with(header::ALLOW, allowed)
    }

    /// Answers a browser's preflight.
    pub(super) fn preflight() -> Reply {
        Reply::new(204, "", Bytes::new())
            .with(header::ALLOW, METHODS)
            .with(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
            .with(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS)
            .with(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS)
    }

    /// Answers a balancer's health check.
    pub(super) fn health() -> Reply {
        Reply::new(200, TEXT, Bytes::from_static(b"ok\n"))
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Reply {
        self.headers.push((name, value));
        self
    }

    /// Makes the connection end behind this answer.
    pub(super) fn closing(self) -> Reply {
        Reply {
            closing: true,
            ..self
        }
    }

    /// Returns the line of text of a refusal.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body)
            .unwrap_or_default()
            .trim_end()
    }

    /// Returns the status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Returns true if the connection ends behind this answer.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Makes the head and the body of the response to a request from `origin`.
    pub(super) fn into_response(
        self,
        origin: Option<&str>,
        manner: Manner,
        http: &Http,
    ) -> (String, Bytes) {
        let mut head = Head::new(self.status, manner);
        if !self.content_type.is_empty() {
            head.line(&header::CONTENT_TYPE, self.content_type);
        }
        if self.session_id != 0 {
            head.line(&SESSION_ID, self.session_id);
        }
        if self.retry_after_ms > 0 {
            head.line(&header::RETRY_AFTER, self.retry_after_ms.div_ceil(1000));
        }
        for (name, value) in &self.headers {
            head.line(name, value);
        }
        if !http.allowed_origins.is_empty() {
            head.line(&header::VARY, "origin");
        }
        if let Some(origin) = origin.filter(|origin| http.allowed_origins.contains(origin)) {
            head.line(&header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            head.line(&header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        }
        if self.status != NO_CONTENT {
            head.line(&header::CONTENT_LENGTH, self.body.len());
        }
        let has_body = self.status != NO_CONTENT && !manner.head_only;
        let body = if has_body { self.body } else { Bytes::new() };
        (head.end(manner), body)
    }
}
