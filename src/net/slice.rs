//! Bytes that keep the buffer alive that they came in.

use bytes::Bytes;

use crate::memory::{Held, Part};

/// A buffer this many times as large as the bytes of interest in it is not kept for them alone.
pub(super) const MAX_WASTE: usize = 2;

/// Bytes of a larger buffer, all of which they keep alive.
#[derive(Debug, Clone)]
pub struct Slice {
    bytes: Bytes,
    buffer: usize,
}

impl Slice {
    /// A slice of a buffer of so many bytes.
    pub fn new(bytes: Bytes, buffer: usize) -> Slice {
        Slice { bytes, buffer }
    }

    /// A copy for many, which counts once for all of them.
    pub fn for_many(bytes: &[u8]) -> Slice {
        let counted = Counted {
            bytes: bytes.into(),
            _held: Held::new(Part::Multicast, bytes.len()),
        };
        Slice {
            bytes: Bytes::from_owner(counted),
            buffer: 0,
        }
    }

    /// Size of the buffer. 0: it is as large as the bytes, and counted once for many.
    #[inline]
    pub(super) fn buffer(&self) -> usize {
        self.buffer
    }

    /// Bytes of memory that a queue keeps for it, once it is compact; 0 where that is counted for many.
    pub fn kept(&self) -> usize {
        match is_compact(self.bytes.len(), self.buffer) {
            true => self.buffer,
            false => self.bytes.len(),
        }
    }

    /// Returns bytes that keep no larger buffer alive.
    pub fn into_compact(self) -> Slice {
        if is_compact(self.bytes.len(), self.buffer) {
            return self;
        }
        let buffer = self.bytes.len();
        Slice::new(Bytes::copy_from_slice(&self.bytes), buffer)
    }
}

/// Bytes that are counted for as long as somebody has a part of them.
struct Counted {
    bytes: Box<[u8]>,
    _held: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::ops::Deref for Slice {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[inline]
pub(super) fn is_compact(bytes: usize, buffer: usize) -> bool {
    buffer <= MAX_WASTE * bytes
}
