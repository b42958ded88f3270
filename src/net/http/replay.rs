//! A socket that is lent to actix-http: bytes that were read from it before are read again, and it comes
//! back when its borrower is dropped, by whatever path.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::socket::Socket;

/// The lent socket, with the bytes that were read from it before.
#[derive(Debug)]
pub(super) struct Replay {
    read: BytesMut,
    socket: Socket,
    home: Home,
}

/// The place that a lent socket comes back to.
#[derive(Debug, Clone, Default)]
pub(super) struct Home(Rc<Lent>);

#[derive(Debug, Default)]
struct Lent {
    socket: RefCell<Socket>,
    written: Cell<bool>,
}

impl Home {
    /// Takes the socket, which is there once its borrower is dropped.
    pub(super) fn take(&self) -> Socket {
        self.0.socket.borrow_mut().take()
    }

    /// Returns true if anything was written to it.
    pub(super) fn is_written(&self) -> bool {
        self.0.written.get()
    }
}

impl Replay {
    /// Prepends `read` to the input of `socket`.
    pub(super) fn new(read: BytesMut, socket: Socket) -> Replay {
        let home = Home::default();
        Replay { read, socket, home }
    }

    /// Returns the place where the socket will be when this is dropped.
    pub(super) fn home(&self) -> Home {
        self.home.clone()
    }

    /// Returns the bytes that were not read again, and the socket.
    pub(super) fn into_parts(mut self) -> (BytesMut, Socket) {
        (std::mem::take(&mut self.read), self.socket.take())
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        *self.home.0.socket.borrow_mut() = self.socket.take();
    }
}

impl AsyncRead for Replay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let n = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..n]);
        self.read.advance(n);
        if self.read.is_empty() {
            self.read = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.home.0.written.set(true);
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.home.0.written.set(true);
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
