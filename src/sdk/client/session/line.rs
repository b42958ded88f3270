//! A connection: bytes out as the socket takes them, whole frames in.

use std::io;
use std::pin::Pin;

use actix_codec::Decoder;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

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

/// Bytes on their way to a connection.
struct Out {
    write: WriteHalf<Box<dyn Io>>,
    queue: BytesMut,
    unflushed: bool,
}

impl Out {
    fn is_done(&self) -> bool {
        self.queue.is_empty() && !self.unflushed
    }

    /// Writes some of it and returns how many bytes, or flushes what is written: 0. Cancelling it
    /// loses nothing.
    async fn write(&mut self) -> io::Result<usize> {
        if self.queue.is_empty() {
            self.write.flush().await?;
            self.unflushed = false;
            return Ok(0);
        }
        let wrote = self.write.write_buf(&mut self.queue).await?;
        self.unflushed = true;
        if wrote == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(wrote)
    }
}

/// A step of a connection.
pub(super) enum Step {
    Frame(ClientFrame),
    /// So many bytes of the queue were written.
    Wrote(usize),
    /// The other end has ended it.
    End,
}

/// A connection as frames in and bytes out.
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

    /// Queues whole frames.
    pub(super) fn push(&mut self, frames: &[u8]) {
        self.out.queue.extend_from_slice(frames);
    }

    /// Writes what is queued and reads, unless `may_read` is false, until one step is done. Cancelling
    /// it loses nothing.
    pub(super) async fn next(&mut self, may_read: bool) -> Result<Step, StreamError> {
        loop {
            if may_read && let Some(frame) = self.codec.decode(&mut self.inbox)? {
                return Ok(Step::Frame(frame));
            }
            self.inbox.reserve(READ_BYTES);
            tokio::select! {
                wrote = self.out.write(), if !self.out.is_done() => match wrote? {
                    0 => {}
                    wrote => return Ok(Step::Wrote(wrote)),
                },
                read = self.read.read_buf(&mut self.inbox), if may_read => {
                    if read? == 0 {
                        return Ok(Step::End);
                    }
                }
                // Nothing to do until it is asked anew.
                () = std::future::pending(), if !may_read && self.out.is_done() => {}
            }
        }
    }
}
