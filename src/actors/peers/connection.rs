//! One connection to another gateway: the handshake, and then sealed frames both ways.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::{Peers, Shared};
use crate::codec::peer::PeerGateway;
use crate::codec::peer::wire::{MAX_FRAME_BYTES, PeerFrame};
use crate::net::path::fail_when_dead;
use crate::net::peer::{self, HandshakeError, Hello, Opener, Sealer};
use crate::supervision::CountedAddr;

/// Bytes that may wait to be written to one gateway, a last frame aside.
const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;
/// Bytes that sealing adds at most.
const SEAL_BYTES: usize = 64;
/// Time for reading what has come on a connection that cannot be written any more.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Pause of accepting after it has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Somebody has connected.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Accepted(pub(super) TcpStream);

/// The other end has proved that it belongs to the deployment.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Joined {
    pub(super) connection: u64,
    pub(super) at: PeerGateway,
}

/// A frame has come.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Arrived {
    pub(super) connection: u64,
    pub(super) frame: PeerFrame,
}

/// The connection is over, or is to be.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Lost {
    pub(super) connection: u64,
    pub(super) error: Option<String>,
}

/// The writing end of a connection. Dropped, it ends the connection.
pub(super) struct Wire {
    frames: Option<mpsc::UnboundedSender<Vec<u8>>>,
    /// Bytes that wait; the sum bounds the channel.
    queued: Arc<AtomicUsize>,
    ended: Option<oneshot::Receiver<()>>,
    /// Dropped, it ends the connection whatever it is at.
    _alive: oneshot::Sender<()>,
}

impl Wire {
    /// `false`: too much waits already.
    pub(super) fn write(&self, frame: Vec<u8>) -> bool {
        let queued = self.queued.fetch_add(frame.len(), Ordering::Relaxed);
        let Some(frames) = &self.frames else {
            return true; // The process ends; those who wait learn it from the lost connection.
        };
        queued < MAX_QUEUED_BYTES && frames.send(frame).is_ok()
    }

    /// Nothing more is written. Resolves when all that was is.
    pub(super) fn finish(&mut self) -> impl Future<Output = ()> + use<> {
        self.frames = None;
        let ended = self.ended.take();
        async move {
            if let Some(ended) = ended {
                let _ = ended.await;
            }
        }
    }
}

/// State of a connection's own task.
struct Line {
    number: u64,
    shared: Shared,
    own: CountedAddr<Peers>,
    frames: mpsc::UnboundedReceiver<Vec<u8>>,
    queued: Arc<AtomicUsize>,
}

