//! HTTP as a client of one-shot sessions needs it: a POST for each question, and its response
//! (protocol 1.6). No I/O.

use std::fmt::Write as _;
use std::time::Duration;

/// The longest head of a response, in bytes.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Between head and body.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// The input is not a response, or of a kind that a gateway does not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed HTTP response")]
pub struct Malformed;

/// A response in the buffer that it was read into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// 200: the backend's answer; else a code of protocol 1.4.
    pub status: u16,
    /// The one-shot session; 0 where there was none.
    pub session_id: u64,
    /// When to try again; zero gives no advice.
    pub retry_after: Duration,
    /// The connection ends behind it.
    pub closes: bool,
    /// The answer, or a text for people.
    pub body: &'a [u8],
}

impl Response<'_> {
    /// Parses the first response of `input`, with its length; `None` if it is incomplete.
    ///
    /// # Errors
    /// It is malformed; its body has no Content-Length, or one over `max_body` bytes.
    pub fn parse(input: &[u8], max_body: u32) -> Result<Option<(Response<'_>, usize)>, Malformed> {
        let window = &input[..input.len().min(MAX_HEAD_BYTES)];
        let end = window.windows(HEAD_END.len()).position(|w| w == HEAD_END);
        let Some(end) = end else {
            let whole = input.len() >= MAX_HEAD_BYTES;
            return if whole { Err(Malformed) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&input[..end]).map_err(|_| Malformed)?;
        let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|s| s.get(..3));
        let mut response = Response {
            status: number(status.ok_or(Malformed)?)?,
            session_id: 0,
            retry_after: Duration::ZERO,
            closes: false,
            body: &[],
        };
        let mut length = (response.status == 204).then_some(0);
        for line in headers.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(Malformed)?;
            let value = value.trim();
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("content-length") {
                length = Some(number(value)?);
            } else if is("x-session-id") {
                response.session_id = number(value)?;
            } else if is("retry-after") {
                response.retry_after = Duration::from_secs(number(value)?);
            } else if is("connection") {
                response.closes = value.eq_ignore_ascii_case("close");
            } else if is("transfer-encoding") {
                return Err(Malformed);
            }
        }
        let length = length
            .filter(|length| *length <= max_body)
            .ok_or(Malformed)?;
        let start = end + HEAD_END.len();
        let whole = start + length as usize;
        Ok(input.get(start..whole).map(|body| {
            response.body = body;
            (response, whole)
        }))
    }
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, Malformed> {
    text.parse().map_err(|_| Malformed)
}

/// Returns the head of a POST of `length` bytes to a service; the body follows it.
pub fn request_head(
    host: &str,
    service: &str,
    realm_id: u32,
    user_id: u64,
    length: usize,
) -> String {
    let mut head =
        format!("POST /{service} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n");
    // Writing to a String cannot fail.
    if realm_id != 0 {
        let _ = write!(head, "X-Realm-Id: {realm_id}\r\n");
    }
    if user_id != 0 {
        let _ = write!(head, "X-User-Id: {user_id}\r\n");
    }
    head.push_str("\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Session-Id: 99\r\n\r\nhello";

    #[test]
    fn a_response_is_read_once_it_is_whole() {
        let expected = Response {
            status: 200,
            session_id: 99,
            retry_after: Duration::ZERO,
            closes: false,
            body: b"hello",
        };
        for cut in 0..ANSWER.len() {
            assert_eq!(Response::parse(&ANSWER[..cut], 5), Ok(None), "{cut}");
        }
        let two = ANSWER.repeat(2);
        assert_eq!(Response::parse(&two, 5), Ok(Some((expected, ANSWER.len()))));
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let text = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nConnection: close\r\ncontent-length: 0\r\n\r\n";
        let (response, used) = Response::parse(text, 0).unwrap().unwrap();
        assert_eq!(used, text.len());
        assert_eq!((response.status, response.closes), (503, true));
        assert_eq!(response.retry_after, Duration::from_secs(2));
        let none = b"HTTP/1.1 204 No Content\r\n\r\n";
        let (response, _) = Response::parse(none, 0).unwrap().unwrap();
        assert_eq!((response.status, response.body), (204, &b""[..]));
    }

    #[test]
    fn what_is_no_response_is_refused() {
        for bad in [
            &b"HTTP/1.1 2x0 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length\r\n\r\n",
            ANSWER,
            &[b'x'; MAX_HEAD_BYTES],
        ] {
            assert_eq!(Response::parse(bad, 4), Err(Malformed));
        }
    }

    #[test]
    fn a_request_names_only_what_there_is() {
        assert_eq!(
            request_head("h:1", "game", 0, 0, 3),
            "POST /game HTTP/1.1\r\nHost: h:1\r\nContent-Length: 3\r\n\r\n"
        );
        assert_eq!(
            request_head("h:1", "game", 2, 7, 0),
            "POST /game HTTP/1.1\r\nHost: h:1\r\nContent-Length: 0\r\nX-Realm-Id: 2\r\nX-User-Id: 7\r\n\r\n"
        );
    }
}
