//! A WebSocket as a stream of bytes (RFC 6455): reading yields what is in binary messages, which hold whole frames of the
//! session; writing sends one binary message a frame (protocol 1.6).
//!
//! Hot path. Nothing is gathered: what has come is unmasked in the reader's buffer, behind what it has, and what goes out
//! is gathered in a buffer of the thread's pool. An idle WebSocket owns no buffer.

mod control;
mod frames;
mod reader;
mod writer;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::codec::client::{HEADER_LEN, MAX_SERVICE_LEN};
use crate::net::socket::Socket;
use crate::session::closing::MessageFault;
use frames::Frames;
use reader::{Read, Reader};
use writer::Writer;

/// Reads that bring no payload for the session, such as PINGs, in one turn.
const MAX_READS: usize = 16;
/// Least limit of a message in bytes, whatever `listen.max_payload` is, because several small frames
/// may share one.
const LEAST_MESSAGE_BYTES: u64 = 16 * 1024;

/// Returns the client's fault that a socket's error carries, or none if the error has another cause.
pub fn fault_of(error: &io::Error) -> Option<MessageFault> {
    error.get_ref()?.downcast_ref().copied()
}

/// Bytes of the largest message.
fn largest_message(max_payload: u32) -> u64 {
    let frame = u64::from(max_payload) + (HEADER_LEN + MAX_SERVICE_LEN) as u64;
    frame.max(LEAST_MESSAGE_BYTES)
}

/// Bytes that are read later, if there are any.
fn kept(bytes: &[u8]) -> Option<Box<[u8]>> {
    (!bytes.is_empty()).then(|| bytes.into())
}

/// A message, or a part of one, for who takes any ([`WebSocket::poll_message`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// Bytes that were read.
    pub len: usize,
    /// The message is whole.
    pub is_last: bool,
    /// It is one of text; whether it is UTF-8 was not looked at.
    pub is_text: bool,
}

/// The server's side of a WebSocket whose handshake is done.
#[derive(Debug)]
pub struct WebSocket {
    socket: Socket,
    /// Read behind the handshake.
    early: Option<Box<[u8]>>,
    reader: Reader,
    frames: Frames,
    writer: Writer,
    /// Fault of the client, to be reported behind what came before.
    fault: Option<MessageFault>,
    /// A PING has come since [`take_sign_of_life`](Self::take_sign_of_life).
    pinged: bool,
    /// The client has sent Close.
    is_closed: bool,
    close_code: u16,
    closing: bool,
}

impl WebSocket {
    /// Makes a WebSocket of a socket whose handshake is done; `read` was read behind it.
    pub fn new(socket: Socket, read: &[u8], max_payload: u32) -> WebSocket {
        WebSocket {
            socket,
            early: kept(read),
            reader: Reader::new(largest_message(max_payload)),
            frames: Frames::default(),
            writer: Writer::default(),
            fault: None,
            pinged: false,
            is_closed: false,
            close_code: 1000,
            closing: false,
        }
    }

    /// Returns the socket underneath.
    pub fn get_ref(&self) -> &Socket {
        &self.socket
    }

    /// Returns the socket underneath.
    pub fn get_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Tells whether a PING has come since the last call (protocol 1.6: a sign of life).
    pub(super) fn take_sign_of_life(&mut self) -> bool {
        std::mem::take(&mut self.pinged)
    }

    /// Sets the code of the closing frame.
    pub fn set_close_code(&mut self, code: u16) {
        self.close_code = code;
    }

    /// Returns true if [`poll_flush`](AsyncWrite::poll_flush) has something to write.
    #[inline]
    pub fn is_unflushed(&self) -> bool {
        self.writer.is_unflushed() || self.socket.is_unflushed()
    }

    /// Tells whether a read may bring something, as [`Socket::may_be_readable`] does.
    #[inline]
    pub(super) fn may_be_readable(&self) -> bool {
        let own = self.early.is_some() || self.fault.is_some() || self.is_closed;
        own || self.socket.may_be_readable()
    }

    /// Bytes of the buffers that it has, of the socket underneath too.
    #[inline]
    pub fn buffers(&self) -> usize {
        let early = self.early.as_ref().map_or(0, |early| early.len());
        early + self.writer.buffers() + self.socket.buffers()
    }

