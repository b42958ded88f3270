//! What a client that resumes may lack: the last frames to it, connected or not (protocol 3.2).
//!
//! Hot path: [`push`](Replay::push) runs for every delivery to a session that can be resumed. It
//! copies into one ring of bytes, so that nothing pins the buffer of a whole read; while nothing was
//! sent it owns no memory.
//!
//! A *position* is a count of DATA frames: what lies at position *n* is lacked by a client that has
//! taken *n* of them or fewer. An ERROR lies between two DATA frames and counts as none, so one that
//! was lost with its connection is said again; at worst a client hears it twice.

use std::collections::VecDeque;

use crate::codec::client::HEADER_LEN;

/// The last frames to one client.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Replay {
    bytes: VecDeque<u8>,
    batches: VecDeque<Batch>,
    /// The position of the first batch.
    front: u64,
    /// The position behind the last one: DATA frames since counting began.
    sent: u64,
    /// Whoever has taken fewer lacks what is not here any more.
    floor: u64,
}

/// Frames that were pushed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    len: u32,
    /// DATA frames in it; 0: an ERROR.
    frames: u32,
}

impl Replay {
    /// DATA frames since counting began.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many DATA frames are held.
    pub fn held(&self) -> u64 {
        self.sent - self.front
    }

    /// Adds whole frames, which lie in two pieces; `frames` of them are DATA, or it is one ERROR. The
    /// oldest give way so that at most `limit` bytes are held.
    #[inline]
    pub fn push(&mut self, head: &[u8], tail: &[u8], frames: u32, limit: usize) {
        let len = head.len() + tail.len();
        self.bytes.extend(head);
        self.bytes.extend(tail);
        self.sent += u64::from(frames);
        let len = len as u32;
        self.batches.push_back(Batch { len, frames });
        self.shrink(limit);
    }

    /// Has the oldest give way until at most `limit` bytes are held.
    #[inline]
    pub fn shrink(&mut self, limit: usize) {
        while self.bytes.len() > limit
            && let Some(batch) = self.batches.front().copied()
        {
            if batch.frames > 1 {
                self.drop_first_frame();
            } else {
                self.drop_front(batch);
            }
            // An ERROR is lacked by whoever has not taken the DATA behind it.
            self.floor = self.front + u64::from(batch.frames == 0);
        }
    }

    fn drop_front(&mut self, batch: Batch) {
        self.batches.pop_front();
        self.bytes.drain(..batch.len as usize);
        self.front += u64::from(batch.frames);
    }

    /// Drops the first frame of the first batch, which has more.
    fn drop_first_frame(&mut self) {
        let len = self.first_frame_len();
        if let Some(batch) = self.batches.front_mut() {
            batch.len -= len as u32;
            batch.frames -= 1;
            self.bytes.drain(..len);
            self.front += 1;
        }
    }

    /// The length of the first frame, which is whole (protocol 1.1).
    fn first_frame_len(&self) -> usize {
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or_default();
        let payload_len = u32::from_be_bytes([byte(4), byte(5), byte(6), byte(7)]);
        HEADER_LEN + usize::from(byte(28)) + payload_len as usize
    }

    /// A client resumes that has taken `count` DATA frames: forgets what it has. Returns whether
    /// anything is missing in between; then counting begins anew, at what is held.
    pub fn resume(&mut self, count: u64) -> bool {
        let gap = count < self.floor || count > self.sent;
        while let Some(batch) = self.batches.front().copied()
            && self.front < count
        {
            if u64::from(batch.frames) > count - self.front {
                self.drop_first_frame();
            } else {
                self.drop_front(batch);
            }
        }
        // No client takes back what it has said that it has taken.
        self.floor = self.floor.max(self.front);
        if gap {
            self.count_anew();
        }
        gap
    }

    /// Counting begins anew, at what is held.
    pub fn count_anew(&mut self) {
        self.sent -= self.front;
        (self.front, self.floor) = (0, 0);
    }

    /// All that is held, in order.
    pub fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        let (first, second) = self.bytes.as_slices();
        [first, second].into_iter().filter(|part| !part.is_empty())
    }

    /// Adds what another ring holds behind this one.
    pub fn append(&mut self, other: &Replay, limit: usize) {
        let mut at = 0;
        for batch in &other.batches {
            let end = at + batch.len as usize;
            let frame: Vec<u8> = other.bytes.range(at..end).copied().collect();
            self.push(&frame, &[], batch.frames, limit);
            at = end;
        }
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
