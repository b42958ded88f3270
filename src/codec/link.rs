//! The link protocol's frames (protocol 2.1 and 2.2).
//!
//! Hot path: no allocation, no `String`, no logging (except for HELLO, once a link).

mod moves;
mod payloads;

use serde::{Deserialize, Serialize};

use super::{Decoded, array, foreign};

pub use moves::{Assign, Features, GOAWAY_MOVE, MAX_STATE_BYTES, MOVE, Transfer};
pub use payloads::{Bind, Multicast};

/// Bytes of a frame before its payload.
pub const HEADER_LEN: usize = 16;
/// OPEN's flag: this OPEN follows a resume.
pub const OPEN_RESUMED: u8 = 1;
/// OPEN's flag: a backend has bound the user_id; without it the client only claims it.
pub const OPEN_USER_BOUND: u8 = 2;
/// OPEN's flag: a backend has bound the realm_id.
pub const OPEN_REALM_BOUND: u8 = 4;
/// OPEN's flag: the session comes from another backend, and its state lies at the payload's end (protocol 2.5).
pub const OPEN_TRANSFERRED: u8 = 8;
/// Added to OPEN's transport where the client came over TLS.
pub const TRANSPORT_TLS: u8 = 0x80;

/// The kinds of protocol 2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(
    missing_docs,
    reason = "the names are the protocol's; table 2.2 describes them"
)]
pub enum Kind {
    Data = 0,
    Hello = 1,
    Open = 2,
    Close = 3,
    Ping = 4,
    Pong = 5,
    Bind = 6,
    Multicast = 7,
    Goaway = 8,
    Suspend = 9,
    Accept = 10,
    Bound = 11,
    Features = 12,
    Assign = 13,
    Transfer = 14,
    Moved = 15,
}

impl Kind {
    /// Returns the kind that a byte names, if any.
    #[inline]
    pub fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            0 => Kind::Data,
            1 => Kind::Hello,
            2 => Kind::Open,
            3 => Kind::Close,
            4 => Kind::Ping,
            5 => Kind::Pong,
            6 => Kind::Bind,
            7 => Kind::Multicast,
            8 => Kind::Goaway,
            9 => Kind::Suspend,
            10 => Kind::Accept,
            11 => Kind::Bound,
            12 => Kind::Features,
            13 => Kind::Assign,
            14 => Kind::Transfer,
            15 => Kind::Moved,
            _ => return None,
        })
    }
}

/// A frame, borrowed from the buffer that it was decoded in. Its payload lies
/// [`HEADER_LEN`] bytes behind the frame's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Table 2.2; an unknown one is for the receiver to judge.
    pub kind: u8,
    /// 0 where the kind concerns no session.
    pub session_id: u64,
    /// The rest.
    pub payload: &'a [u8],
}

/// The peer broke the link protocol; the link is lost, the gateway is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A payload over `backend.max_link_payload`.
    #[error("payload too large: {len} bytes, limit {limit}")]
    PayloadTooLarge {
        /// Length in the header.
        len: u32,
        /// The limit, in bytes.
        limit: u32,
    },
    /// Not the link protocol at all.
    #[error("looks like {0}, expected the link protocol")]
    Foreign(&'static str),
    /// A length whose bytes are in the wrong order.
    #[error(
        "payload too large: {len} bytes, limit {limit}; {swapped} if its bytes are swapped, but lengths are \
         big-endian"
    )]
    LittleEndian {
        /// Length in the header.
        len: u32,
        /// The limit, in bytes.
        limit: u32,
        /// The length that the peer seems to mean.
        swapped: u32,
    },
    /// A payload that its kind does not allow.
    #[error("malformed {kind:?} payload of {len} bytes")]
    BadPayload {
        /// The frame's kind.
        kind: Kind,
        /// The payload's length in bytes.
        len: usize,
    },
    /// A kind that no version of this side's peer sends.
    #[error("unexpected frame kind {0}")]
    UnexpectedKind(u8),
}

/// Decodes the first frame of `buf`.
///
/// # Errors
/// The payload is over the limit; known as soon as the header is there.
#[inline]
pub fn decode(buf: &[u8], max_payload: u32) -> Result<Decoded<Frame<'_>>, FrameError> {
    if buf.len() < HEADER_LEN {
        return Ok(Decoded::Need(HEADER_LEN));
    }
    let len = u32::from_be_bytes(array(buf, 0));
    if len > max_payload {
        return Err(oversized(buf, len, max_payload));
    }
    let end = HEADER_LEN + len as usize;
    let Some(payload) = buf.get(HEADER_LEN..end) else {
        return Ok(Decoded::Need(end));
    };
    let frame = Frame {
        kind: buf[4],
        session_id: u64::from_be_bytes(array(buf, 8)),
        payload,
    };
    Ok(Decoded::Frame(frame, end))
}

/// Says what is wrong with a length over the limit.
#[cold]
fn oversized(buf: &[u8], len: u32, limit: u32) -> FrameError {
    let swapped = len.swap_bytes();
    match foreign::looks_like(buf) {
        Some(what) => FrameError::Foreign(what),
        None if swapped <= limit => FrameError::LittleEndian {
            len,
            limit,
            swapped,
        },
        None => FrameError::PayloadTooLarge { len, limit },
    }
}

/// Encodes a frame's header. `payload_len` bytes must follow it.
#[inline]
pub fn header(kind: Kind, session_id: u64, payload_len: u32) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..4].copy_from_slice(&payload_len.to_be_bytes());
    bytes[4] = kind as u8;
    bytes[8..].copy_from_slice(&session_id.to_be_bytes());
    bytes
}

