//! The head of a response as text.

use std::fmt::{Display, Write};
use std::time::SystemTime;

use actix_http::StatusCode;
use actix_http::header::{self, HeaderName};

use super::request::Manner;

/// The head of a response. Its values come from the gateway, or from a header that had to be text.
pub(crate) struct Head(String);

impl Head {
    /// Begins with the status line and the date.
    pub(crate) fn new(status: u16, manner: Manner) -> Head {
        let version = if manner.is_http_11 { "1.1" } else { "1.0" };
        let reason = StatusCode::from_u16(status).ok();
        let reason = reason.and_then(|status| status.canonical_reason());
        let mut head = Head(format!(
            "HTTP/{version} {status} {}\r\n",
            reason.unwrap_or_default()
        ));
        let now = SystemTime::now();
        head.line(&header::DATE, httpdate::HttpDate::from(now));
        head
    }

    pub(crate) fn line(&mut self, name: &HeaderName, value: impl Display) {
        // A `String` takes everything.
        let _ = write!(self.0, "{name}: {value}\r\n");
    }

    /// Ends with what becomes of the connection.
    pub(crate) fn end(mut self, manner: Manner) -> String {
        if manner.closes {
            self.line(&header::CONNECTION, "close");
        } else if !manner.is_http_11 {
            self.line(&header::CONNECTION, "keep-alive");
        }
        self.0.push_str("\r\n");
        self.0
    }
}
