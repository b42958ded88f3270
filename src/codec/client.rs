//! The client protocol's frames (protocol 1.1 to 1.3).
//!
//! Hot path: no allocation, no `String`, no logging.

use super::code::{Code, Notice};
use super::{Decoded, array};

/// The first two bytes of every frame.
pub const MAGIC: [u8; 2] = [0xA7, 0x47];
/// The protocol version that this gateway speaks.
pub const VERSION: u8 = 1;
/// Bytes of a frame before its service name.
pub const HEADER_LEN: usize = 32;
/// The longest service name, in bytes.
pub const MAX_SERVICE_LEN: usize = 64;
/// The longest payload of PING and PONG, in bytes.
pub const MAX_PING_LEN: usize = 125;
/// DATA that starts a session: the client wants OPENED and can resume (protocol 1.3).
pub const FLAG_RESUMABLE: u8 = 0x01;
/// OPENED: this resume could not be exact (protocol 1.3).
pub const FLAG_GAP: u8 = 0x02;

/// The kinds of protocol 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(
    missing_docs,
    reason = "the names are the protocol's; table 1.2 describes them"
)]
pub enum Kind {
    Data = 0,
    Opened = 1,
    Resume = 2,
    Ping = 3,
    Pong = 4,
    Error = 5,
    Close = 6,
    Goaway = 7,
}

impl Kind {
    /// Returns the kind that a byte names, if any.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            0 => Kind::Data,
            1 => Kind::Opened,
            2 => Kind::Resume,
            3 => Kind::Ping,
            4 => Kind::Pong,
            5 => Kind::Error,
            6 => Kind::Close,
            7 => Kind::Goaway,
            _ => return None,
        })
    }

    /// Returns its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Data => "DATA",
            Kind::Opened => "OPENED",
            Kind::Resume => "RESUME",
            Kind::Ping => "PING",
            Kind::Pong => "PONG",
            Kind::Error => "ERROR",
            Kind::Close => "CLOSE",
            Kind::Goaway => "GOAWAY",
        }
    }
}

/// A frame's fixed fields. `kind` stays a byte: an unknown one is an error that is skipped, not
/// one of framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Table 1.2.
    pub kind: u8,
    /// Table 1.3.
    pub flags: u8,
    /// 0: none.
    pub realm_id: u32,
    /// 0: none, or the one bound to this session.
    pub user_id: u64,
    /// 0: none yet.
    pub session_id: u64,
}

/// A frame, borrowed from the buffer that it was decoded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The fixed fields.
    pub header: Header,
    /// The service name; empty, or checked by [`is_service_name`].
    pub service: &'a str,
    /// The rest.
    pub payload: &'a [u8],
}

/// Why framing is lost. The connection cannot go on after any of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first two bytes are not [`MAGIC`].
    #[error("invalid magic, expected A7 47")]
    Magic,
    /// Another version than [`VERSION`].
    #[error("unsupported version {0}, expected {VERSION}")]
    Version(u8),
    /// A service name longer than [`MAX_SERVICE_LEN`].
    #[error("service name too long: {0} bytes, limit {MAX_SERVICE_LEN}")]
    ServiceLength(u8),
    /// A service name with other characters than `[a-z0-9][a-z0-9._-]*`.
    #[error("invalid service name, expected [a-z0-9][a-z0-9._-]*")]
    ServiceName,
    /// A payload over the limit.
    #[error("payload too large: {len} bytes, limit {limit}")]
    PayloadTooLarge {
        /// Length in the header.
        len: u32,
        /// `listen.max_payload`.
        limit: u32,
    },
}

impl FrameError {
    /// Returns the code that the remote end is told.
    pub fn code(&self) -> Code {
        match self {
            FrameError::Magic
            | FrameError::Version(_)
            | FrameError::ServiceLength(_)
            | FrameError::ServiceName => Code::MALFORMED,
            FrameError::PayloadTooLarge { .. } => Code::TOO_LARGE,
        }
    }
}

/// Tells whether these bytes are a service name: `[a-z0-9][a-z0-9._-]*`, 1 to 64 bytes.
#[inline]
pub fn is_service_name(name: &[u8]) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match name.split_first() {
        Some((&first, rest)) => {
            name.len() <= MAX_SERVICE_LEN
                && plain(first)
                && rest
                    .iter()
                    .all(|&b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
        }
        None => false,
    }
}

/// Decodes the first frame of `buf`. Mistakes are found as early as the bytes allow: an invalid magic
/// after one byte, a length over the limit with the header, before any payload has come.
///
/// # Errors
/// Framing is lost; nothing behind this point can be understood.
#[inline]
pub fn decode(buf: &[u8], max_payload: u32) -> Result<Decoded<Frame<'_>>, FrameError> {
    if buf.len() < HEADER_LEN {
        return decode_prefix(buf);
    }
    if buf[..2] != MAGIC {
        return Err(FrameError::Magic);
    }
    if buf[2] != VERSION {
        return Err(FrameError::Version(buf[2]));
    }
    let service_len = buf[28];
    if usize::from(service_len) > MAX_SERVICE_LEN {
        return Err(FrameError::ServiceLength(service_len));
    }
    let payload_len = u32::from_be_bytes(array(buf, 4));
    if payload_len > max_payload {
        return Err(FrameError::PayloadTooLarge {
            len: payload_len,
            limit: max_payload,
        });
    }
    let body = HEADER_LEN + usize::from(service_len);
    let end = body + payload_len as usize;
    let Some(name) = buf.get(HEADER_LEN..body) else {
        return Ok(Decoded::Need(end));
    };
    if !name.is_empty() && !is_service_name(name) {
        return Err(FrameError::ServiceName);
    }
    // The characters were just checked to be ASCII, so this cannot fail.
    let service = std::str::from_utf8(name).map_err(|_| FrameError::ServiceName)?;
    let Some(payload) = buf.get(body..end) else {
        return Ok(Decoded::Need(end));
    };
    let header = Header {
        kind: buf[3],
        flags: buf[29],
        realm_id: u32::from_be_bytes(array(buf, 8)),
        user_id: u64::from_be_bytes(array(buf, 12)),
        session_id: u64::from_be_bytes(array(buf, 20)),
    };
    let frame = Frame {
        header,
        service,
        payload,
    };
    Ok(Decoded::Frame(frame, end))
}