    /// Reads a part of a message of any kind, and answers control frames. One of no bytes that is not the last is the
    /// end of all. For who tries the transport alone.
    ///
    /// # Errors
    /// The socket's, or the client's fault.
    pub fn poll_message(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Part>> {
        loop {
            if let Some(fault) = self.fault {
                return Poll::Ready(Err(io::Error::other(fault)));
            }
            let read = match self.is_closed {
                true => {
                    ready!(self.poll_end(cx))?;
                    0
                }
                false => ready!(self.poll_fill(cx, &mut ReadBuf::new(buf)))?,
            };
            let mut part = Part::default();
            let mut at = 0;
            while let Some(next) = self.next(&mut buf[..read], &mut at) {
                match next {
                    Read::Payload(range) => {
                        buf.copy_within(range.clone(), part.len);
                        part.len += range.len();
                    }
                    Read::End => {
                        part.is_last = true;
                        break;
                    }
                    Read::Ping(_) | Read::Pong | Read::Close(_) | Read::Nothing => {}
                }
            }
            part.is_text = self.reader.is_text();
            self.put_back(&buf[at..read]);
            if read == 0 || part.len > 0 || part.is_last {
                return Poll::Ready(Ok(part));
            }
        }
    }

    /// Begins a message of any kind, whose bytes are written next. For who tries the transport alone.
    pub fn begin_message(&mut self, is_text: bool, len: usize) {
        self.writer.begin(0x81 + u8::from(!is_text), len);
    }

    /// Reads what has come; returns how many bytes, which lie behind the filled part of `buf`.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let raw = buf.initialize_unfilled();
        if let Some(early) = self.early.take() {
            let read = early.len().min(raw.len());
            raw[..read].copy_from_slice(&early[..read]);
            self.early = kept(&early[read..]);
            return Poll::Ready(Ok(read));
        }
        let mut raw = ReadBuf::new(raw);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut raw))?;
        Poll::Ready(Ok(raw.filled().len()))
    }

    /// Has these bytes read first.
    fn put_back(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let rest = self.early.as_deref().unwrap_or_default();
            self.early = kept(&[bytes, rest].concat());
        }
    }

    /// Takes the next thing that was read, and answers control frames. A fault is remembered, and ends it.
    fn next(&mut self, raw: &mut [u8], at: &mut usize) -> Option<Read> {
        if self.fault.is_some() || self.is_closed {
            return None;
        }
        let read = match self.reader.next(raw, at) {
            Ok(read) => read,
            Err(fault) => {
                self.fault = Some(fault);
                return None;
            }
        };
        match &read {
            Read::Nothing => return None,
            Read::Ping(ping) => {
                self.pinged = true;
                self.writer.pong(ping.payload());
            }
            Read::Close(close) => {
                self.is_closed = true;
                self.writer.close(close.code());
            }
            Read::Payload(_) | Read::End | Read::Pong => {}
        }
        Some(read)
    }

    /// Moves the payload of binary messages to the front of what was read; returns how long it is.
    fn take_payload(&mut self, raw: &mut [u8]) -> usize {
        let (mut at, mut len) = (0, 0);
        while let Some(read) = self.next(raw, &mut at) {
            match read {
                Read::Payload(_) | Read::End if self.reader.is_text() => {
                    self.fault = Some(MessageFault::Text);
                }
                Read::Payload(range) => {
                    self.frames.follow(&raw[range.clone()]);
                    let end = len + range.len();
                    raw.copy_within(range, len);
                    len = end;
                }
                Read::End if self.frames.is_cut() => self.fault = Some(MessageFault::CutFrame),
                Read::End | Read::Ping(_) | Read::Pong | Read::Close(_) | Read::Nothing => {}
            }
        }
        len
    }

    /// The client has sent Close: its end is told when the answer has been written, behind the message that is under way.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_written(cx) {
            // Its owner writes the rest of the message.
            Poll::Ready(Ok(())) if !self.writer.has_closed() => Poll::Pending,
            // Nobody will read the answer.
            Poll::Ready(Ok(()) | Err(_)) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Discards input until the client's Close, or the end.
    fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..MAX_READS {
            let read = match self.is_closed {
                true => 0,
                false => ready!(self.poll_fill(cx, buf))?,
            };
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            let raw = &mut buf.initialize_unfilled()[..read];
            let mut at = 0;
            while self.next(raw, &mut at).is_some() {}
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.writer.poll_flush(&mut self.socket, cx))?;
        match self.socket.is_unflushed() {
            true => Pin::new(&mut self.socket).poll_flush(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_all<'a>(
        &mut self,
        slices: impl Iterator<Item = &'a [u8]>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(self.writer.poll_write(&mut self.socket, slices, cx))?;
        if self.is_closed {
            // Whoever reads waits for the end of this message.
            cx.waker().wake_by_ref();
        }
        // What cannot be written now is flushed by the caller.
        if let Poll::Ready(Err(error)) = self.poll_written(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing {
            return this.poll_discard(cx, buf);
        }
        for _ in 0..MAX_READS {
            if let Some(fault) = this.fault {
                return Poll::Ready(Err(io::Error::other(fault)));
            }
            if this.is_closed {
                return this.poll_end(cx);
            }
            let read = ready!(this.poll_fill(cx, buf))?;
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            let raw = &mut buf.initialize_unfilled()[..read];
            let payload = this.take_payload(raw);
            if payload > 0 {
                buf.advance(payload);
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_all(std::iter::once(bytes), cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = slices.iter().map(|slice| &**slice);
        self.get_mut().poll_write_all(slices, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_written(cx)
    }

    /// Sends the closing frame. The TCP connection stays: the client answers with its own.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closing {
            this.closing = true;
            // It says nothing more where the client has closed first.
            this.writer.close(Some(this.close_code));
        }
        this.poll_written(cx)
    }
}
