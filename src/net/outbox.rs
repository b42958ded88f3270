//! Bytes that wait to be written to one socket.
//!
//! Hot path: small pieces are gathered in pooled buffers, large ones are written without a copy, all
//! with one vectored write. The owner enforces the bound, because only it knows what to do when the
//! bound is reached.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::codec::buffers;
use crate::memory::{Held, Part};

/// Payloads of at least this many bytes are written from the buffer that they came in rather than
/// copied: below it the copy is cheaper than one more slice.
pub const VECTORED_BYTES: usize = 2048;
/// Pieces are gathered in one buffer up to this size.
const GATHER_BYTES: usize = 32 * 1024;
/// Slices of one vectored write.
const MAX_SLICES: usize = 32;
/// A queue that once grew beyond this many places is freed when it is empty.
const KEPT_PLACES: usize = 8;

/// A buffer this many times as large as the bytes of interest in it is not kept for them alone.
const MAX_WASTE: usize = 2;

/// Bytes of a larger buffer, all of which they keep alive.
#[derive(Debug, Clone)]
pub struct Slice {
    bytes: Bytes,
    /// Size of the buffer. 0: it is as large as the bytes, and counted once for many.
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

fn is_compact(bytes: usize, buffer: usize) -> bool {
    buffer <= MAX_WASTE * bytes
}

#[derive(Debug)]
enum Piece {
    Pooled(Vec<u8>),
    Shared(Slice),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Pooled(bytes) => bytes,
            Piece::Shared(slice) => slice,
        }
    }

    /// Bytes of the buffer that the piece keeps alive; 0 where that is counted apart.
    fn buffer(&self) -> usize {
        match self {
            Piece::Pooled(buffer) => buffer.capacity(),
            Piece::Shared(slice) => slice.buffer,
        }
    }
}

/// Bytes on their way to one socket, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are written.
    written: usize,
    /// Bytes that are not written yet.
    queued: usize,
    /// Bytes of all buffers that wait.
    held: usize,
    /// Pieces at the end that may lie in buffers much larger than they are.
    loose: usize,
    /// The first piece is the rest of one that was partly written.
    is_rest: bool,
}

impl Outbox {
    /// Bytes that are not written yet.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes of memory that the queue keeps, payloads that many share aside.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Returns true if everything is written.
    pub fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// Adds a buffer, which returns to the pool once it is written. A small one is copied to the end
    /// of the last.
    pub fn push(&mut self, buffer: Vec<u8>) {
        self.queued += buffer.len();
        if buffer.len() < VECTORED_BYTES
            && let Some(Piece::Pooled(last)) = self.pieces.back_mut()
            && last.len() + buffer.len() <= GATHER_BYTES
        {
            let before = last.capacity();
            last.extend_from_slice(&buffer);
            self.held += last.capacity() - before;
            buffers::give(buffer);
        } else if buffer.is_empty() {
            buffers::give(buffer);
        } else {
            self.push_piece(Piece::Pooled(buffer));
        }
    }

    fn push_piece(&mut self, piece: Piece) {
        if self.pieces.capacity() == 0 {
            // Most sessions never have two pieces at a time: no room for four.
            self.pieces.reserve_exact(1);
        }
        self.held += piece.buffer();
        self.pieces.push_back(piece);
        self.loose += 1;
    }

    /// Adds shared bytes, which are written without a copy if the socket takes them soon.
    pub fn push_shared(&mut self, slice: Slice) {
        if !slice.is_empty() {
            self.queued += slice.len();
            self.push_piece(Piece::Shared(slice));
        }
    }

    /// Copies what waits out of buffers that are much larger. For a socket that takes no more for now: a
    /// slow reader must not keep a whole read of a link alive for each of its frames.
    pub fn compact(&mut self) {
        if self.loose == 0 {
            return;
        }
        let mut loose = self.pieces.split_off(self.pieces.len() - self.loose);
        self.held = self.pieces.iter().map(Piece::buffer).sum();
        if self.pieces.is_empty()
            && let Some(first) = loose.pop_front()
        {
            let written = std::mem::take(&mut self.written);
            self.is_rest |= written > 0;
            self.keep(first, written);
        }
        for piece in loose {
            self.keep(piece, 0);
        }
        self.loose = 0;
    }

    /// Takes a piece, of which `written` bytes are written, back into the queue.
    fn keep(&mut self, piece: Piece, written: usize) {
        match piece {
            Piece::Shared(mut slice) if is_compact(slice.len() - written, slice.buffer) => {
                slice.bytes.advance(written);
                self.push_piece(Piece::Shared(slice));
            }
            Piece::Pooled(buffer)
                if written == 0 && is_compact(buffer.len(), buffer.capacity()) =>
            {
                self.push_piece(Piece::Pooled(buffer));
            }
            Piece::Shared(slice) => self.gather(&slice[written..]),
            Piece::Pooled(buffer) => {
                self.gather(&buffer[written..]);
                buffers::give(buffer);
            }
        }
    }

    /// Copies bytes to the end of the last piece, or into one of their size.
    fn gather(&mut self, bytes: &[u8]) {
        match self.pieces.back_mut() {
            Some(Piece::Pooled(last)) if last.len() + bytes.len() <= GATHER_BYTES => {
                let before = last.capacity();
                last.extend_from_slice(bytes);
                self.held += last.capacity() - before;
            }
            _ => self.push_piece(Piece::Pooled(bytes.to_vec())),
        }
    }

    /// Lets `encode` append to the buffer at the end.
    pub fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = buffers::take();
        encode(&mut buffer);
        self.push(buffer);
    }

    /// Lets `encode` put whole frames ahead of all that no byte is written of. Only for an owner whose every
    /// other buffer holds whole frames.
    pub fn append_first(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = buffers::take();
        encode(&mut buffer);
        self.queued += buffer.len();
        self.held += buffer.capacity();
        let place = usize::from(self.written > 0 || self.is_rest);
        if place >= self.pieces.len() - self.loose {
            self.loose += 1;
        }
        self.pieces.insert(place, Piece::Pooled(buffer));
    }

    /// Writes until all is written or the socket takes no more.
    ///
    /// # Errors
    /// The socket's; a write of nothing is [`io::ErrorKind::WriteZero`].
    pub fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let socket = Pin::new(&mut *socket);
            let written = match self.pieces.front() {
                // The rule; a plain write of it costs less than a vector of one.
                Some(one) if self.pieces.len() == 1 => {
                    ready!(socket.poll_write(cx, &one.bytes()[self.written..]))?
                }
                _ => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let count = self.slices(&mut slices);
                    ready!(socket.poll_write_vectored(cx, &slices[..count]))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        if self.pieces.capacity() > KEPT_PLACES {
            self.pieces = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut skip = self.written;
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(&piece.bytes()[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    fn advance(&mut self, written: usize) {
        self.queued -= written;
        self.written += written;
        while let Some(piece) = self.pieces.front() {
            let len = piece.bytes().len();
            if self.written < len {
                break;
            }
            self.written -= len;
            self.is_rest = false;
            self.held -= piece.buffer();
            if let Some(Piece::Pooled(buffer)) = self.pieces.pop_front() {
                buffers::give(buffer);
            }
        }
        self.loose = self.loose.min(self.pieces.len());
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
