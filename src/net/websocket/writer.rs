//! What is sent: each frame of the session as one binary message (RFC 6455, 5.2), and control frames in between.
//!
//! Hot path. The frames come in slices that are cut anywhere. Small ones are gathered behind the headers of their
//! messages; a large part is written from where it lies.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::control;
use crate::codec::buffers;
use crate::codec::client::{self, HEADER_LEN};
use crate::net::outbox::VECTORED_BYTES;

/// The first byte of a binary message's only frame.
const BINARY: u8 = 0x82;
/// Bytes that are gathered for one write. Of as many a client that reads slowly may keep a copy.
const GATHER_BYTES: usize = 16 * 1024;
/// Bytes of PONG that may wait for a client who does not read them. Beyond it only his newest PING is answered, which
/// RFC 6455, 5.5.3 permits.
const MAX_PONG_BYTES: usize = 4 * 1024;

/// Place in what is sent.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Gathered, of a pool's buffer; without capacity where all of it is written.
    gathered: Vec<u8>,
    /// Bytes of it that are written.
    written: usize,
    /// Control frames that wait for the end of a message.
    control: Vec<u8>,
    /// The header of the frame that begins, as far as it has come.
    begun: Begun,
    /// Bytes of the message under way that are still to come.
    missing: usize,
    /// Behind the control frames nothing follows.
    is_closing: bool,
}

#[derive(Debug, Default)]
struct Begun {
    header: [u8; HEADER_LEN],
    len: u8,
}

impl Begun {
    /// Takes what is missing of the header; tells whether it is whole.
    fn take(&mut self, bytes: &mut &[u8]) -> bool {
        let place = &mut self.header[usize::from(self.len)..];
        let taken = place.len().min(bytes.len());
        place[..taken].copy_from_slice(&bytes[..taken]);
        *bytes = &bytes[taken..];
        self.len += taken as u8;
        usize::from(self.len) == HEADER_LEN
    }
}

impl Writer {
    /// Bytes of its buffers.
    pub(super) fn buffers(&self) -> usize {
        self.gathered.capacity() + self.control.capacity()
    }

    /// Tells whether a flush has something to write.
    #[inline]
    pub(super) fn is_unflushed(&self) -> bool {
        !self.gathered.is_empty() || self.control_is_due()
    }

    fn control_is_due(&self) -> bool {
        self.missing == 0 && !self.control.is_empty()
    }

    /// Answers a PING when it can.
    pub(super) fn pong(&mut self, payload: &[u8]) {
        if self.is_closing {
            return;
        }
        if self.control.len() + payload.len() > MAX_PONG_BYTES {
            self.control.clear();
        }
        control::pong(payload, &mut self.control);
    }

    /// Sends a Close when it can, and nothing behind it.
    pub(super) fn close(&mut self, code: Option<u16>) {
        if !std::mem::replace(&mut self.is_closing, true) {
            control::close(code, &mut self.control);
        }
    }

    /// Tells whether a Close is written, and all that came before it.
    pub(super) fn has_closed(&self) -> bool {
        self.is_closing && self.gathered.is_empty() && self.control.is_empty()
    }

    /// Begins a message of so many bytes, which are written next.
    pub(super) fn begin(&mut self, first: u8, len: usize) {
        self.gathered.push(first);
        match len {
            0..126 => self.gathered.push(len as u8),
            126..0x1_0000 => {
                self.gathered.push(126);
                self.gathered.extend((len as u16).to_be_bytes());
            }
            _ => {
                self.gathered.push(127);
                self.gathered.extend((len as u64).to_be_bytes());
            }
        }
        self.missing = len;
        self.end_message();
    }

    /// What has waited for the end of a message goes behind it.
    fn end_message(&mut self) {
        if self.control_is_due() {
            self.gathered.append(&mut self.control);
            self.control = Vec::new();
        }
    }

