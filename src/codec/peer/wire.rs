//! The bytes of what gateways say to each other: a kind, the call, the session, and the kind's own
//! fields. A later version may add kinds and put fields behind those that are known here: unknown kinds
//! are skipped, and so are bytes that are left over.

use super::question::{put_answer, put_question};
use super::{
    Answer, Binding, Handover, MAX_RING_BYTES, Particulars, Question, ToClaimant, ToOwner,
};
use crate::codec::client::is_service_name;
use crate::codec::link::Bind;

/// The longest frame, in bytes: a hand-over with a full ring.
pub const MAX_FRAME_BYTES: usize = MAX_RING_BYTES + 64 * 1024;
/// The longest text, in bytes.
const MAX_TEXT: usize = 255;
/// More than all else of a hand-over has beside its ring, its starts and its assignments, in bytes.
const MAX_REST: usize = 512;
/// The age of a session that does not know it.
const UNKNOWN_AGE: u32 = u32::MAX;
/// More than a binding has, in bytes.
const MAX_BINDING: usize = 128;

/// Content of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerFrame {
    /// The call, numbered by the gateway that has dialled.
    pub call: u64,
    /// The session that it is about.
    pub session_id: u64,
    /// Message of the call.
    pub said: Said,
}

/// Message of either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Sent by the caller.
    ToOwner(ToOwner),
    /// Sent by the callee.
    ToClaimant(ToClaimant),
    /// Sent by the caller, about no session.
    Question(Box<Question>),
    /// Sent by the callee.
    Answer(Answer),
    /// Sent by the callee: it would make the change of the question with this call now.
    Ready,
    /// Sent by the caller: it still waits for that change.
    Proceed,
    /// A kind that this version does not know.
    Unknown(u8),
}

/// The bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed peer channel frame")]
pub struct Malformed;

const ASK: u8 = 1;
const CLAIM: u8 = 2;
const GIVE_UP: u8 = 3;
const SUPERSEDE: u8 = 4;
const END: u8 = 5;
const WITHDRAW: u8 = 6;
const QUESTION: u8 = 7;
const PROCEED: u8 = 8;
const HOLDS: u8 = 65;
const MOVED: u8 = 66;
const BUSY: u8 = 67;
const NOT_GOOD: u8 = 68;
const UNKNOWN: u8 = 69;
const HOLDS_MORE: u8 = 70;
const HAND_OVER: u8 = 71;
const REFUSED: u8 = 72;
const ENDED: u8 = 73;
const ANSWER: u8 = 74;
const READY: u8 = 75;

impl PeerFrame {
    /// Encodes the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0];
        out.extend_from_slice(&self.call.to_be_bytes());
        out.extend_from_slice(&self.session_id.to_be_bytes());
        out[0] = match &self.said {
            Said::ToOwner(said) => put_to_holder(&mut out, said),
            Said::ToClaimant(said) => put_to_claimant(&mut out, said),
            Said::Question(question) => {
                put_question(&mut out, question);
                QUESTION
            }
            Said::Answer(answer) => {
                put_answer(&mut out, answer);
                ANSWER
            }
            Said::Ready => READY,
            Said::Proceed => PROCEED,
            Said::Unknown(kind) => *kind,
        };
        out
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// Fields are missing or are not what they must be.
    pub fn decode(bytes: &[u8]) -> Result<PeerFrame, Malformed> {
        let mut rest = Rest(bytes);
        let kind = rest.u8()?;
        let (call, session_id) = (rest.u64()?, rest.u64()?);
        let said = match kind {
            ASK..=WITHDRAW => Said::ToOwner(rest.said_to_holder(kind)?),
            HOLDS..=ENDED => Said::ToClaimant(rest.said_to_claimant(kind)?),
            QUESTION => Said::Question(Box::new(rest.question()?)),
            ANSWER => Said::Answer(rest.answer()?),
            READY => Said::Ready,
            PROCEED => Said::Proceed,
            _ => Said::Unknown(kind),
        };
        Ok(PeerFrame {
            call,
            session_id,
            said,
        })
    }
}

