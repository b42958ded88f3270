//! A WebSocket as a stream of bytes: reading yields the whole frames of binary messages, writing sends
//! one binary message a frame (protocol 1.6). The library does control frames, fragmentation and masks.

mod counted;
mod frames;
mod limits;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt, Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};

use crate::codec::{Decoded, client};
use crate::memory;
use crate::net::socket::Socket;
use crate::session::closing::MessageFault;
use counted::Counted;
use frames::{frame_len, missing};
use limits::{WRITE_BUFFER_BYTES, limits};

/// Messages up to this many bytes leave a buffer behind that an idle WebSocket may keep.
const KEPT_BYTES: usize = 8 * 1024;

/// What an idle WebSocket takes, in KiB: measured, see docs/benchmarks.md.
const IDLE_KIB: u8 = 5;
/// Bytes of PONG that may wait for a client which does not read them; beyond it the client is not read either.
const MAX_PONG_BYTES: usize = 4 * 1024;
/// Bytes that the library reads of a message before its reader is asked whether it may read on: a message of 16 KiB with
/// its headers comes at once.
const INPUT_BYTES: usize = 20 * 1024;
/// Messages without payload for the session, such as PINGs, that one read takes before it yields.
const MAX_MESSAGES: usize = 64;

/// Returns the client's fault that a socket's error carries, or none if the error has another cause.
pub fn fault_of(error: &io::Error) -> Option<MessageFault> {
    error.get_ref()?.downcast_ref().copied()
}

/// The server's side of a WebSocket whose handshake is done.
#[derive(Debug)]
pub struct WebSocket {
    stream: WebSocketStream<Counted>,
    max_payload: u32,
    /// The library has had a message over [`KEPT_BYTES`].
    grown: bool,
    /// Bytes of the largest message, in and out.
    largest: (usize, usize),
    /// A PING has come since [`take_sign_of_life`](Self::take_sign_of_life).
    pinged: bool,
    /// Bytes of PONG that the library may not have written yet.
    pongs: usize,
    /// Further input cannot be parsed.
    broken: bool,
    /// Whole frames that have come and are not read yet.
    incoming: Bytes,
    /// Fault of the client, to be reported behind them.
    fault: Option<MessageFault>,
    /// The beginning of a frame that is being written.
    outgoing: BytesMut,
    /// The socket has not taken everything that was written.
    unflushed: bool,
    close_code: u16,
    closing: bool,
}

impl WebSocket {
    /// Returns the socket underneath.
    pub fn get_mut(&mut self) -> &mut Socket {
        &mut self.stream.get_mut().socket
    }

    /// Makes a WebSocket of a socket whose handshake is done; `read` was read behind it.
    pub async fn new(socket: Socket, read: Vec<u8>, max_payload: u32) -> WebSocket {
        let socket = Counted::new(socket, &read);
        let (server, limits) = (Role::Server, Some(limits(max_payload)));
        let stream = WebSocketStream::from_partially_read(socket, read, server, limits).await;
        WebSocket {
            stream,
            max_payload,
            grown: false,
            largest: (0, 0),
            pinged: false,
            pongs: 0,
            broken: false,
            incoming: Bytes::new(),
            fault: None,
            outgoing: BytesMut::new(),
            unflushed: false,
            close_code: 1000,
            closing: false,
        }
    }