    /// Begins the message of the frame that `bytes` begin with, where its header is there. The frame's own is taken with
    /// the message's: what was announced has begun for its owner too.
    fn begin_frame(&mut self, bytes: &mut &[u8]) {
        if self.begun.take(bytes) {
            let header = std::mem::take(&mut self.begun).header;
            let (len, _) = client::peek(|at| header[at]);
            self.begin(BINARY, len);
            self.gathered.extend_from_slice(&header);
            self.missing -= HEADER_LEN;
            self.end_message();
        }
    }

    /// Gathers from the front of `bytes` until they are used, a large part comes, or it is enough.
    fn gather(&mut self, bytes: &mut &[u8]) {
        while !bytes.is_empty() && self.gathered.len() < GATHER_BYTES {
            if self.missing == 0 {
                if self.is_closing {
                    return;
                }
                self.begin_frame(bytes);
            }
            let part = self.missing.min(bytes.len());
            if part >= VECTORED_BYTES {
                return;
            }
            self.gathered.extend_from_slice(&bytes[..part]);
            *bytes = &bytes[part..];
            if part > 0 {
                self.missing -= part;
                self.end_message();
            }
        }
    }

    /// Writes as much of `slices` as there is room for; returns how many of their bytes it has taken.
    ///
    /// # Errors
    /// The socket's; [`io::ErrorKind::BrokenPipe`] behind a Close.
    pub(super) fn poll_write<'a, W: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut W,
        slices: impl Iterator<Item = &'a [u8]>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_gathered(socket, cx))?;
        if self.gathered.capacity() == 0 {
            self.gathered = buffers::take();
        }
        let (mut taken, mut large) = (0, &[][..]);
        for slice in slices {
            let mut rest = slice;
            self.gather(&mut rest);
            taken += slice.len() - rest.len();
            if !rest.is_empty() {
                large = &rest[..self.missing.min(rest.len())];
                break;
            }
        }
        if taken == 0 && large.is_empty() {
            self.wrote(0);
            return Poll::Ready(match self.is_closing {
                true => Err(io::ErrorKind::BrokenPipe.into()),
                false => Ok(0),
            });
        }
        self.poll_parts(socket, taken, large, cx)
    }

    /// Writes what is gathered and `large` behind it, until something of the caller's is taken.
    fn poll_parts<W: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut W,
        mut taken: usize,
        large: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let parts = [
                IoSlice::new(&self.gathered[self.written..]),
                IoSlice::new(large),
            ];
            let socket = Pin::new(&mut *socket);
            let polled = match large.is_empty() {
                true => socket.poll_write(cx, &parts[0]),
                false => socket.poll_write_vectored(cx, &parts),
            };
            let written = match polled {
                Poll::Ready(written) => written?,
                Poll::Pending if taken == 0 => {
                    self.compact();
                    return Poll::Pending;
                }
                Poll::Pending => 0,
            };
            let own = written.min(parts[0].len());
            self.wrote(own);
            if written > own {
                self.missing -= written - own;
                taken += written - own;
                self.end_message();
            }
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
    }

    /// So many gathered bytes are written.
    fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written == self.gathered.len() {
            self.written = 0;
            buffers::give(std::mem::take(&mut self.gathered));
        }
    }

    /// Keeps no larger buffer than what waits for the socket needs.
    fn compact(&mut self) {
        if self.written > 0 || self.gathered.capacity() > 2 * self.gathered.len() {
            let rest = self.gathered[self.written..].to_vec();
            buffers::give(std::mem::replace(&mut self.gathered, rest));
            self.written = 0;
        }
    }

    fn poll_gathered<W: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let rest = &self.gathered[self.written..];
            let Poll::Ready(written) = Pin::new(&mut *socket).poll_write(cx, rest) else {
                self.compact();
                return Poll::Pending;
            };
            match written? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.wrote(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all that may be written now.
    ///
    /// # Errors
    /// The socket's.
    pub(super) fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_gathered(socket, cx))?;
        self.end_message();
        self.poll_gathered(socket, cx)
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
