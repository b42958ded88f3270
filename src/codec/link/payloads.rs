//! Payloads of BIND, BOUND and MULTICAST.
//!
//! Hot path: MULTICAST, once for many sessions.

use super::{FrameError, Kind};
use crate::codec::array;

/// Payload of BIND and BOUND: who this session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bind {
    /// 0: BIND leaves the user as it is, bound or not; in BOUND it is not bound.
    pub user_id: u64,
    /// 0: as for the user.
    pub realm_id: u32,
}

impl Bind {
    /// Bytes of the payload.
    pub const LEN: usize = 12;

    /// Takes over the ids that a newer BIND has; 0 changes nothing.
    pub fn learn(&mut self, newer: Bind) {
        if newer.user_id != 0 {
            self.user_id = newer.user_id;
        }
        if newer.realm_id != 0 {
            self.realm_id = newer.realm_id;
        }
    }

    /// Returns the user that these ids bind, else the one that a client claims with the others, else 0.
    pub fn user_id_or(&self, claimed: Bind) -> u64 {
        match self.user_id {
            0 => claimed.user_id,
            bound => bound,
        }
    }

    /// Encodes the payload.
    pub fn encode(&self) -> [u8; Bind::LEN] {
        let mut bytes = [0; Bind::LEN];
        bytes[..8].copy_from_slice(&self.user_id.to_be_bytes());
        bytes[8..].copy_from_slice(&self.realm_id.to_be_bytes());
        bytes
    }

    /// Reads a payload; bytes behind the known ones are for later versions.
    ///
    /// # Errors
    /// It is too short.
    pub fn decode(payload: &[u8]) -> Result<Bind, FrameError> {
        if payload.len() < Bind::LEN {
            return Err(FrameError::BadPayload {
                kind: Kind::Bind,
                len: payload.len(),
            });
        }
        Ok(Bind {
            user_id: u64::from_be_bytes(array(payload, 0)),
            realm_id: u32::from_be_bytes(array(payload, 8)),
        })
    }
}

/// MULTICAST's payload: the same bytes for many sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multicast<'a> {
    ids: &'a [u8],
    /// Payload of the one DATA that each of them gets.
    pub payload: &'a [u8],
}

impl<'a> Multicast<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// It holds fewer ids than it says.
    pub fn decode(payload: &'a [u8]) -> Result<Multicast<'a>, FrameError> {
        let bad = FrameError::BadPayload {
            kind: Kind::Multicast,
            len: payload.len(),
        };
        if payload.len() < 4 {
            return Err(bad);
        }
        let count = u32::from_be_bytes(array(payload, 0)) as usize;
        let (ids, payload) = count
            .checked_mul(8)
            .and_then(|bytes| payload[4..].split_at_checked(bytes))
            .ok_or(bad)?;
        Ok(Multicast { ids, payload })
    }

    /// Returns how many sessions are named.
    pub fn count(&self) -> usize {
        self.ids.len() / 8
    }

    /// Returns the sessions concerned, in the order sent.
    pub fn sessions(&self) -> impl Iterator<Item = u64> + 'a {
        self.ids
            .chunks_exact(8)
            .map(|id| u64::from_be_bytes(array(id, 0)))
    }

    /// Appends a payload.
    pub fn encode(out: &mut Vec<u8>, sessions: &[u64], payload: &[u8]) {
        out.extend_from_slice(&(sessions.len() as u32).to_be_bytes());
        for id in sessions {
            out.extend_from_slice(&id.to_be_bytes());
        }
        out.extend_from_slice(payload);
    }
}
