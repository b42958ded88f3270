//! The socket behind a handshake.
//!
//! Hot path: one write makes as few records as possible, and one read takes all records that have
//! arrived.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::net::partial::Partial;

/// Bytes that are taken before the network has taken them: two full records. Everything beyond waits
/// in an outbox, which is bounded and counted.
const UNSENT_BYTES: usize = 32 * 1024;
/// Bytes of a record that is written in part.
const RECORD_BYTES: usize = 16 * 1024;
/// Bytes by which the library's buffer for a record that has begun exceeds what has come of it.
const READ_BYTES: usize = 4 * 1024;

/// What an idle connection takes, its keys included, in KiB: measured, see docs/benchmarks.md.
pub const IDLE_KIB: u8 = 8;

/// A connection below TLS, which follows the records that come over it.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) socket: TcpStream,
    record: Partial,
    /// Bytes of whole records since the last read that has taken all there was.
    whole: usize,
}

impl Followed {
    /// Takes a connection from which `read` was read already.
    pub(super) fn new(socket: TcpStream, read: &[u8]) -> Followed {
        let (record, whole) = (Partial::default(), 0);
        let mut followed = Followed {
            socket,
            record,
            whole,
        };
        followed.follow(read);
        followed
    }

    pub(super) fn follow(&mut self, bytes: &[u8]) {
        let whole = &mut self.whole;
        self.record
            .follow(bytes, body_len, |_, body| *whole += body as usize);
    }
}

/// Returns the length of the record behind a header (RFC 8446, 5.1).
fn body_len(header: &[u8]) -> Option<u64> {
    let length = header.get(3..)?.first_chunk()?;
    Some(u64::from(u16::from_be_bytes(*length)))
}

/// A TCP connection with TLS on it.
#[derive(Debug)]
pub struct TlsSocket(TlsStream<Followed>);

impl TlsSocket {
    pub(super) fn new(mut stream: TlsStream<Followed>) -> TlsSocket {
        // These were the handshake's.
        stream.get_mut().0.whole = 0;
        match &mut stream {
            TlsStream::Client(stream) => stream.get_mut().1.set_buffer_limit(Some(UNSENT_BYTES)),
            TlsStream::Server(stream) => stream.get_mut().1.set_buffer_limit(Some(UNSENT_BYTES)),
        }
        TlsSocket(stream)
    }

    /// Returns the socket underneath.
    pub fn tcp_mut(&mut self) -> &mut TcpStream {
        &mut self.0.get_mut().0.socket
    }

    /// Returns true if the other side has shown a certificate, which was found to be good.
    pub fn is_certified(&self) -> bool {
        self.0.get_ref().1.peer_certificates().is_some()
    }

    /// Returns true if it holds bytes that the network has not taken, or records of its own.
    #[inline]
    pub fn is_unflushed(&self) -> bool {
        self.0.get_ref().1.wants_write()
    }

    /// Bytes of the buffers that the connection has.
    pub fn buffers(&self) -> usize {
        let unsent = match self.is_unflushed() {
            true => UNSENT_BYTES + RECORD_BYTES,
            false => 0,
        };
        let below = self.0.get_ref().0;
        let begun = match below.record.bytes() {
            0 => 0,
            bytes => bytes + READ_BYTES,
        };
        usize::from(IDLE_KIB) * 1024 + unsent + begun + below.whole
    }

    /// Counts what was decrypted and taken.
    fn count(&mut self, taken: usize, is_all: bool) {
        let whole = &mut self.0.get_mut().0.whole;
        *whole = match is_all {
            true => 0,
            false => whole.saturating_sub(taken),
        };
    }

    /// Reads bytes that are decrypted already.
    #[inline]
    fn read_decrypted(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            TlsStream::Client(stream) => io::Read::read(&mut stream.get_mut().1.reader(), bytes),
            TlsStream::Server(stream) => io::Read::read(&mut stream.get_mut().1.reader(), bytes),
        }
    }
}

/// Sends close_notify, as far as the network takes it at once, however the connection ends.
impl Drop for TlsSocket {
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        // Nobody is left who could do more about it.
        let _ = Pin::new(&mut self.0).poll_shutdown(&mut cx);
    }
}

impl AsyncRead for TlsSocket {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let Poll::Ready(read) = Pin::new(&mut this.0).poll_read(cx, buf) else {
            // Records that bring nothing for the reader are gone too.
            this.count(0, true);
            return Poll::Pending;
        };
        match read {
            // Frames say how long they are and sessions how they end: nothing can be cut off
            // unnoticed by a peer that goes without TLS's own farewell, as many do.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Poll::Ready(Ok(()));
            }
            Err(error) => return Poll::Ready(Err(error)),
            Ok(()) if buf.filled().len() == before => return Poll::Ready(Ok(())),
            Ok(()) => {}
        }
        // The library gives one record at a time; the others need no system call.
        let mut is_all = false;
        while buf.remaining() > 0 && !is_all {
            match this.read_decrypted(buf.initialize_unfilled()) {
                Ok(read) if read > 0 => buf.advance(read),
                // Nothing more, for now or for good; the next read says which.
                Ok(_) | Err(_) => is_all = true,
            }
        }
        this.count(buf.filled().len() - before, is_all);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsSocket {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

impl AsyncRead for Followed {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        this.follow(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Followed {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