/// Appends a whole frame.
#[inline]
pub fn encode(out: &mut Vec<u8>, kind: Kind, session_id: u64, payload: &[u8]) {
    out.extend_from_slice(&header(kind, session_id, payload.len() as u32));
    out.extend_from_slice(payload);
}

/// HELLO's payload, the first frame of every link. Unknown members are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// 1.
    pub protocol: u32,
    /// The gateway that opened the link.
    pub gateway_id: String,
    /// The service whose sessions this link carries.
    pub service_type: String,
    /// Time that a backend keeps the sessions of a gateway whose last link is lost.
    pub resume_window_ms: u64,
    /// Interval of the gateway's PINGs: a link that is silent for three of them is lost. 0: not told, as by
    /// gateways of earlier releases.
    #[serde(default)]
    pub ping_interval_ms: u64,
    /// `backend.token`, where configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Which sessions are sampled for traces, where a backend is to know: 14 hexadecimal digits (protocol 2.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_threshold: Option<String>,
}

/// Transport of a client, as in OPEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Transport {
    /// Raw frames.
    Tcp = 1,
    /// Frames in WebSocket messages.
    WebSocket = 2,
    /// A one-shot HTTP request.
    Http = 3,
    /// As [`Transport::Tcp`], inside TLS.
    TcpTls = 1 | TRANSPORT_TLS,
    /// As [`Transport::WebSocket`], inside TLS.
    WebSocketTls = 2 | TRANSPORT_TLS,
    /// As [`Transport::Http`], inside TLS.
    HttpTls = 3 | TRANSPORT_TLS,
}

impl Transport {
    /// Returns the same transport inside TLS.
    pub fn over_tls(self) -> Transport {
        match self {
            Transport::Tcp | Transport::TcpTls => Transport::TcpTls,
            Transport::WebSocket | Transport::WebSocketTls => Transport::WebSocketTls,
            Transport::Http | Transport::HttpTls => Transport::HttpTls,
        }
    }

    /// Returns the transport of a connection over this one that goes on with `next`.
    pub fn becomes(self, next: Transport) -> Transport {
        match self as u8 & TRANSPORT_TLS {
            0 => next,
            _ => next.over_tls(),
        }
    }

    /// Tells whether it is HTTP, inside TLS or not.
    pub fn is_http(self) -> bool {
        matches!(self, Transport::Http | Transport::HttpTls)
    }
}

/// OPEN's payload: who the session is (protocol 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open<'a> {
    /// 0: none.
    pub realm_id: u32,
    /// 0: none.
    pub user_id: u64,
    /// A [`Transport`], with [`TRANSPORT_TLS`] over TLS.
    pub transport: u8,
    /// [`OPEN_RESUMED`], [`OPEN_USER_BOUND`], [`OPEN_REALM_BOUND`] and [`OPEN_TRANSFERRED`].
    pub flags: u8,
    /// 1 at first; only a resume or a move raises it.
    pub epoch: u32,
    /// The client's real address, `ip:port` or `[ip6]:port`.
    pub client: &'a str,
    /// The gateway that had the session before a resume, else empty.
    pub previous_gateway: &'a str,
    /// What the session's backend before this one has handed over, where it is transferred; else empty.
    pub state: &'a [u8],
}

/// The flags of an encoded OPEN's payload; 0 where it is none.
pub fn open_flags(payload: &[u8]) -> u8 {
    payload.get(13).copied().unwrap_or(0)
}

/// The epoch of an encoded OPEN's payload; 0 where it is none.
pub fn open_epoch(payload: &[u8]) -> u32 {
    let epoch = payload.get(14..).and_then(|rest| rest.first_chunk());
    epoch.map_or(0, |epoch| u32::from_be_bytes(*epoch))
}

impl<'a> Open<'a> {
    /// Appends the payload. Texts over 255 bytes are cut; configuration keeps them shorter.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.realm_id.to_be_bytes());
        out.extend_from_slice(&self.user_id.to_be_bytes());
        out.push(self.transport);
        out.push(self.flags);
        out.extend_from_slice(&self.epoch.to_be_bytes());
        for text in [self.client, self.previous_gateway] {
            let text = &text.as_bytes()[..text.len().min(255)];
            out.push(text.len() as u8);
            out.extend_from_slice(text);
        }
        out.extend_from_slice(self.state);
    }

    /// Reads a payload. Bytes behind the known ones are for later versions, unless the session is transferred.
    ///
    /// # Errors
    /// It is shorter than it says, or its texts are not UTF-8.
    pub fn decode(payload: &'a [u8]) -> Result<Open<'a>, FrameError> {
        let bad = FrameError::BadPayload {
            kind: Kind::Open,
            len: payload.len(),
        };
        let text = |at: usize| -> Option<(&'a str, usize)> {
            let end = at + 1 + usize::from(*payload.get(at)?);
            Some((std::str::from_utf8(payload.get(at + 1..end)?).ok()?, end))
        };
        let (client, next) = text(18).ok_or(bad)?;
        let (previous_gateway, end) = text(next).ok_or(bad)?;
        let flags = payload[13];
        Ok(Open {
            realm_id: u32::from_be_bytes(array(payload, 0)),
            user_id: u64::from_be_bytes(array(payload, 4)),
            transport: payload[12],
            flags,
            epoch: u32::from_be_bytes(array(payload, 14)),
            client,
            previous_gateway,
            state: match flags & OPEN_TRANSFERRED {
                0 => &[],
                _ => &payload[end..],
            },
        })
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
