//! The codes of ERROR and CLOSE frames (protocol 1.4) and their common payload.

use super::array;

/// A code of protocol 1.4. Backends may send any number, so this is a number with names, not an
/// enum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl Code {
    /// Normal end.
    pub const NORMAL: Code = Code(0);
    /// The session was resumed on another connection.
    pub const REPLACED: Code = Code(205);
    /// Between gateway and backend only: the session leaves this link (protocol 2.4).
    pub const LEAVES_LINK: Code = Code(307);
    /// Malformed frame.
    pub const MALFORMED: Code = Code(400);
    /// The service needs a bound session.
    pub const NOT_BOUND: Code = Code(401);
    /// user_id or realm_id contradicts what the session is bound to.
    pub const FORBIDDEN: Code = Code(403);
    /// No routing rule, or no mapping for the realm.
    pub const NO_ROUTE: Code = Code(404);
    /// Idle, or the first bytes came too slowly.
    pub const TIMEOUT: Code = Code(408);
    /// session_id is in use by another live connection.
    pub const CONFLICT: Code = Code(409);
    /// Cannot be resumed.
    pub const GONE: Code = Code(410);
    /// Payload over the limit.
    pub const TOO_LARGE: Code = Code(413);
    /// Between gateway and backend only: the gateway does not have that session, or not on this service
    /// (protocol 2.3).
    pub const NOT_HERE: Code = Code(421);
    /// Rate limited.
    pub const RATE_LIMITED: Code = Code(429);
    /// Kicked by an operator or a backend.
    pub const KICKED: Code = Code(440);
    /// Internal error.
    pub const INTERNAL: Code = Code(500);
    /// Between gateway and backend only: the backend has not named the feature (protocol 2.5).
    pub const NOT_IMPLEMENTED: Code = Code(501);
    /// The backend cannot be reached, or its link was lost.
    pub const BAD_GATEWAY: Code = Code(502);
    /// Draining or over capacity.
    pub const UNAVAILABLE: Code = Code(503);
    /// The backend did not answer in time (HTTP only).
    pub const BACKEND_TIMEOUT: Code = Code(504);
    /// The client's outbound queue overflowed, or what it holds is the most while memory is short.
    pub const TOO_SLOW: Code = Code(507);

    /// Tells whether a backend that ends a session with this code says that it, and not the player, is why.
    pub fn blames_backend(self) -> bool {
        matches!(
            self,
            Code::INTERNAL | Code::BAD_GATEWAY | Code::UNAVAILABLE | Code::BACKEND_TIMEOUT
        )
    }

    /// Every code that has a name, for tables such as metric labels.
    pub const ALL: [Code; 20] = [
        Code::NORMAL,
        Code::REPLACED,
        Code::LEAVES_LINK,
        Code::MALFORMED,
        Code::NOT_BOUND,
        Code::FORBIDDEN,
        Code::NO_ROUTE,
        Code::TIMEOUT,
        Code::CONFLICT,
        Code::GONE,
        Code::TOO_LARGE,
        Code::NOT_HERE,
        Code::RATE_LIMITED,
        Code::KICKED,
        Code::INTERNAL,
        Code::NOT_IMPLEMENTED,
        Code::BAD_GATEWAY,
        Code::UNAVAILABLE,
        Code::BACKEND_TIMEOUT,
        Code::TOO_SLOW,
    ];
}

impl Code {
    /// Returns the code of a client's CLOSE as its backends get it: only 1000 and more are the
    /// application's own (protocol 1.4).
    pub fn of_client(self) -> Code {
        if self.0 >= 1000 { self } else { Code::NORMAL }
    }

    /// Returns the close code of a WebSocket that ends with this code (protocol 1.6).
    pub fn websocket(self) -> u16 {
        match self {
            Code::NORMAL | Code::REPLACED => 1000,
            Code::UNAVAILABLE => 1001,
            Code::MALFORMED => 1002,
            Code::TOO_LARGE => 1009,
            Code::INTERNAL => 1011,
            Code::TOO_SLOW | Code::TIMEOUT => 1013,
            _ => 1008,
        }
    }

