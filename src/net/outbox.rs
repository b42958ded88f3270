//! Bytes that wait to be written to one socket.
//!
//! Hot path: small pieces are gathered in pooled buffers, large ones are written without a copy, all
//! with one vectored write. The owner enforces the bound, because only it knows what to do when the
//! bound is reached.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

pub use super::slice::Slice;
use super::slice::is_compact;
use crate::codec::buffers;
use crate::memory;

/// Payloads of at least this many bytes are written from the buffer that they came in rather than
/// copied: below it the copy is cheaper than one more slice.
pub const VECTORED_BYTES: usize = 2048;
/// Pieces are gathered in one buffer up to this size.
const GATHER_BYTES: usize = 32 * 1024;
/// Slices of one vectored write.
const MAX_SLICES: usize = 32;
/// A queue that once grew beyond this many places is freed when it is empty.
const KEPT_PLACES: usize = 8;

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
            Piece::Shared(slice) => slice.buffer(),
        }
    }
}

/// Bytes on their way to one socket, in order.
///
/// Nearly always it is one buffer, or none, so a session that never needs more has no room for more.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The first piece where that is a buffer of its own; without capacity where not.
    first: Vec<u8>,
    /// Bytes of the first piece, wherever it is, that are written.
    written: usize,
    /// Pieces behind `first`.
    rest: Option<Box<Rest>>,
}

#[derive(Debug, Default)]
struct Rest {
    /// None of them is empty.
    pieces: VecDeque<Piece>,
    /// Bytes of all pieces.
    bytes: usize,
    /// Bytes of their buffers.
    held: usize,
    /// Pieces at the end that may lie in buffers much larger than they are.
    loose: usize,
}

impl Rest {
    /// Bytes of memory, with the places of the pieces where these are many.
    fn held(&self) -> usize {
        let places = self.pieces.capacity().saturating_sub(KEPT_PLACES);
        self.held + places * size_of::<Piece>()
    }

    fn push(&mut self, piece: Piece) {
        self.push_compact(piece);
        self.loose += 1;
    }

    /// Adds a piece of a buffer that is not much larger.
    fn push_compact(&mut self, piece: Piece) {
        self.insert(self.pieces.len(), piece);
    }

    fn insert(&mut self, place: usize, piece: Piece) {
        let full = self.pieces.len() == self.pieces.capacity();
        if full && (self.pieces.is_empty() || memory::is_scarce()) {
            // Most sessions never have two pieces here at a time: no room for four.
            self.pieces.reserve_exact(1);
        }
        self.bytes += piece.bytes().len();
        self.held += piece.buffer();
        self.pieces.insert(place, piece);
    }

    /// Adds a piece ahead of all that nothing is written of.
    fn insert_first(&mut self, place: usize, piece: Piece) {
        if place + self.loose >= self.pieces.len() {
            self.loose += 1;
        }
        self.insert(place, piece);
    }

    fn pop(&mut self) -> Option<Piece> {
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.bytes().len();
        self.held -= piece.buffer();
        self.loose = self.loose.min(self.pieces.len());
        Some(piece)
    }

    /// Takes the loose pieces out.
    fn take_loose(&mut self) -> VecDeque<Piece> {
        let loose = self.pieces.split_off(self.pieces.len() - self.loose);
        self.loose = 0;
        for piece in &loose {
            self.bytes -= piece.bytes().len();
            self.held -= piece.buffer();
        }
        loose
    }

    /// Appends to the last piece where that is a buffer with room; returns false if not.
    fn gather(&mut self, bytes: &[u8]) -> bool {
        let Some(Piece::Pooled(last)) = self.pieces.back_mut() else {
            return false;
        };
        let before = last.capacity();
        let gathers = gather(last, bytes);
        self.held += last.capacity() - before;
        self.bytes += if gathers { bytes.len() } else { 0 };
        gathers
    }
}

/// Appends to a buffer, within [`GATHER_BYTES`]; returns false if there is no room.
#[inline]
fn gather(buffer: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let fits = buffer.len() + bytes.len() <= GATHER_BYTES;
    if fits {
        if buffer.capacity() - buffer.len() < bytes.len() && memory::is_scarce() {
            // It would double, and so would the queues of all who read slowly.
            buffer.reserve_exact(bytes.len());
        }
        buffer.extend_from_slice(bytes);
    }
    fits
}

