//! A client's or a link's socket, which can be taken out of what it belongs to.
//!
//! Hot path.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::read_only::ReadOnly;
use super::tls::{self, TlsSocket};
use super::websocket::WebSocket;

/// The socket of a client or a link.
#[derive(Debug, Default)]
pub enum Socket {
    /// Frames directly on TCP.
    Tcp(TcpStream),
    /// Frames inside TLS.
    Tls(Box<TlsSocket>),
    /// Frames in WebSocket messages.
    WebSocket(Box<WebSocket>),
    /// In this process: the other end belongs to an HTTP request.
    Duplex(DuplexStream),
    /// A write has failed: what is written is dropped, and what is left is read.
    ReadOnly(Box<ReadOnly>),
    /// The socket was taken out.
    #[default]
    Taken,
}

impl Socket {
    /// Takes the socket out; reads and writes here fail from now on.
    pub fn take(&mut self) -> Socket {
        std::mem::replace(self, Socket::Taken)
    }

    /// Returns true if the socket holds written bytes back until it is flushed.
    #[inline]
    pub fn is_unflushed(&self) -> bool {
        match self {
            Socket::Tcp(_) | Socket::Duplex(_) | Socket::ReadOnly(_) | Socket::Taken => false,
            Socket::Tls(socket) => socket.is_unflushed(),
            Socket::WebSocket(socket) => socket.is_unflushed(),
        }
    }

    /// Bytes of the buffers that the socket has, those of the kernel aside.
    #[inline]
    pub fn buffers(&self) -> usize {
        match self {
            Socket::Tcp(_) | Socket::ReadOnly(_) | Socket::Taken => 0,
            Socket::Duplex(_) => 0, // Counted with the HTTP request.
            Socket::Tls(socket) => socket.buffers(),
            Socket::WebSocket(socket) => socket.buffers(),
        }
    }

    /// What of [`buffers`](Self::buffers) is there while nothing is under way, in KiB.
    pub fn idle_kib(&self) -> u8 {
        match self {
            Socket::Tcp(_) | Socket::ReadOnly(_) | Socket::Taken | Socket::Duplex(_) => 0,
            Socket::Tls(_) => tls::IDLE_KIB,
            Socket::WebSocket(socket) => socket.get_ref().idle_kib(),
        }
    }

    /// Tells whether a read may bring something: no where the event loop has seen nothing since the last read that was
    /// pending.
    #[inline]
    pub fn may_be_readable(&self) -> bool {
        match self {
            Socket::Tcp(socket) => socket.try_io(Interest::READABLE, || Ok(())).is_ok(),
            Socket::Tls(socket) => socket.may_be_readable(),
            Socket::WebSocket(socket) => socket.may_be_readable(),
            Socket::Duplex(_) | Socket::ReadOnly(_) | Socket::Taken => true,
        }
    }

    /// Tells whether a part of what the transport needs to go on has come, and the rest has not: of a record of TLS.
    pub fn lacks_rest(&self) -> bool {
        match self {
            Socket::Tls(socket) => socket.lacks_rest(),
            Socket::WebSocket(socket) => socket.get_ref().lacks_rest(),
            Socket::Tcp(_) | Socket::Duplex(_) | Socket::ReadOnly(_) | Socket::Taken => false,
        }
    }

    /// Registers a socket that comes from another thread with this thread's event loop.
    ///
    /// # Errors
    /// The system refuses another file descriptor.
    pub fn move_here(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => move_here(socket),
            Socket::Tls(socket) => move_here(socket.tcp_mut()),
            Socket::WebSocket(socket) => socket.get_mut().move_here(),
            Socket::ReadOnly(rest) => rest.socket_mut().move_here(),
            // No event loop watches it.
            Socket::Duplex(_) | Socket::Taken => Ok(()),
        }
    }

    /// Tells whether the remote end has shown life since the last call by something that is not read as
    /// bytes: a WebSocket PING.
    #[inline]
    pub fn take_sign_of_life(&mut self) -> bool {
        match self {
            Socket::WebSocket(socket) => socket.take_sign_of_life(),
            Socket::Tcp(_)
            | Socket::Tls(_)
            | Socket::Duplex(_)
            | Socket::ReadOnly(_)
            | Socket::Taken => false,
        }
    }

    /// Goes on after a write, a flush or a shutdown. One that has failed has succeeded with `done`, and the
    /// error comes behind what is left to be read.
    #[inline]
    fn written<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        done: impl FnOnce() -> T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(error)) if !matches!(self, Socket::Taken) => {
                let rest = ReadOnly::new(self.take(), error);
                *self = Socket::ReadOnly(Box::new(rest));
                // Its owner may have read all that there was before it wrote.
                cx.waker().wake_by_ref();
                Poll::Ready(Ok(done()))
            }
            result => result,
        }
    }

    /// Sets the code of the closing frame that a WebSocket sends when it is shut down.
    pub fn set_close_code(&mut self, code: u16) {
        if let Socket::WebSocket(socket) = self {
            socket.set_close_code(code);
        }
    }
}

/// Replaces the descriptor by a duplicate, because an event loop watches a descriptor until it is closed.
fn move_here(socket: &mut TcpStream) -> io::Result<()> {
    let second = SockRef::from(&*socket).try_clone()?;
    *socket = TcpStream::from_std(second.into())?;
    Ok(())
}

fn taken<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::Tls(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::WebSocket(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::Duplex(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::ReadOnly(rest) => rest.poll_read(cx, buf),
            Socket::Taken => taken(),
        }
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = match this {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::Tls(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::WebSocket(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::Duplex(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::ReadOnly(_) => Poll::Ready(Ok(bytes.len())),
            Socket::Taken => taken(),
        };
        this.written(result, || bytes.len(), cx)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = match this {
            Socket::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Socket::Tls(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Socket::WebSocket(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Socket::Duplex(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Socket::ReadOnly(_) => Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum())),
            Socket::Taken => taken(),
        };
        let all = || slices.iter().map(|slice| slice.len()).sum();
        this.written(result, all, cx)
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Socket::Tcp(_) | Socket::Tls(_) | Socket::WebSocket(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = match this {
            Socket::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_flush(cx),
            Socket::WebSocket(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Duplex(socket) => Pin::new(socket).poll_flush(cx),
            Socket::ReadOnly(_) => Poll::Ready(Ok(())),
            Socket::Taken => taken(),
        };
        this.written(result, || (), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = match this {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::WebSocket(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Duplex(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::ReadOnly(_) => Poll::Ready(Ok(())),
            Socket::Taken => taken(),
        };
        this.written(result, || (), cx)
    }
}