    /// Returns the status of an HTTP response for this code: the code itself, if HTTP can express that
    /// refusal (protocol 1.6).
    pub fn http(self) -> u16 {
        match self.0 {
            400..=599 => self.0,
            _ => Code::BAD_GATEWAY.0,
        }
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The longest text that the gateway puts into, or passes on from, an ERROR or CLOSE, in bytes.
pub const MAX_TEXT_BYTES: usize = 256;

/// The payload of ERROR and CLOSE: `u16 code`, `u32 retry_after_ms`, text (protocol 1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice<'a> {
    /// Why.
    pub code: Code,
    /// When to try again, in milliseconds; 0 gives no advice.
    pub retry_after_ms: u32,
    /// A short explanation for people.
    pub text: &'a str,
}

impl<'a> Notice<'a> {
    /// Reads a payload. "A receiver takes a shorter one: what is missing is 0 or empty"; a missing
    /// code is `default`, which is 440 for a backend's CLOSE and 0 for a client's. Text that is not
    /// UTF-8 is cut where it stops being so, and at [`MAX_TEXT_BYTES`].
    pub fn decode(payload: &'a [u8], default: Code) -> Notice<'a> {
        let code = if payload.len() >= 2 {
            Code(u16::from_be_bytes(array(payload, 0)))
        } else {
            default
        };
        let text = payload.get(6..).unwrap_or_default();
        let text = &text[..text.len().min(MAX_TEXT_BYTES)];
        let text = match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
        };
        Notice {
            code,
            retry_after_ms: u32::from_be_bytes(array(payload, 2)),
            text,
        }
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.0.to_be_bytes());
        out.extend_from_slice(&self.retry_after_ms.to_be_bytes());
        out.extend_from_slice(self.text.as_bytes());
    }

    /// Where the text begins in a payload, in bytes.
    pub const TEXT_AT: usize = 6;

    /// Returns the number of bytes that [`encode`](Self::encode) appends.
    pub fn encoded_len(&self) -> usize {
        Notice::TEXT_AT + self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_payload_is_taken() {
        let check = |payload: &[u8], code, retry, text| {
            let notice = Notice::decode(payload, Code::KICKED);
            assert_eq!(
                notice,
                Notice {
                    code,
                    retry_after_ms: retry,
                    text
                }
            );
        };
        check(&[], Code::KICKED, 0, "");
        check(&[1], Code::KICKED, 0, "");
        check(&[0, 0], Code::NORMAL, 0, "");
        check(&[0, 0, 9, 9], Code::NORMAL, 0, "");
        check(&[1, 0xF7, 0, 0, 0, 7], Code::UNAVAILABLE, 7, "");
        check(
            &[1, 0xF7, 0, 0, 0, 7, b'h', b'i'],
            Code::UNAVAILABLE,
            7,
            "hi",
        );
        check(&[0, 0, 0, 0, 0, 0, b'h', 0xFF], Code::NORMAL, 0, "h");
    }

    #[test]
    fn text_is_bounded_on_a_character_boundary() {
        let mut payload = vec![0; 6];
        payload.extend("é".repeat(MAX_TEXT_BYTES).as_bytes());
        payload.insert(6, b'x');
        let notice = Notice::decode(&payload, Code::NORMAL);
        assert_eq!(notice.text.len(), MAX_TEXT_BYTES - 1);
    }

    #[test]
    fn other_transports_have_numbers_of_their_own() {
        let websocket = [
            (0, 1000),
            (205, 1000),
            (503, 1001),
            (400, 1002),
            (413, 1009),
            (500, 1011),
            (507, 1013),
            (408, 1013),
            (401, 1008),
            (409, 1008),
            (440, 1008),
            (429, 1008),
            (7, 1008),
        ];
        for (code, close) in websocket {
            assert_eq!(Code(code).websocket(), close, "{code}");
        }
        for (code, status) in [
            (400, 400),
            (440, 440),
            (504, 504),
            (599, 599),
            (600, 502),
            (205, 502),
            (0, 502),
        ] {
            assert_eq!(Code(code).http(), status, "{code}");
        }
    }

    #[test]
    fn round_trip() {
        let notice = Notice {
            code: Code::BAD_GATEWAY,
            retry_after_ms: 1500,
            text: "gone",
        };
        let mut out = Vec::new();
        notice.encode(&mut out);
        assert_eq!(out.len(), notice.encoded_len());
        assert_eq!(Notice::decode(&out, Code::KICKED), notice);
    }
}
