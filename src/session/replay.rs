//! The last frames to a client, kept for when it comes back and lacks some (protocol 3.2).
//!
//! Hot path: [`Replay::push`] runs for all that goes to a RESUMABLE client. It copies whole encoded
//! frames into one ring of bytes and finds their borders again by their own headers, so a frame costs
//! its bytes and nothing beside them, and there is no allocation once the ring has grown. Payloads are
//! copied even where the way out shares them: a shared slice would keep a whole read of a link alive,
//! other sessions' frames included, and the bound would mean nothing.
//!
//! DATA frames are counted, as the client counts them. ERRORs may stand among them uncounted, so that
//! what a client was told on a connection that was broken already reaches it as well.

use std::collections::VecDeque;

use crate::codec::Decoded;
use crate::codec::client::{self, Kind};

/// Least heap of a ring that holds anything, in bytes.
const LEAST_BYTES: usize = 512;

/// Whole encoded frames, the oldest giving way. Takes no heap until the first one.
#[derive(Debug)]
pub struct Replay {
    bytes: VecDeque<u8>,
    limit: usize,
    /// DATA frames that were sent before the first byte held.
    before: u64,
    /// DATA frames that were sent.
    sent: u64,
    /// The least count that can still be answered exactly.
    floor: u64,
}

/// The frames that a client lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking<'a> {
    /// Something is missing: older frames have given way, or the count was never reached.
    pub gap: bool,
    /// Number of DATA frames in `bytes`.
    pub frames: u64,
    /// Whole frames in two pieces; a frame may lie across both.
    pub bytes: (&'a [u8], &'a [u8]),
}

impl Lacking<'_> {
    /// No frame, where there should be some.
    pub fn nothing() -> Lacking<'static> {
        Lacking {
            gap: true,
            frames: 0,
            bytes: (&[], &[]),
        }
    }

    /// Returns the number of bytes.
    pub fn len(&self) -> usize {
        self.bytes.0.len() + self.bytes.1.len()
    }

    /// Tells whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Replay {
    /// An empty ring of at most `limit` bytes.
    pub fn new(limit: usize) -> Replay {
        Replay {
            bytes: VecDeque::new(),
            limit,
            before: 0,
            sent: 0,
            floor: 0,
        }
    }

    /// The ring of another gateway: `bytes` are whole frames, of which the first DATA is the one after
    /// `count`. `None` where they are anything else. Where they are over `limit` the oldest give way.
    pub fn adopt(limit: usize, count: u64, bytes: &[u8]) -> Option<Replay> {
        let (mut at, mut frames) = (0, 0);
        while at < bytes.len() {
            let Ok(Decoded::Frame(frame, used)) = client::decode(&bytes[at..], u32::MAX) else {
                return None;
            };
            frames += u64::from(frame.header.kind == Kind::Data as u8);
            at += used;
        }
        let sent = count.checked_add(frames)?;
        let mut ring = Replay::new(limit);
        (ring.before, ring.floor) = (count, count);
        ring.store(bytes, &[]);
        ring.sent = sent;
        Some(ring)
    }

    /// Number of DATA frames that were sent to the client.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that are held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Tells whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of heap that the ring takes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes `frames` whole DATA frames: `head` and behind it `tail`, the last one's payload or empty.
    #[inline]
    pub fn push(&mut self, head: &[u8], tail: &[u8], frames: u32) {
        self.store(head, tail);
        self.sent += u64::from(frames);
    }

    /// Takes an ERROR, which does not count.
    pub fn push_notice(&mut self, frame: &[u8]) {
        self.store(frame, &[]);
    }

    /// Changes the bound, in bytes; the oldest frames give way to a smaller one, and so does the heap
    /// that they took.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.make_room(0);
        if self.bytes.capacity() > limit {
            self.bytes.shrink_to(limit);
        }
    }

    /// Lowers the bound to `bytes`, if it is higher.
    pub fn squeeze(&mut self, bytes: usize) {
        self.set_limit(self.limit.min(bytes));
    }

    /// Returns the frames that a client lacks which has taken `count` DATA frames.
    pub fn since(&self, count: u64) -> Lacking<'_> {
        let wanted = count.min(self.sent).saturating_sub(self.before);
        let (start, passed, _) = self.walk(self.bytes.len(), wanted);
        let (a, b) = self.bytes.as_slices();
        let bytes = match a.get(start..) {
            Some(a) => (a, b),
            None => (&b[start - a.len()..], &[][..]),
        };
        Lacking {
            gap: count < self.floor || count > self.sent,
            frames: self.sent - self.before - passed,
            bytes,
        }
    }

    #[inline]
    fn store(&mut self, head: &[u8], tail: &[u8]) {
        let added = head.len() + tail.len();
        self.make_room(added);
        let skip = if added > self.limit {
            self.skip(head, added)
        } else {
            0
        };
        if skip == added {
            return;
        }
        let needed = self.bytes.len() + added - skip;
        if needed > self.bytes.capacity() {
            // Doubling, but never beyond the bound.
            let wanted = (self.bytes.capacity() * 2).max(LEAST_BYTES).min(self.limit);
            self.bytes
                .reserve_exact(wanted.max(needed) - self.bytes.len());
        }
        self.bytes.extend(&head[skip..]);
        self.bytes.extend(tail);
    }

    /// Drops the oldest frames until `added` bytes fit, or none are left.
    #[inline]
    fn make_room(&mut self, added: usize) {
        let excess = (self.bytes.len() + added).saturating_sub(self.limit);
        if excess > 0 {
            let (end, passed, counted) = self.walk(excess.min(self.bytes.len()), u64::MAX);
            self.before += passed;
            self.floor = self.floor.max(self.before + u64::from(!counted));
            self.bytes.drain(..end);
        }
    }

    /// Returns how many bytes of whole frames at the front of a piece must give way so that the rest fits.
    #[cold]
    fn skip(&mut self, head: &[u8], added: usize) -> usize {
        let mut at = 0;
        while added - at > self.limit && at < added {
            let header = |index: usize| head.get(at + index).copied().unwrap_or(0);
            let (len, kind) = client::peek(header);
            let counts = kind == Kind::Data as u8;
            self.before += u64::from(counts);
            self.floor = self.before + u64::from(!counts);
            at += len;
        }
        at.min(added)
    }

    /// Passes whole frames from the front until `bytes` are behind it or `frames` DATA are; returns
    /// how many of each, and whether the last one was DATA.
    #[inline]
    fn walk(&self, bytes: usize, frames: u64) -> (usize, u64, bool) {
        let (mut at, mut passed, mut counted) = (0, 0, true);
        while at < bytes && passed < frames {
            let (len, kind) =
                client::peek(|index| self.bytes.get(at + index).copied().unwrap_or(0));
            let counts = kind == Kind::Data as u8;
            at += len;
            passed += u64::from(counts);
            counted = counts;
        }
        (at, passed, counted)
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
