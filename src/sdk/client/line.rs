//! A connection as frames, whatever carries them.

use std::collections::VecDeque;
use std::io;

use actix_codec::{Decoder as _, Encoder as _, Framed};
use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::codec::client::{HEADER_LEN, MAX_SERVICE_LEN};
use crate::codec::framed::{ClientCodec, ClientFrame, StreamError};
use crate::net::dial::Stream;

/// Messages of at least this many bytes are taken whatever the longest payload is: several small
/// frames may share one.
const LEAST_MESSAGE_BYTES: usize = 16 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) enum Line {
    Bytes(Box<Framed<Stream, ClientCodec>>),
    Messages(Box<Messages>),
}

/// A WebSocket.
#[derive(Debug)]
pub(super) struct Messages {
    socket: WebSocketStream<Stream>,
    codec: ClientCodec,
    /// The rest of the last message.
    waiting: VecDeque<ClientFrame>,
}

impl Line {
    pub(super) fn bytes(stream: Stream, codec: ClientCodec) -> Line {
        Line::Bytes(Box::new(Framed::new(stream, codec)))
    }

    /// Makes the WebSocket handshake.
    pub(super) async fn messages(
        stream: Stream,
        host: &str,
        codec: ClientCodec,
    ) -> io::Result<Line> {
        let largest = codec.max_payload as usize + HEADER_LEN + MAX_SERVICE_LEN;
        let socket = stream
            .upgrade(host, largest.max(LEAST_MESSAGE_BYTES))
            .await?;
        Ok(Line::Messages(Box::new(Messages {
            socket,
            codec,
            waiting: VecDeque::new(),
        })))
    }

    /// The next frame; `None` where the connection has ended. Cancelling this loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<ClientFrame, StreamError>> {
        match self {
            Line::Bytes(framed) => framed.next().await,
            Line::Messages(messages) => messages.next().await,
        }
    }

    pub(super) async fn send(&mut self, frame: ClientFrame) -> Result<(), StreamError> {
        match self {
            Line::Bytes(framed) => framed.send(frame).await,
            Line::Messages(messages) => {
                let mut bytes = BytesMut::new();
                messages.codec.encode(frame, &mut bytes)?;
                let message = Message::Binary(bytes.freeze());
                messages.socket.send(message).await.map_err(failed)
            }
        }
    }
}

impl Messages {
    async fn next(&mut self) -> Option<Result<ClientFrame, StreamError>> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Some(Ok(frame));
            }
            match self.socket.next().await? {
                Ok(Message::Binary(bytes)) => {
                    if let Err(error) = self.take(BytesMut::from(&bytes[..])) {
                        return Some(Err(error));
                    }
                }
                // PING, PONG and the closing handshake are the library's.
                Ok(_) => {}
                Err(Error::ConnectionClosed) => return None,
                Err(error) => return Some(Err(failed(error))),
            }
        }
    }

    fn take(&mut self, mut bytes: BytesMut) -> Result<(), StreamError> {
        while let Some(frame) = self.codec.decode(&mut bytes)? {
            self.waiting.push_back(frame);
        }
        if bytes.is_empty() {
            Ok(())
        } else {
            let cut = io::Error::new(io::ErrorKind::InvalidData, "a message ends within a frame");
            Err(cut.into())
        }
    }
}

fn failed(error: Error) -> StreamError {
    match error {
        Error::Io(error) => error.into(),
        other => io::Error::other(other).into(),
    }
}
