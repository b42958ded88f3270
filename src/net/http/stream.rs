//! The socket of an HTTP connection with the bytes that were read from it and not yet taken.
//!
//! Input is read into the thread's scratch buffer, so a connection owns what has come and nothing
//! beyond it: an idle one owns no buffer at all. Nothing is read ahead but a part of the next request
//! ([`LOOKAHEAD_BYTES`]), nothing at all while there is no room for it in the budget of memory, and an answer is written whole before anything more is read, so a client that
//! does not read its answers is not read either.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::io::poll_write_buf;

use crate::codec::buffers;
use crate::memory::{self, Evictable, Part, Share};
use crate::net::socket::Socket;

/// Bytes of the next request that are read while one is being answered, which shows that a client is
/// gone.
const LOOKAHEAD_BYTES: usize = 4 * 1024;

/// Time between two looks at whether there is room for more.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// So many connections look in that time; where more wait, each looks less often.
const LOOKS: u32 = 1024;
/// Longest time between two looks, in [`PAUSE`]s.
const LONGEST_PAUSE: u32 = 40;

thread_local! {
    /// Connections that wait for room.
    static WAITING: Cell<u32> = const { Cell::new(0) };
}

/// A time in which a connection waits for room.
struct Pause(Pin<Box<Sleep>>);

impl Pause {
    fn new() -> Pause {
        let others = WAITING.get();
        WAITING.set(others + 1);
        let pauses = (1 + others / LOOKS).min(LONGEST_PAUSE);
        Pause(Box::pin(sleep(PAUSE * pauses)))
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        // Where the thread ends nobody counts.
        let _ = WAITING.try_with(|waiting| waiting.set(waiting.get() - 1));
    }
}

pub(crate) struct Stream {
    socket: Socket,
    /// Bytes that were read and not taken.
    pub(super) read: BytesMut,
    held: Share,
    /// The request under way, where that can be ended for want of memory.
    request: Option<Rc<Evictable>>,
    /// The client has shut its sending side down. It may still read.
    ended: bool,
    /// Until when there was no room for what would be read.
    pause: Option<Pause>,
}

impl Stream {
    /// Makes a stream of a socket from which `read` was read already.
    pub(crate) fn new(socket: Socket, read: BytesMut) -> Stream {
        let mut stream = Stream {
            socket,
            read,
            held: Share::new(Part::Http, 0, None),
            request: None,
            ended: false,
            pause: None,
        };
        stream.count();
        stream
    }

    /// Returns the bytes that were read and not taken, and the socket.
    pub(super) fn into_parts(self) -> (BytesMut, Socket) {
        (self.read, self.socket)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        if memory::is_scarce() {
            ready!(self.poll_room(cx, room));
        }
        let (socket, read) = (Pin::new(&mut self.socket), &mut self.read);
        let polled = buffers::with_scratch(|scratch| {
            let room = room.min(scratch.len());
            let mut buf = ReadBuf::new(&mut scratch[..room]);
            ready!(socket.poll_read(cx, &mut buf))?;
            read.extend_from_slice(buf.filled());
            Poll::Ready(Ok::<usize, io::Error>(buf.filled().len()))
        });
        // A socket may keep what has come and brings nothing yet: a part of a record of TLS.
        self.count();
        let count = ready!(polled)?;
        self.ended = count == 0;
        Poll::Ready(Ok(count))
    }