/// Takes connections, for as long as the actor lives.
pub(super) async fn accept(shared: Shared, own: CountedAddr<Peers>) {
    let listener = (shared.listener.try_clone()).and_then(tokio::net::TcpListener::from_std);
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the peer channel cannot be listened on"),
    };
    loop {
        match listener.accept().await {
            // One after the other: a herd waits in the kernel's queue.
            Ok((stream, _)) => drop(own.send(Accepted(stream)).await),
            Err(error) => {
                tracing::debug!(%error, "the peer channel cannot accept");
                actix::clock::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn tune(stream: &TcpStream, line: &Line) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let dead_after = line.shared.config.listen.dead_after;
    fail_when_dead(SockRef::from(stream), dead_after)
}

/// Dials another gateway.
pub(super) fn dial(number: u64, to: PeerGateway, shared: &Shared, own: CountedAddr<Peers>) -> Wire {
    start(number, shared, own, |line| async move {
        let mut stream = TcpStream::connect(&*to.address).await?;
        tune(&stream, &line)?;
        let (keys, hello) = line.hello();
        let (sealer, opener, other) = peer::call(&mut stream, &keys, hello).await?;
        line.join(other).await;
        Ok((line, stream, sealer, opener))
    })
}

/// Answers a gateway that has dialled.
pub(super) fn answer(
    number: u64,
    mut stream: TcpStream,
    shared: &Shared,
    own: CountedAddr<Peers>,
) -> Wire {
    start(number, shared, own, |line| async move {
        tune(&stream, &line)?;
        let (keys, hello) = line.hello();
        let (sealer, opener, other) = peer::answer(&mut stream, &keys, hello).await?;
        line.join(other).await;
        Ok((line, stream, sealer, opener))
    })
}

/// Starts the task of a connection whose handshake is `begin`, and which must be over in time.
fn start<F, B>(number: u64, shared: &Shared, own: CountedAddr<Peers>, begin: F) -> Wire
where
    F: FnOnce(Line) -> B,
    B: Future<Output = Result<(Line, TcpStream, Sealer, Opener), HandshakeError>> + 'static,
{
    let (sender, frames) = mpsc::unbounded_channel();
    let (alive, gone) = oneshot::channel::<()>();
    let (end, ended) = oneshot::channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let line = Line {
        number,
        shared: shared.clone(),
        own: own.clone(),
        frames,
        queued: Arc::clone(&queued),
    };
    let (counts, begun) = (Arc::clone(&shared.counts), begin(line));
    let patience = shared.config.backend.connect_timeout;
    actix::spawn(async move {
        let carry = async {
            let begun = actix::clock::timeout(patience, begun).await;
            let begun =
                begun.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
            match begun {
                Ok((line, stream, sealer, opener)) => line.carry(stream, sealer, opener).await,
                Err(error) => {
                    counts.failed(error.failure());
                    Err(error.to_string())
                }
            }
        };
        let error = tokio::select! {
            result = carry => result.err(),
            _ = gone => None,
        };
        let _ = own
            .send(Lost {
                connection: number,
                error,
            })
            .await;
        drop(end);
    });
    Wire {
        frames: Some(sender),
        queued,
        ended: Some(ended),
        _alive: alive,
    }
}

impl Line {
    fn hello(&self) -> (Arc<crate::session::token::Keyring>, Hello) {
        let keys = self.shared.tokens.load_full();
        let own = &self.shared.own;
        let hello = Hello::new(&keys, &own.gateway, &own.address);
        (keys, hello)
    }

    /// Tells the actor that the other end belongs to the deployment.
    async fn join(&self, other: Hello) {
        let at = PeerGateway {
            gateway: other.gateway,
            address: other.address,
        };
        let joined = Joined {
            connection: self.number,
            at,
        };
        let _ = self.own.send(joined).await;
    }

    /// Frames both ways, until one of them ends.
    async fn carry(
        mut self,
        stream: TcpStream,
        mut sealer: Sealer,
        mut opener: Opener,
    ) -> Result<(), String> {
        let (mut input, mut output) = stream.into_split();
        let queued = Arc::clone(&self.queued);
        let write = async {
            while let Some(frame) = self.frames.recv().await {
                queued.fetch_sub(frame.len(), Ordering::Relaxed);
                write_record(&mut output, &sealer.seal(&frame)).await?;
            }
            output.shutdown().await
        };
        let (number, own) = (self.number, &self.own);
        let read = async {
            loop {
                let frame = read_frame(&mut input, &mut opener).await?;
                let arrived = Arrived {
                    connection: number,
                    frame,
                };
                // One after the other, so that nothing piles up in the mailbox.
                if own.send(arrived).await.is_err() {
                    return Ok::<(), io::Error>(());
                }
            }
        };
        tokio::pin!(read);
        let result = tokio::select! {
            result = write => {
                if result.is_err() {
                    // Nobody hears this end any more, but what was said before that may still be read.
                    let _ = actix::clock::timeout(LAST_WORDS, &mut read).await;
                }
                result
            }
            result = &mut read => result,
        };
        result.map_err(|error| error.to_string())
    }
}

async fn write_record<W: AsyncWrite + Unpin>(output: &mut W, record: &[u8]) -> io::Result<()> {
    if record.is_empty() {
        return Err(io::Error::other("no more records can be sealed"));
    }
    output.write_all(record).await
}

async fn read_frame<R>(input: &mut R, opener: &mut Opener) -> io::Result<PeerFrame>
where
    R: AsyncRead + Unpin,
{
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let len = input.read_u32().await? as usize;
    if len > MAX_FRAME_BYTES + SEAL_BYTES {
        return Err(wrong(format!("a record of {len} bytes")));
    }
    // It grows as bytes come, whatever length was claimed.
    let mut record = Vec::new();
    input.take(len as u64).read_to_end(&mut record).await?;
    if record.len() < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let plain = opener.open(record).map_err(|e| wrong(e.to_string()))?;
    PeerFrame::decode(&plain).map_err(|e| wrong(e.to_string()))
}
