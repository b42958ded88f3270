//! Payloads of frames, and the check that an answer is the same: `u32` session index, `u64` sequence
//! number, `u64` nanoseconds from the start to the (intended) sending, then a pattern that
//! depends on all three.
//!
//! Hot path: no allocation a frame.

use super::args::Transport;
use super::plan::Plan;
use crate::codec::client::{FLAG_RESUMABLE, Header, Kind, encode};
use crate::sdk::client::http::request_head;

/// Bytes before the pattern.
const STAMP_BYTES: usize = 20;
/// With at least four bytes of pattern.
pub(super) const MIN_PAYLOAD_BYTES: usize = STAMP_BYTES + 4;
/// Number of places that the pattern may start at.
const STARTS: u64 = 251;

/// Bytes of which every frame carries another part.
#[derive(Debug)]
pub(super) struct Pattern(Vec<u8>);

/// First bytes of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) index: u32,
    pub(super) sequence: u64,
    pub(super) sent_nanos: u64,
}

impl Pattern {
    /// Makes the pattern of payloads of `payload` bytes.
    pub(super) fn new(payload: usize) -> Pattern {
        // xorshift: any sequence without short repeats would do.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let byte = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        Pattern((0..payload + STARTS as usize).map(byte).collect())
    }

    fn part(&self, stamp: &Stamp, len: usize) -> &[u8] {
        let mix = stamp.sequence.wrapping_mul(31) ^ stamp.sent_nanos ^ u64::from(stamp.index);
        let at = (mix % STARTS) as usize;
        &self.0[at..at + len]
    }

    /// Returns the stamp of an intact payload; `None` if it is corrupted.
    pub(super) fn check(&self, payload: &[u8], expected_len: usize) -> Option<Stamp> {
        if payload.len() != expected_len {
            return None;
        }
        let (stamp, pattern) = payload.split_at_checked(STAMP_BYTES)?;
        let stamp = Stamp {
            index: u32::from_be_bytes(*stamp.first_chunk()?),
            sequence: u64::from_be_bytes(*stamp[4..].first_chunk()?),
            sent_nanos: u64::from_be_bytes(*stamp[12..].first_chunk()?),
        };
        (self.part(&stamp, pattern.len()) == pattern).then_some(stamp)
    }
}

/// A session's frame, or its request over HTTP, rewritten in place for each sending.
#[derive(Debug)]
pub(super) struct Template {
    frame: Vec<u8>,
    payload_at: usize,
    index: u32,
    transport: Transport,
}

impl Template {
    pub(super) fn new(plan: &Plan, index: u32) -> Template {
        let user_id = match plan.user_base {
            0 => 0,
            base => base.wrapping_add(index.into()),
        };
        let header = Header {
            kind: Kind::Data as u8,
            // On any frame but the first it means nothing.
            flags: if plan.resumable { FLAG_RESUMABLE } else { 0 },
            realm_id: plan.realm(index),
            user_id,
            ..Header::default()
        };
        let (transport, service) = (plan.transport(index), plan.service(index));
        let mut frame = Vec::new();
        match transport {
            Transport::Tcp | Transport::Websocket => {
                encode(&mut frame, &header, service, &vec![0; plan.payload]);
            }
            Transport::Http => {
                let (host, realm) = (&plan.host, plan.realm(index));
                let head = request_head(host, service, realm, user_id, plan.payload);
                frame.extend_from_slice(head.as_bytes());
                frame.resize(frame.len() + plan.payload, 0);
            }
        }
        Template {
            payload_at: frame.len() - plan.payload,
            frame,
            index,
            transport,
        }
    }

    /// Bytes of one frame.
    pub(super) fn len(&self) -> usize {
        self.frame.len()
    }

    /// Appends the frame with that number.
    pub(super) fn append(
        &mut self,
        pattern: &Pattern,
        sequence: u64,
        sent_nanos: u64,
        out: &mut Vec<u8>,
    ) {
        let stamp = Stamp {
            index: self.index,
            sequence,
            sent_nanos,
        };
        let payload = &mut self.frame[self.payload_at..];
        payload[..4].copy_from_slice(&stamp.index.to_be_bytes());
        payload[4..12].copy_from_slice(&sequence.to_be_bytes());
        payload[12..STAMP_BYTES].copy_from_slice(&sent_nanos.to_be_bytes());
        let body = &mut payload[STAMP_BYTES..];
        body.copy_from_slice(pattern.part(&stamp, body.len()));
        self.transport.append(&self.frame, out);
    }
}