impl Outbox {
    /// Bytes that are not written yet.
    #[inline]
    pub fn queued(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.bytes);
        self.first.len() + rest - self.written
    }

    /// Bytes that are left of a piece larger than `limit`, if that is the first one, or comes behind its header.
    pub fn oversized(&self, limit: usize) -> usize {
        let first = Some(&self.first[..]).filter(|first| !first.is_empty());
        let rest = self.rest.iter().flat_map(|rest| &rest.pieces);
        let pieces = first.into_iter().chain(rest.map(Piece::bytes));
        let written = [self.written, 0];
        let mut front = pieces.zip(written);
        let large = front.find(|(piece, _)| piece.len() > limit);
        large.map_or(0, |(piece, written)| piece.len() - written)
    }

    /// Bytes of memory that the queue keeps, payloads that many share aside.
    #[inline]
    pub fn held(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.held());
        self.first.capacity() + rest
    }

    /// Returns true if everything is written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && !self.has_rest()
    }

    #[inline]
    fn has_rest(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.bytes > 0)
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// Adds a buffer, which returns to the pool once it is written. A small one is copied to the end
    /// of the last.
    #[inline]
    pub fn push(&mut self, buffer: Vec<u8>) {
        if buffer.is_empty() || (buffer.len() < VECTORED_BYTES && self.gather(&buffer)) {
            buffers::give(buffer);
        } else {
            self.push_buffer(buffer);
        }
    }

    fn push_buffer(&mut self, buffer: Vec<u8>) {
        match self.is_empty() {
            true => self.first = buffer,
            false => self.rest().push(Piece::Pooled(buffer)),
        }
    }

    /// Appends to the last piece where that is a buffer with room; returns false if not.
    #[inline]
    fn gather(&mut self, bytes: &[u8]) -> bool {
        match &mut self.rest {
            Some(rest) if rest.bytes > 0 => rest.gather(bytes),
            _ => !self.first.is_empty() && gather(&mut self.first, bytes),
        }
    }

    /// Adds shared bytes, which are written without a copy if the socket takes them soon.
    pub fn push_shared(&mut self, slice: Slice) {
        if !slice.is_empty() {
            self.rest().push(Piece::Shared(slice));
        }
    }

    /// Copies what waits out of buffers that are much larger. For a socket that takes no more for now: a
    /// slow reader must not keep a whole read of a link alive for each of its frames.
    pub fn compact(&mut self) {
        if !self.first.is_empty()
            && !is_compact(self.first.len() - self.written, self.first.capacity())
        {
            let wide = std::mem::take(&mut self.first);
            self.copy_first(&wide);
            buffers::give(wide);
        }
        let Some(rest) = self.rest.as_mut().filter(|rest| rest.loose > 0) else {
            return;
        };
        for piece in rest.take_loose() {
            self.keep(piece);
        }
    }

    /// Makes a buffer of its own of the piece that was the first.
    fn copy_first(&mut self, piece: &[u8]) {
        // One byte that is written stays: nothing may come ahead of the others.
        let cut = self.written.saturating_sub(1);
        self.written -= cut;
        self.first = piece[cut..].to_vec();
    }

    /// Takes a piece back to the end of the queue.
    fn keep(&mut self, piece: Piece) {
        let written = if self.is_empty() { self.written } else { 0 };
        let bytes = piece.bytes();
        if is_compact(bytes.len() - written, piece.buffer()) {
            return self.rest().push_compact(piece);
        }
        if self.is_empty() {
            self.copy_first(bytes);
        } else if !self.gather(bytes) {
            self.rest().push_compact(Piece::Pooled(bytes.to_vec()));
        }
        if let Piece::Pooled(buffer) = piece {
            buffers::give(buffer);
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
        if self.written == 0 {
            let second = std::mem::replace(&mut self.first, buffer);
            if !second.is_empty() {
                self.rest().insert_first(0, Piece::Pooled(second));
            }
        } else {
            let place = usize::from(self.first.is_empty());
            self.rest().insert_first(place, Piece::Pooled(buffer));
        }
    }

    /// Writes until all is written or the socket takes no more.
    ///
    /// # Errors
    /// The socket's; a write of nothing is [`io::ErrorKind::WriteZero`].
    #[inline]
    pub fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let socket = Pin::new(&mut *socket);
            let written = match self.has_rest() {
                // The rule; a plain write of it costs less than a vector of one.
                false => ready!(socket.poll_write(cx, &self.first[self.written..]))?,
                true => {
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
        Poll::Ready(Ok(()))
    }

    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let first = Some(&self.first[..]).filter(|first| !first.is_empty());
        let rest = self.rest.iter().flat_map(|rest| &rest.pieces);
        let mut skip = self.written;
        let mut count = 0;
        let pieces = first.into_iter().chain(rest.map(Piece::bytes));
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(&piece[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    #[inline]
    fn advance(&mut self, written: usize) {
        self.written += written;
        if !self.first.is_empty() {
            if self.written < self.first.len() {
                return;
            }
            self.written -= self.first.len();
            buffers::give(std::mem::take(&mut self.first));
        }
        if self.rest.is_some() {
            self.advance_rest();
        }
    }

    fn advance_rest(&mut self) {
        let Some(rest) = &mut self.rest else { return };
        while let Some(piece) = rest.pieces.front() {
            let len = piece.bytes().len();
            if self.written < len {
                return;
            }
            self.written -= len;
            if let Some(Piece::Pooled(buffer)) = rest.pop() {
                buffers::give(buffer);
            }
        }
        if rest.pieces.capacity() > KEPT_PLACES {
            self.rest = None;
        }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