/// Checks an input that is shorter than a header.
fn decode_prefix<'a>(buf: &[u8]) -> Result<Decoded<Frame<'a>>, FrameError> {
    let known = buf.len().min(2);
    if buf[..known] != MAGIC[..known] {
        return Err(FrameError::Magic);
    }
    match buf.get(2) {
        Some(&version) if version != VERSION => Err(FrameError::Version(version)),
        _ => Ok(Decoded::Need(HEADER_LEN)),
    }
}

/// Returns the length and the kind of a whole frame, whose header need not lie in one piece: `header` gives
/// its bytes by their offsets.
#[inline]
pub fn peek(header: impl Fn(usize) -> u8) -> (usize, u8) {
    let payload = u32::from_be_bytes([header(4), header(5), header(6), header(7)]);
    let len = HEADER_LEN + usize::from(header(28)) + payload as usize;
    (len, header(3))
}

/// Returns the frames in `bytes`, each with the length of its payload, of which the last one need not be there whole.
/// It ends where framing is lost.
pub fn headers(bytes: &[u8]) -> impl Iterator<Item = (Frame<'_>, u32)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let payload_len = u32::from_be_bytes(array(rest.get(..HEADER_LEN)?, 4));
        let body = HEADER_LEN + usize::from(rest[28]);
        // Without a payload it is a whole frame.
        let mut head = [0; HEADER_LEN + MAX_SERVICE_LEN];
        head.get_mut(..body)?.copy_from_slice(rest.get(..body)?);
        head[4..8].fill(0);
        let Ok(Decoded::Frame(frame, _)) = decode(&head, 0) else {
            return None;
        };
        let end = rest.len().min(body + payload_len as usize);
        let frame = Frame {
            header: frame.header,
            service: std::str::from_utf8(&rest[HEADER_LEN..body]).ok()?,
            payload: &rest[body..end],
        };
        rest = &rest[end..];
        Some((frame, payload_len))
    })
}

/// Appends the fixed header and the service name. `payload_len` bytes must follow.
///
/// `service` must be a service name or empty; a longer one than [`MAX_SERVICE_LEN`] is cut.
#[inline]
pub fn encode_header(out: &mut Vec<u8>, header: &Header, service: &str, payload_len: u32) {
    let service = &service.as_bytes()[..service.len().min(MAX_SERVICE_LEN)];
    let mut fixed = [0_u8; HEADER_LEN];
    fixed[..2].copy_from_slice(&MAGIC);
    fixed[2] = VERSION;
    fixed[3] = header.kind;
    fixed[4..8].copy_from_slice(&payload_len.to_be_bytes());
    fixed[8..12].copy_from_slice(&header.realm_id.to_be_bytes());
    fixed[12..20].copy_from_slice(&header.user_id.to_be_bytes());
    fixed[20..28].copy_from_slice(&header.session_id.to_be_bytes());
    fixed[28] = service.len() as u8;
    fixed[29] = header.flags;
    out.extend_from_slice(&fixed);
    out.extend_from_slice(service);
}

/// Appends a whole frame. A payload over `u32::MAX` bytes cannot be expressed and is cut; the
/// limits keep it far below.
#[inline]
pub fn encode(out: &mut Vec<u8>, header: &Header, service: &str, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    encode_header(out, header, service, len);
    out.extend_from_slice(&payload[..len as usize]);
}

/// Appends an ERROR or CLOSE frame.
pub fn encode_notice(
    out: &mut Vec<u8>,
    kind: Kind,
    session_id: u64,
    service: &str,
    notice: &Notice<'_>,
) {
    let header = Header {
        kind: kind as u8,
        session_id,
        ..Header::default()
    };
    encode_header(out, &header, service, notice.encoded_len() as u32);
    notice.encode(out);
}

/// The payload of OPENED (protocol 1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<'a> {
    /// DATA frames that the session has taken from this client.
    pub received: u64,
    /// A client that is silent for longer is closed; 0: never.
    pub idle_timeout_ms: u32,
    /// The resume token; empty where the gateway cannot resume.
    pub token: &'a [u8],
}

impl<'a> Opened<'a> {
    /// Reads a payload; `None` where it is too short.
    pub fn decode(payload: &'a [u8]) -> Option<Opened<'a>> {
        (payload.len() >= 12).then(|| Opened {
            received: u64::from_be_bytes(array(payload, 0)),
            idle_timeout_ms: u32::from_be_bytes(array(payload, 8)),
            token: &payload[12..],
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.received.to_be_bytes());
        out.extend_from_slice(&self.idle_timeout_ms.to_be_bytes());
        out.extend_from_slice(self.token);
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
