//! A socket whose first bytes were read already: they are read again before the rest.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::socket::Socket;

/// The socket, and what was read of it.
#[derive(Debug)]
pub struct Replay {
    read: BytesMut,
    socket: Socket,
    home: Home,
}

/// Where a lent socket comes back to.
#[derive(Debug, Clone, Default)]
pub struct Home(Rc<Lent>);

#[derive(Debug, Default)]
struct Lent {
    socket: RefCell<Socket>,
    written: Cell<bool>,
}

impl Home {
    /// The socket, once whoever had it has dropped it.
    pub fn take(&self) -> Socket {
        self.0.socket.borrow_mut().take()
    }

    /// Whether anything was written to it.
    pub fn is_written(&self) -> bool {
        self.0.written.get()
    }
}

impl Replay {
    /// Has `read` come before what `socket` still brings.
    pub fn new(read: BytesMut, socket: Socket) -> Replay {
        let home = Home::default();
        Replay { read, socket, home }
    }

    /// Where the socket will be when this is dropped.
    pub fn home(&self) -> Home {
        self.home.clone()
    }

    /// The socket, and what has not been read again.
    pub fn into_parts(mut self) -> (BytesMut, Socket) {
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
