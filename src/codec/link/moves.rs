//! Payloads of FEATURES, ASSIGN and TRANSFER: a session goes on at another backend (protocol 2.5).

use serde::Deserialize;

use super::{FrameError, Kind};

/// Most bytes of a session's state.
pub const MAX_STATE_BYTES: usize = 65_536;

/// The text of the CLOSE 307 with which a move begins.
pub const MOVE: &str = "move";

/// The payload of a GOAWAY whose sender's sessions are to be moved.
pub const GOAWAY_MOVE: u8 = 1;

/// FEATURES' payload: what a backend can do beyond the basics. Unknown names and members are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// It hands sessions over with their state, and takes them.
    pub transfer: bool,
}

impl Features {
    /// Reads a payload.
    ///
    /// # Errors
    /// It is not the JSON of the document.
    pub fn decode(payload: &[u8]) -> Result<Features, FrameError> {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            features: Vec<std::borrow::Cow<'a, str>>,
        }
        let named: Named<'_> =
            serde_json::from_slice(payload).map_err(|_| bad(Kind::Features, payload))?;
        Ok(Features {
            transfer: named.features.iter().any(|name| name == "transfer"),
        })
    }

    /// Returns the payload.
    pub fn encode(self) -> Vec<u8> {
        match self.transfer {
            true => br#"{"features":["transfer"]}"#.to_vec(),
            false => br#"{"features":[]}"#.to_vec(),
        }
    }
}

/// ASSIGN's payload: a service of the session goes to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assign<'a> {
    /// The service.
    pub service: &'a str,
    /// `host:port`.
    pub endpoint: &'a str,
}

impl<'a> Assign<'a> {
    /// Appends the payload. Texts over 255 bytes are cut, and mean nothing then.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, self.service);
        put_text(out, self.endpoint);
    }

    /// Reads a payload; bytes behind the known ones are for later versions.
    ///
    /// # Errors
    /// It is shorter than it says, or its texts are not UTF-8.
    pub fn decode(payload: &'a [u8]) -> Result<Assign<'a>, FrameError> {
        let read = |payload| {
            let (service, rest) = text(payload)?;
            let (endpoint, _) = text(rest)?;
            Some(Assign { service, endpoint })
        };
        read(payload).ok_or_else(|| bad(Kind::Assign, payload))
    }
}

/// TRANSFER's payload: take this session of this service elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// `host:port`, or empty: by the rules, to another than the one that it has.
    pub endpoint: &'a str,
}

impl<'a> Transfer<'a> {
    /// Appends the payload. A text over 255 bytes is cut, and means nothing then.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, self.endpoint);
    }

    /// Reads a payload; bytes behind the known ones are for later versions.
    ///
    /// # Errors
    /// It is shorter than it says, or its text is not UTF-8.
    pub fn decode(payload: &'a [u8]) -> Result<Transfer<'a>, FrameError> {
        let (endpoint, _) = text(payload).ok_or_else(|| bad(Kind::Transfer, payload))?;
        Ok(Transfer { endpoint })
    }
}

fn bad(kind: Kind, payload: &[u8]) -> FrameError {
    let len = payload.len();
    FrameError::BadPayload { kind, len }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.len().min(255)];
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

/// Reads a text behind its length; returns it and what follows.
fn text(payload: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = payload.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*len))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}
