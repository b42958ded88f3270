//! One connection: bytes out as the socket takes them, whole frames in.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use actix_codec::Decoder;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use crate::codec::client::{self, Header, Kind};
use crate::codec::framed::{ClientCodec, ClientFrame, StreamError};

/// Bytes that one read takes, a large frame's rest aside.
const READ_BYTES: usize = 16 * 1024;

/// A connection that carries frames: TCP itself, or what is made of it.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// Makes connections to the deployment: each call one, to whatever gateway it reaches.
pub type Connect = Box<dyn Fn() -> Connecting + Send>;

/// Connects over TCP to `host:port`.
pub fn tcp(address: impl Into<String>) -> Connect {
    let address = address.into();
    Box::new(move || {
        let address = address.clone();
        Box::pin(async move {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Ok(Box::new(socket) as Box<dyn Io>)
        })
    })
}

/// What is to be written to a connection.
struct Out {
    write: WriteHalf<Box<dyn Io>>,
    queue: BytesMut,
    unflushed: bool,
}

impl Out {
    fn is_done(&self) -> bool {
        self.queue.is_empty() && !self.unflushed
    }

    /// Writes some of it, or flushes what is written. Cancelling it loses nothing.
    async fn write(&mut self) -> io::Result<()> {
        if self.queue.is_empty() {
            self.write.flush().await?;
            self.unflushed = false;
        } else {
            self.write.write_buf(&mut self.queue).await?;
            self.unflushed = true;
        }
        Ok(())
    }
}

/// A connection in use.
pub(super) struct Line {
    read: ReadHalf<Box<dyn Io>>,
    out: Out,
    inbox: BytesMut,
    codec: ClientCodec,
}

impl Line {
    pub(super) fn new(io: Box<dyn Io>, max_payload: u32) -> Line {
        let (read, write) = tokio::io::split(io);
        Line {
            read,
            out: Out {
                write,
                queue: BytesMut::new(),
                unflushed: false,
            },
            inbox: BytesMut::new(),
            codec: ClientCodec { max_payload },
        }
    }

    /// Bytes that are not written yet.
    pub(super) fn queued(&self) -> usize {
        self.out.queue.len()
    }

    /// Queues whole frames.
    pub(super) fn push(&mut self, frame: &[u8]) {
        self.out.queue.extend_from_slice(frame);
    }

    /// Queues a frame of the session's own.
    pub(super) fn push_kind(&mut self, kind: Kind, session_id: u64, payload: &[u8]) {
        let header = Header {
            kind: kind as u8,
            session_id,
            ..Header::default()
        };
        let mut frame = Vec::new();
        client::encode(&mut frame, &header, "", payload);
        self.push(&frame);
    }

    /// Writes what is queued until a frame has come, or the end: `None`. Does not read unless
    /// `may_read`. Cancelling it loses nothing.
    pub(super) async fn next(
        &mut self,
        may_read: bool,
    ) -> Result<Option<ClientFrame>, StreamError> {
        loop {
            if may_read && let Some(frame) = self.codec.decode(&mut self.inbox)? {
                return Ok(Some(frame));
            }
            self.inbox.reserve(READ_BYTES);
            tokio::select! {
                wrote = self.out.write(), if !self.out.is_done() => wrote?,
                read = self.read.read_buf(&mut self.inbox), if may_read => {
                    if read? == 0 {
                        return Ok(None);
                    }
                }
                // Nothing to do until it is asked anew.
                () = std::future::pending(), if !may_read && self.out.is_done() => {}
            }
        }
    }

    /// Writes what is queued, ends the sending side, and waits for the other end, all within
    /// `patience`.
    pub(super) async fn end(mut self, patience: Duration) {
        let ending = async {
            while !self.out.is_done() {
                self.out.write().await?;
            }
            self.out.write.shutdown().await?;
            tokio::io::copy(&mut self.read, &mut tokio::io::sink()).await
        };
        // Whether it was heard or not, this side is done.
        let _ = tokio::time::timeout(patience, ending).await;
    }
}