fn put_to_holder(out: &mut Vec<u8>, said: &ToOwner) -> u8 {
    match said {
        ToOwner::Ask { token_epoch } => {
            out.extend_from_slice(&token_epoch.to_be_bytes());
            ASK
        }
        ToOwner::Claim { count, places } => {
            out.extend_from_slice(&count.to_be_bytes());
            let places = &places[..places.len().min(usize::from(u8::MAX))];
            out.push(places.len() as u8);
            for (service, taken) in places {
                put_text(out, service);
                out.push(u8::from(*taken));
            }
            CLAIM
        }
        ToOwner::GiveUp { stale } => {
            out.push(u8::from(*stale));
            GIVE_UP
        }
        ToOwner::Withdraw => WITHDRAW,
        ToOwner::Supersede { epoch } => {
            out.extend_from_slice(&epoch.to_be_bytes());
            SUPERSEDE
        }
        ToOwner::End { code } => {
            out.extend_from_slice(&code.to_be_bytes());
            END
        }
    }
}

fn put_to_claimant(out: &mut Vec<u8>, said: &ToClaimant) -> u8 {
    match said {
        ToClaimant::Holds { epoch, particulars } => {
            out.extend_from_slice(&epoch.to_be_bytes());
            put_particulars(out, particulars);
            HOLDS
        }
        ToClaimant::Moved { gateway, address } => {
            put_text(out, gateway);
            put_text(out, address);
            MOVED
        }
        ToClaimant::Busy => BUSY,
        ToClaimant::NotGood => NOT_GOOD,
        ToClaimant::Unknown => UNKNOWN,
        ToClaimant::HoldsMore { particulars } => {
            put_particulars(out, particulars);
            HOLDS_MORE
        }
        ToClaimant::Handover(handed) => {
            put_hand_over(out, handed);
            HAND_OVER
        }
        ToClaimant::Refused => REFUSED,
        ToClaimant::Ended { code } => {
            out.extend_from_slice(&code.to_be_bytes());
            ENDED
        }
    }
}

/// Appends a length of one byte, and the text; configuration keeps it shorter.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(MAX_TEXT)];
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn put_particulars(out: &mut Vec<u8>, particulars: &Particulars) {
    out.extend_from_slice(&particulars.bound.encode());
    out.extend_from_slice(&particulars.newest.encode());
    put_bindings(out, &particulars.bindings);
}

fn put_bindings(out: &mut Vec<u8>, bindings: &[Binding]) {
    let bindings = &bindings[..bindings.len().min(usize::from(u8::MAX))];
    out.push(bindings.len() as u8);
    for binding in bindings {
        put_text(out, &binding.service);
        put_text(out, &binding.endpoint.to_string());
    }
}

fn put_hand_over(out: &mut Vec<u8>, handed: &Handover) {
    // What a last small field would double.
    let lists = 12 * handed.starts.len().min(255) + MAX_BINDING * handed.assigned.len().min(255);
    out.reserve_exact(handed.ring.len() + lists + MAX_REST);
    out.push(u8::from(handed.gap));
    out.extend_from_slice(&handed.received.to_be_bytes());
    let starts = &handed.starts[..handed.starts.len().min(usize::from(u8::MAX))];
    out.push(starts.len() as u8);
    for (epoch, sent) in starts {
        out.extend_from_slice(&epoch.to_be_bytes());
        out.extend_from_slice(&sent.to_be_bytes());
    }
    out.extend_from_slice(&handed.before.to_be_bytes());
    out.extend_from_slice(&handed.bound.encode());
    out.extend_from_slice(&handed.newest.encode());
    out.extend_from_slice(&(handed.ring.len() as u32).to_be_bytes());
    out.extend_from_slice(&handed.ring);
    put_text(out, &handed.last_service);
    put_bindings(out, &handed.assigned);
    out.extend_from_slice(&handed.age_s.unwrap_or(UNKNOWN_AGE).to_be_bytes());
}

