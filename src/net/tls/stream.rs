//! The socket behind a handshake.
//!
//! Hot path: one read takes all records that have come, into a buffer of the thread, and one write makes as few
//! records as possible. A connection has buffers of its own only for records of which a part is still to come, or to go.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use rustls::Error;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::records::{RECORD_BYTES, Records, Sealed, USUAL_EXPANSION_BYTES, room_for};
use crate::codec::buffers::SCRATCH_BYTES;

/// Bytes that are taken before the network has taken them: two full records. Everything beyond waits
/// in an outbox, which is bounded and counted.
const UNSENT_BYTES: usize = 32 * 1024;
/// Bytes that a read takes beyond those that its caller has room for: headers and tags. What comes with them is kept.
const EXTRA_BYTES: usize = 8 * USUAL_EXPANSION_BYTES;
/// Bytes of the buffer that sockets are read into: behind what has begun, as much as a caller takes at once.
const INCOMING_BYTES: usize = RECORD_BYTES + SCRATCH_BYTES + EXTRA_BYTES;

/// What an idle connection takes, its keys included, in KiB: measured, see docs/benchmarks.md.
pub const IDLE_KIB: u8 = 4;

thread_local! {
    static INCOMING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static OUTGOING: RefCell<Outgoing> = const { RefCell::new(Outgoing::new()) };
}

/// What one write encrypts, and that encrypted.
struct Outgoing {
    gathered: Vec<u8>,
    sealed: Vec<u8>,
}

impl Outgoing {
    const fn new() -> Outgoing {
        Outgoing {
            gathered: Vec::new(),
            sealed: Vec::new(),
        }
    }
}

/// How the other side has ended what it sends.
#[derive(Debug)]
enum End {
    Open,
    Ended,
    Failed(Box<Error>),
}

/// A TCP connection with TLS on it.
#[derive(Debug)]
pub struct TlsSocket {
    socket: TcpStream,
    records: Records,
    /// Read, and not whole: at most a record. Messages of a handshake are short behind it, and may not take more.
    begun: Vec<u8>,
    /// Decrypted beyond what the reader had room for.
    excess: Bytes,
    /// Encrypted, and not taken by the network.
    unsent: Vec<u8>,
    end: End,
    /// Nothing more is sent.
    is_shut: bool,
}

impl TlsSocket {
    /// Takes a connection behind its handshake, which has read this much more of records, and that in whole ones.
    pub(super) fn new(
        socket: TcpStream,
        records: Records,
        begun: &[u8],
        plain: Vec<u8>,
        is_ended: bool,
    ) -> TlsSocket {
        TlsSocket {
            socket,
            records,
            begun: begun.to_vec(),
            excess: plain.into(),
            unsent: Vec::new(),
            end: if is_ended { End::Ended } else { End::Open },
            is_shut: false,
        }
    }

    /// Returns the socket underneath.
    pub fn tcp_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Returns true if the other side has shown a certificate, which was found to be good.
    pub fn is_certified(&self) -> bool {
        self.records.common().peer_certificates().is_some()
    }