    /// Waits for room for what would be read.
    #[cold]
    fn poll_room(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.0.as_mut().poll(cx));
                self.pause = None;
            }
            // It doubles.
            let room = room.min(buffers::SCRATCH_BYTES);
            if memory::admits(room.max(self.read.capacity())) {
                return Poll::Ready(());
            }
            self.pause = Some(Pause::new());
        }
    }

    /// From now on what is held counts as `request`'s.
    pub(super) fn begin_request(&mut self, request: Evictable) {
        self.request = Some(Rc::new(request));
        self.held = self.hold(0);
        self.count();
    }

    /// The request is over.
    pub(super) fn end_request(&mut self) {
        self.request = None;
        self.held = self.hold(0);
        self.count();
    }

    /// The request under way, where that can be ended for want of memory.
    pub(super) fn request(&self) -> Option<Rc<Evictable>> {
        self.request.clone()
    }

    /// Counts bytes that the request under way holds beside the connection's own.
    pub(super) fn hold(&self, bytes: usize) -> Share {
        Share::new(Part::Http, bytes, self.request.clone())
    }

    /// Counts the memory that the connection holds.
    fn count(&mut self) {
        self.held.set(self.read.capacity() + self.socket.buffers());
    }

    /// Reads once, at most `room` bytes. Returns how many; 0 at the end of the input.
    ///
    /// # Errors
    /// The connection failed.
    pub(super) async fn more(&mut self, room: usize) -> io::Result<usize> {
        poll_fn(|cx| self.poll_more(cx, room)).await
    }

    /// Skips empty lines (RFC 9112, 2.2) until something else has come, or a part of a record of TLS, which holds it. Returns
    /// false at the end of the input.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) async fn begins(&mut self, room: usize) -> io::Result<bool> {
        loop {
            let blank = |b: &&u8| matches!(b, b'\r' | b'\n');
            let blanks = self.read.iter().take_while(blank).count();
            self.read.advance(blanks);
            if !self.read.is_empty() {
                return Ok(true);
            }
            self.free();
            let more = poll_fn(|cx| match self.poll_more(cx, room) {
                Poll::Pending if self.socket.lacks_rest() => Poll::Ready(Ok(None)),
                polled => polled.map_ok(Some),
            });
            match more.await? {
                None => return Ok(true),
                Some(0) => return Ok(false),
                Some(_) => {}
            }
        }
    }

    /// Frees the buffer, except for the bytes that are still to be taken.
    pub(crate) fn free(&mut self) {
        self.read = match self.read.is_empty() {
            true => BytesMut::new(),
            false => BytesMut::from(&self.read[..]),
        };
        self.count();
    }

    /// Completes when the connection fails.
    pub(crate) async fn fails(&mut self) {
        poll_fn(|cx| {
            while !self.ended && self.read.len() < LOOKAHEAD_BYTES {
                let room = LOOKAHEAD_BYTES - self.read.len();
                if ready!(self.poll_more(cx, room)).is_err() {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// Completes when the connection fails or its input ends: nobody is there any more for an answer without an end.
    /// What comes meanwhile is discarded. A failing write does not tell: it counts as done, so that input is read.
    pub(crate) async fn is_left(&mut self) {
        poll_fn(|cx| {
            while !self.ended {
                if ready!(self.poll_more(cx, LOOKAHEAD_BYTES)).is_err() {
                    return Poll::Ready(());
                }
                self.read.clear();
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Writes a head and the body behind it.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) async fn write(&mut self, head: &[u8], body: Bytes) -> io::Result<()> {
        let held = head.len() + body.len();
        self.send(&mut head.chain(body), held).await?;
        poll_fn(|cx| {
            let flushed = Pin::new(&mut self.socket).poll_flush(cx);
            self.held.set(self.read.capacity() + self.socket.buffers());
            flushed
        })
        .await
    }

    /// Hands all of `bytes` to the socket. They are counted until then, as `held`.
    async fn send(&mut self, bytes: &mut impl Buf, held: usize) -> io::Result<()> {
        let _held = self.hold(held);
        while bytes.has_remaining() {
            let written = poll_fn(|cx| {
                let written = poll_write_buf(Pin::new(&mut self.socket), cx, bytes);
                // TLS gathers records.
                self.held.set(self.read.capacity() + self.socket.buffers());
                written
            });
            if written.await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Shuts the connection down and reads on for `linger`, so that no reset overtakes the last
    /// response.
    pub(crate) async fn part(mut self, linger: Duration) {
        self.read = BytesMut::new();
        let parting = async {
            if self.socket.shutdown().await.is_ok() {
                // However the input ends, the connection is over.
                while matches!(self.more(buffers::SCRATCH_BYTES).await, Ok(1..)) {
                    self.read.clear();
                    self.free();
                }
            }
        };
        // After it the connection is closed even if the client still sends.
        let _ = timeout(linger, parting).await;
    }
}