    /// Returns the stream of messages underneath. Bytes that were read and not taken are lost.
    pub fn into_messages(mut self) -> WebSocketStream<Counted> {
        self.stream.get_mut().allow(usize::MAX);
        self.stream
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
    pub fn is_unflushed(&self) -> bool {
        self.unflushed
    }

    /// What of [`buffers`](Self::buffers) is there while nothing is under way, in KiB.
    pub fn idle_kib(&self) -> u8 {
        IDLE_KIB + self.stream.get_ref().socket.idle_kib()
    }

    /// Tells whether a part of a message has come, and the rest has not.
    pub fn lacks_rest(&self) -> bool {
        !self.stream.get_ref().is_parsed()
    }

    /// Bytes of the buffers that it has, of the socket underneath too. The library does not tell its own: they are
    /// as large as the largest message since it began, each way, or as what has come of one. Fragments are
    /// gathered in a buffer that doubles.
    pub fn buffers(&self) -> usize {
        let counted = self.stream.get_ref();
        let (fragments, frame) = counted.unparsed();
        let (input, output) = self.largest;
        let waiting = self.incoming.len() + self.outgoing.capacity();
        let unflushed = if self.unflushed {
            WRITE_BUFFER_BYTES
        } else {
            0
        };
        let library =
            usize::from(IDLE_KIB) * 1024 + input.max(frame) + 2 * fragments + output + unflushed;
        library + waiting + counted.socket.buffers()
    }

    /// Replaces the library's state, and with it the largest buffers that it ever needed, once it
    /// holds no part of a message and has written everything.
    fn poll_shrink(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.stream.get_ref().is_parsed() {
            return Poll::Pending;
        }
        ready!(self.poll_written(cx))?;
        self.renew();
        Poll::Ready(Ok(()))
    }

    /// Replaces the library's state.
    fn renew(&mut self) {
        let limits = Some(limits(self.max_payload));
        let mut socket = Counted::new(self.get_mut().take(), &[]);
        socket.allow(INPUT_BYTES);
        let fresh = WebSocketStream::from_raw_socket(socket, Role::Server, limits);
        if let Some(fresh) = fresh.now_or_never() {
            self.stream = fresh;
        }
        (self.grown, self.largest) = (false, (0, 0));
    }

    /// Makes the whole frames of a message readable.
    fn take_message(&mut self, mut message: Bytes) {
        self.grown |= message.len() > KEPT_BYTES;
        self.largest.0 = self.largest.0.max(message.len());
        let mut at = 0;
        while at < message.len() {
            match client::decode(&message[at..], self.max_payload) {
                Ok(Decoded::Frame(_, used)) => at += used,
                Ok(Decoded::Need(_)) => {
                    self.fault = Some(MessageFault::CutFrame);
                    message.truncate(at);
                }
                // The reader decodes the same bytes and answers with the right code.
                Err(_) => break,
            }
        }
        self.incoming = message;
    }

    /// Discards input until it ends.
    fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_written(cx))?;
        self.stream.get_mut().allow(INPUT_BYTES);
        while !self.broken {
            if self.lacks_rest() || memory::is_scarce() {
                // The library would gather what nobody wants.
                self.renew();
                self.broken = true;
                break;
            }
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) => self.broken = true,
                None => return Poll::Ready(Ok(())),
            }
        }
        Pin::new(self.get_mut()).poll_read(cx, buf)
    }

    /// Takes as much of `bytes` as there is room for, one message for each frame that is complete.
    fn take_bytes(&mut self, mut bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let all = bytes.len();
        while !bytes.is_empty() {
            match Pin::new(&mut self.stream).poll_ready(cx) {
                Poll::Ready(result) => result.map_err(io_error)?,
                Poll::Pending if bytes.len() == all => return Poll::Pending,
                Poll::Pending => break,
            }
            let frame = if self.outgoing.is_empty() && missing(bytes)? == 0 {
                let whole = Bytes::copy_from_slice(&bytes[..frame_len(bytes)?]);
                bytes.advance(whole.len());
                whole
            } else {
                let wanted = missing(&self.outgoing)?.min(bytes.len());
                self.outgoing.extend_from_slice(&bytes[..wanted]);
                bytes.advance(wanted);
                if missing(&self.outgoing)? > 0 {
                    continue;
                }
                std::mem::take(&mut self.outgoing).freeze()
            };
            self.grown |= frame.len() > KEPT_BYTES;
            self.largest.1 = self.largest.1.max(frame.len());
            let message = Message::Binary(frame);
            let stream = Pin::new(&mut self.stream);
            stream.start_send(message).map_err(io_error)?;
            self.unflushed = true;
        }
        Poll::Ready(Ok(all - bytes.len()))
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        (self.unflushed, self.pongs) = (false, 0);
        Poll::Ready(result.map_err(io_error))
    }

    fn poll_write_all<'a>(
        &mut self,
        slices: impl Iterator<Item = &'a [u8]>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut taken = 0;
        for slice in slices {
            match self.take_bytes(slice, cx)? {
                Poll::Ready(n) => {
                    taken += n;
                    if n < slice.len() {
                        break;
                    }
                }
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Err(error)) = self.poll_written(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::NotConnected.into(),
        Error::Capacity(_) => io::Error::other(MessageFault::TooLarge),
        Error::Protocol(ProtocolError::SendAfterClosing) => io::ErrorKind::BrokenPipe.into(),
        _ => io::Error::other(MessageFault::Malformed),
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
        this.stream
            .get_mut()
            .allow(buf.remaining().min(INPUT_BYTES));
        for _ in 0..MAX_MESSAGES {
            if this.pongs > MAX_PONG_BYTES {
                // The library would gather them without a bound.
                ready!(this.poll_written(cx))?;
            }
            if !this.incoming.is_empty() {
                let n = this.incoming.len().min(buf.remaining());
                buf.put_slice(&this.incoming.split_to(n));
                if this.incoming.is_empty() {
                    this.incoming = Bytes::new();
                }
                return Poll::Ready(Ok(()));
            }
            if let Some(fault) = this.fault {
                return Poll::Ready(Err(io::Error::other(fault)));
            }
            let next = match Pin::new(&mut this.stream).poll_next(cx) {
                Poll::Ready(next) => next,
                Poll::Pending if this.grown => {
                    ready!(this.poll_shrink(cx))?;
                    continue;
                }
                Poll::Pending => return Poll::Pending,
            };
            match next {
                Some(Ok(Message::Binary(message))) => this.take_message(message),
                Some(Ok(Message::Text(_))) => this.fault = Some(MessageFault::Text),
                // The library owes the answer to it, which a fresh state would not know.
                Some(Ok(Message::Close(_))) => this.grown = false,
                Some(Ok(Message::Ping(payload))) => {
                    this.pinged = true;
                    this.pongs += 2 + payload.len();
                    this.unflushed = true;
                }
                Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) | None => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => {
                    this.broken = true;
                    let error = io_error(error);
                    this.fault = fault_of(&error);
                    return Poll::Ready(Err(error));
                }
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
            ready!(Pin::new(&mut this.stream).poll_ready(cx)).map_err(io_error)?;
            this.closing = true;
            let frame = CloseFrame {
                code: this.close_code.into(),
                reason: "".into(),
            };
            // It fails where the client has closed first; then there is only the rest to flush.
            let _ = Pin::new(&mut this.stream).start_send(Message::Close(Some(frame)));
        }
        this.poll_written(cx)
    }
}