    /// Returns true if it holds bytes that the network has not taken.
    #[inline]
    pub fn is_unflushed(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Tells whether a read may bring something, as [`Socket::may_be_readable`](crate::net::socket::Socket) does.
    #[inline]
    pub(in crate::net) fn may_be_readable(&self) -> bool {
        !self.excess.is_empty()
            || !matches!(self.end, End::Open)
            || self.socket.try_io(Interest::READABLE, || Ok(())).is_ok()
    }

    /// Tells whether a part of a record has come, and the rest has not.
    pub(in crate::net) fn lacks_rest(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Bytes of the buffers that the connection has.
    pub fn buffers(&self) -> usize {
        let own = self.begun.capacity() + self.excess.len() + self.unsent.capacity();
        usize::from(IDLE_KIB) * 1024 + own
    }

    /// Reads once, and decrypts what is whole.
    fn poll_records(
        &mut self,
        incoming: &mut [u8],
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let begun = self.begun.len();
        let room = buf.remaining() + EXTRA_BYTES;
        let end = incoming.len().min(begun + room);
        let mut raw = ReadBuf::new(&mut incoming[begun..end]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut raw))?;
        let read = raw.filled().len();
        if read == 0 {
            // Frames say how long they are and sessions how they end: nothing can be cut off unnoticed by a peer that
            // goes without TLS's own farewell, as many do.
            self.end = End::Ended;
            return Poll::Ready(Ok(()));
        }
        let incoming = &mut incoming[..begun + read];
        incoming[..begun].copy_from_slice(&self.begun);
        let mut excess = Vec::new();
        let taken = self.records.take(incoming, &mut self.unsent, |bytes| {
            let (fits, rest) = bytes.split_at(bytes.len().min(buf.remaining()));
            buf.put_slice(fits);
            excess.extend_from_slice(rest);
        });
        self.excess = excess.into();
        self.begun.clear();
        match taken {
            Ok(taken) => {
                let begun = &incoming[taken.bytes..];
                if taken.is_ended {
                    self.end = End::Ended;
                } else if begun.len() > RECORD_BYTES {
                    self.fail(Error::General("a message is too long".into()));
                } else {
                    self.begun.reserve_exact(begun.len());
                    self.begun.extend_from_slice(begun);
                }
            }
            Err(error) => self.fail(error),
        }
        if self.begun.is_empty() {
            self.begun = Vec::new();
        }
        // Nobody else sends what has to be said about records.
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn fail(&mut self, error: Error) {
        self.begun = Vec::new();
        self.end = End::Failed(Box::new(error));
    }

    /// Sends what is encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.drain(..sent);
            if self.unsent.is_empty() {
                self.unsent = Vec::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts `plain` and sends as much of it as the network takes at once; the rest is unsent.
    fn send(
        &mut self,
        what: Sealed<'_>,
        room: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        room.resize(room_for(UNSENT_BYTES), 0);
        let sealed = self.records.seal(what, &mut self.begun, room);
        let sealed = sealed.map_err(io::Error::other)?;
        let sent = match self.unsent.is_empty() {
            true => Pin::new(&mut self.socket).poll_write(cx, &room[..sealed]),
            // What has to be said about the records of the other side may be there still.
            false => Poll::Pending,
        };
        let sent = match sent {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        self.unsent.extend_from_slice(&room[sent..sealed]);
        Ok(())
    }
}

/// Sends close_notify, as far as the network takes it at once, however the connection ends.
impl Drop for TlsSocket {
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        // Nobody is left who could do more about it.
        let _ = Pin::new(self).poll_shutdown(&mut cx);
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
        while buf.remaining() > 0 && buf.filled().len() == before {
            if this.excess.has_remaining() {
                let fits = this.excess.len().min(buf.remaining());
                buf.put_slice(&this.excess.split_to(fits));
                break;
            }
            match &this.end {
                End::Open => {}
                End::Ended => break,
                End::Failed(error) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, error.clone());
                    return Poll::Ready(Err(error));
                }
            }
            ready!(INCOMING.with_borrow_mut(|incoming| {
                incoming.resize(INCOMING_BYTES, 0);
                this.poll_records(incoming, cx, buf)
            }))?;
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
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        if this.is_shut || matches!(this.end, End::Failed(_)) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        OUTGOING.with_borrow_mut(|Outgoing { gathered, sealed }| {
            let plain = match slices {
                [all] => &all[..all.len().min(UNSENT_BYTES)],
                several => {
                    gathered.clear();
                    for slice in several {
                        let fits = slice.len().min(UNSENT_BYTES - gathered.len());
                        gathered.extend_from_slice(&slice[..fits]);
                    }
                    gathered
                }
            };
            this.send(Sealed::Data(plain), sealed, cx)?;
            Poll::Ready(Ok(plain.len()))
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // An alert is the last thing that is said.
        if !this.is_shut && !matches!(this.end, End::Failed(_)) {
            let sealed = OUTGOING
                .with_borrow_mut(|outgoing| this.send(Sealed::Farewell, &mut outgoing.sealed, cx));
            this.is_shut = true;
            sealed?;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
