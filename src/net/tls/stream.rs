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

/// Bytes that are taken before the network has taken them: two full records. Everything beyond waits
/// in an outbox, which is bounded and counted.
const UNSENT_BYTES: usize = 32 * 1024;

/// Bytes that an idle connection takes, its keys included: measured, see docs/benchmarks.md.
pub const IDLE_BYTES: usize = 8 * 1024;

/// A TCP connection with TLS on it.
#[derive(Debug)]
pub struct TlsSocket(TlsStream<TcpStream>);

impl TlsSocket {
    pub(super) fn new(mut stream: TlsStream<TcpStream>) -> TlsSocket {
        match &mut stream {
            TlsStream::Client(stream) => stream.get_mut().1.set_buffer_limit(Some(UNSENT_BYTES)),
            TlsStream::Server(stream) => stream.get_mut().1.set_buffer_limit(Some(UNSENT_BYTES)),
        }
        TlsSocket(stream)
    }

    /// Returns the socket underneath.
    pub fn tcp_mut(&mut self) -> &mut TcpStream {
        self.0.get_mut().0
    }

    /// Returns true if it holds bytes that the network has not taken, or records of its own.
    #[inline]
    pub fn is_unflushed(&self) -> bool {
        self.0.get_ref().1.wants_write()
    }

    /// Bytes of the buffers that the connection has.
    pub fn buffers(&self) -> usize {
        let unsent = if self.is_unflushed() { UNSENT_BYTES } else { 0 };
        IDLE_BYTES + unsent
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
        match ready!(Pin::new(&mut this.0).poll_read(cx, buf)) {
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
        while buf.remaining() > 0 {
            match this.read_decrypted(buf.initialize_unfilled()) {
                Ok(read) if read > 0 => buf.advance(read),
                // Nothing more, for now or for good; the next read says which.
                Ok(_) | Err(_) => break,
            }
        }
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
