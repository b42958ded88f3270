//! The client's side of a WebSocket as a stream of bytes: the frames of binary messages in, one binary
//! message for each frame out (protocol 1.6).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::codec::Decoded;
use crate::codec::client::{self, HEADER_LEN, MAX_SERVICE_LEN};
use crate::net::dial::Stream;

/// Messages of at least this many bytes are accepted whatever the longest payload is: several small
/// frames may share one.
const LEAST_MESSAGE_BYTES: usize = 16 * 1024;

pub(super) struct WebSocket {
    socket: WebSocketStream<Stream>,
    /// The rest of the last message.
    incoming: Bytes,
    /// The beginning of a frame that is being written.
    outgoing: BytesMut,
}

impl WebSocket {
    /// Makes the WebSocket handshake.
    pub(super) async fn connect(
        stream: Stream,
        host: &str,
        max_payload: u32,
    ) -> io::Result<WebSocket> {
        let largest = max_payload as usize + HEADER_LEN + MAX_SERVICE_LEN;
        let socket = stream
            .upgrade(host, largest.max(LEAST_MESSAGE_BYTES))
            .await?;
        Ok(WebSocket {
            socket,
            incoming: Bytes::new(),
            outgoing: BytesMut::new(),
        })
    }
}

/// Refuses a message that ends within a frame. One that holds something else than frames is left to
/// the codec above.
fn check_message(message: &[u8]) -> io::Result<()> {
    let mut rest = message;
    while !rest.is_empty() {
        match client::decode(rest, u32::MAX) {
            Ok(Decoded::Frame(_, used)) => rest = &rest[used..],
            Ok(Decoded::Need(_)) => {
                let error = "a WebSocket message ends within a frame";
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            Err(_) => break,
        }
    }
    Ok(())
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.incoming.is_empty() {
            match ready!(Pin::new(&mut this.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(message))) => {
                    check_message(&message)?;
                    this.incoming = message;
                }
                // PING, PONG and the closing handshake are the library's.
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed)) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let read = this.incoming.len().min(buf.remaining());
        buf.put_slice(&this.incoming[..read]);
        this.incoming.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    /// Takes all bytes; those of a frame that is not whole wait for the rest. The library queues what
    /// the socket does not take, so the writer waits in front of the next bytes.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.socket).poll_ready(cx)).map_err(io_error)?;
        this.outgoing.extend_from_slice(bytes);
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        while let Decoded::Frame(_, used) =
            client::decode(&this.outgoing, u32::MAX).map_err(invalid)?
        {
            let frame = this.outgoing.split_to(used).freeze();
            let message = Message::Binary(frame);
            let socket = Pin::new(&mut this.socket);
            socket.start_send(message).map_err(io_error)?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = Pin::new(&mut self.get_mut().socket);
        socket.poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = Pin::new(&mut self.get_mut().socket);
        socket.poll_close(cx).map_err(io_error)
    }
}