/// Rest of the input. Nothing is allocated by what a length merely claims.
pub(super) struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn bytes(&mut self, count: usize) -> Result<&[u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn bytes_within(&mut self, count: usize, most: usize) -> Result<&[u8], Malformed> {
        if count > most {
            return Err(Malformed);
        }
        self.bytes(count)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        let len = self.u8()?;
        let bytes = self.bytes(usize::from(len))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
    }

    fn service(&mut self) -> Result<String, Malformed> {
        let name = self.text()?;
        let good = is_service_name(name.as_bytes());
        if good { Ok(name) } else { Err(Malformed) }
    }

    fn bind(&mut self) -> Result<Bind, Malformed> {
        Bind::decode(self.bytes(Bind::LEN)?).map_err(|_| Malformed)
    }

    fn said_to_holder(&mut self, kind: u8) -> Result<ToOwner, Malformed> {
        Ok(match kind {
            ASK => ToOwner::Ask {
                token_epoch: self.u32()?,
            },
            CLAIM => {
                let (count, places) = (self.u64()?, self.u8()?);
                let place = |_| Ok((self.service()?, self.flag()?));
                let places = (0..places).map(place).collect::<Result<_, Malformed>>()?;
                ToOwner::Claim { count, places }
            }
            GIVE_UP => ToOwner::GiveUp {
                stale: self.flag()?,
            },
            WITHDRAW => ToOwner::Withdraw,
            SUPERSEDE => ToOwner::Supersede { epoch: self.u32()? },
            END => ToOwner::End { code: self.u16()? },
            _ => return Err(Malformed),
        })
    }

    fn said_to_claimant(&mut self, kind: u8) -> Result<ToClaimant, Malformed> {
        Ok(match kind {
            HOLDS => ToClaimant::Holds {
                epoch: self.u32()?,
                particulars: self.particulars()?,
            },
            MOVED => ToClaimant::Moved {
                gateway: self.text()?,
                address: self.text()?,
            },
            BUSY => ToClaimant::Busy,
            NOT_GOOD => ToClaimant::NotGood,
            UNKNOWN => ToClaimant::Unknown,
            HOLDS_MORE => ToClaimant::HoldsMore {
                particulars: self.particulars()?,
            },
            HAND_OVER => ToClaimant::Handover(Box::new(self.hand_over()?)),
            REFUSED => ToClaimant::Refused,
            ENDED => ToClaimant::Ended { code: self.u16()? },
            _ => return Err(Malformed),
        })
    }

    fn particulars(&mut self) -> Result<Particulars, Malformed> {
        Ok(Particulars {
            bound: self.bind()?,
            newest: self.bind()?,
            bindings: self.bindings()?,
        })
    }

    fn bindings(&mut self) -> Result<Vec<Binding>, Malformed> {
        let bindings = self.u8()?;
        let binding = |_| {
            Ok(Binding {
                service: self.service()?,
                endpoint: self.text()?.parse().map_err(|_| Malformed)?,
            })
        };
        (0..bindings).map(binding).collect()
    }

    fn hand_over(&mut self) -> Result<Handover, Malformed> {
        let (gap, received, starts) = (self.flag()?, self.u64()?, self.u8()?);
        let start = |_| Ok((self.u32()?, self.u64()?));
        let starts = (0..starts).map(start).collect::<Result<_, Malformed>>()?;
        let before = self.u64()?;
        let (bound, newest, len) = (self.bind()?, self.bind()?, self.u32()?);
        let ring = self.bytes(len as usize)?.to_vec();
        // Gateways of the release before say nothing behind the ring.
        let last_service = if self.0.is_empty() {
            String::new()
        } else {
            self.text()?
        };
        // Nor of assignments.
        let assigned = match self.0.is_empty() {
            true => Vec::new(),
            false => self.bindings()?,
        };
        // Nor of the session's age.
        let age_s = match self.0.is_empty() {
            true => None,
            false => Some(self.u32()?).filter(|age_s| *age_s != UNKNOWN_AGE),
        };
        Ok(Handover {
            gap,
            received,
            starts,
            before,
            ring,
            bound,
            newest,
            last_service,
            assigned,
            age_s,
        })
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
