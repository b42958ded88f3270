//! One connection to another gateway: the handshake, and then sealed frames both ways.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use actix::prelude::*;
use socket2::SockRef;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{Frames, TaskEnd, Wire};
use super::{Peers, Shared};
use crate::codec::peer::PeerGateway;
use crate::codec::peer::wire::PeerFrame;
use crate::memory::Held;
use crate::net::path::{bound_unsent, fail_when_dead};
use crate::net::peer::{self, HandshakeError, HandshakeFailure, Hello, NoRoom, Secured, VERSION};
use crate::session::token::{KEY_ID_LEN, Keyring};
use crate::supervision::CountedAddr;

/// Time for reading what has come on a connection that cannot be written any more.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Pause of accepting after it has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Interval at which a connection looks if its key is still one of the deployment's.
const KEY_CHECK: Duration = Duration::from_secs(1);

/// Somebody has connected.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Accepted(pub(super) TcpStream, pub(super) SocketAddr);

/// The other end has proved that it belongs to the deployment.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Joined {
    pub(super) connection: u64,
    pub(super) at: PeerGateway,
    /// Version of the channel.
    pub(super) version: u8,
    /// Bytes that are held for the frame that is being read.
    pub(super) input: Arc<AtomicUsize>,
}

/// A frame has come.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Arrived {
    pub(super) connection: u64,
    pub(super) frame: PeerFrame,
    /// The memory that it takes.
    pub(super) held: Held,
}

/// The connection is over, or is to be.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Lost {
    pub(super) connection: u64,
    pub(super) error: Option<String>,
    /// It did not come about.
    pub(super) failure: Option<HandshakeFailure>,
}

/// State of a connection's own task.
struct Line {
    number: u64,
    shared: Shared,
    own: CountedAddr<Peers>,
    frames: Frames,
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
            Ok((stream, from)) => drop(own.send(Accepted(stream, from)).await),
            Err(error) => {
                tracing::debug!(%error, "the peer channel cannot accept");
                actix::clock::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Has the kernel notice a path that is dead, bound what it takes, and send small frames at once.
fn tune(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    bound_unsent(&SockRef::from(stream))?;
    fail_when_dead(SockRef::from(stream), shared.config.listen.dead_after)
}

/// Dials another gateway.
pub(super) fn dial(number: u64, to: PeerGateway, shared: &Shared, own: CountedAddr<Peers>) -> Wire {
    start(number, shared, own, |line| async move {
        let mut stream = TcpStream::connect(&*to.address).await?;
        tune(&stream, &line.shared)?;
        let (keys, hello) = line.hello();
        let secured = peer::call(&mut stream, &keys, hello).await?;
        // Addresses of pods are used again. Questions go to whoever is there.
        let anybody = to.gateway.is_empty();
        if !anybody && secured.other.gateway != to.gateway {
            return Err(HandshakeError::WrongGateway {
                wanted: to.gateway,
                found: secured.other.gateway,
            });
        }
        Ok((line, stream, secured))
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
        tune(&stream, &line.shared)?;
        let (keys, hello) = line.hello();
        let secured = peer::answer(&mut stream, &keys, hello).await?;
        Ok((line, stream, secured))
    })
}

/// Starts the task of a connection whose handshake is `begin`, and which must be over in time.
fn start<F, B>(number: u64, shared: &Shared, own: CountedAddr<Peers>, begin: F) -> Wire
where
    F: FnOnce(Line) -> B,
    B: Future<Output = Result<(Line, TcpStream, Secured), HandshakeError>> + 'static,
{
    let limit = shared.config.peer.channel.queued_bytes;
    let (wire, task) = Wire::new(limit, &shared.counts);
    let TaskEnd {
        frames,
        gone,
        ended,
    } = task;
    let line = Line {
        number,
        shared: shared.clone(),
        own: own.clone(),
        frames,
    };
    let (counts, begun) = (Arc::clone(&shared.counts), begin(line));
    let patience = shared.config.backend.connect_timeout;
    actix::spawn(async move {
        let carry = async {
            let begun = actix::clock::timeout(patience, begun).await;
            let begun =
                begun.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
            match begun {
                Ok((line, stream, secured)) => {
                    let error = line.carry(stream, secured).await.err();
                    let cause = error.as_ref().and_then(io::Error::get_ref);
                    if cause.is_some_and(|cause| cause.is::<NoRoom>()) {
                        counts.ended_for_memory();
                    }
                    (error.map(|error| error.to_string()), None)
                }
                Err(error) => {
                    counts.failed(error.failure());
                    (Some(error.to_string()), Some(error.failure()))
                }
            }
        };
        let (error, failure) = tokio::select! {
            lost = carry => lost,
            _ = gone => (None, None),
        };
        let lost = Lost {
            connection: number,
            error,
            failure,
        };
        let _ = own.send(lost).await;
        drop(ended);
    });
    wire
}

impl Line {
    fn hello(&self) -> (Arc<Keyring>, Hello) {
        let keys = self.shared.tokens.load_full();
        let own = &self.shared.own;
        let hello = Hello {
            version: self.shared.config.peer.channel.version.min(VERSION),
            ..Hello::new(&keys, &own.gateway, &own.address)
        };
        (keys, hello)
    }

    /// Tells the actor that the other end belongs to the deployment.
    async fn join(&self, other: Hello, version: u8, input: Arc<AtomicUsize>) {
        let at = PeerGateway {
            gateway: other.gateway,
            address: other.address,
        };
        let joined = Joined {
            connection: self.number,
            at,
            version,
            input,
        };
        let _ = self.own.send(joined).await;
    }

    /// Frames both ways, until one of them ends, or the key is taken away.
    async fn carry(mut self, stream: TcpStream, secured: Secured) -> io::Result<()> {
        let Secured {
            mut sealer,
            mut opener,
            other,
            key,
            version,
        } = secured;
        let shown = Arc::clone(opener.shown());
        self.join(other, version, shown).await;
        let (mut input, mut output) = stream.into_split();
        let (number, own, tokens) = (self.number, &self.own, &self.shared.tokens);
        let write = async {
            while let Some(frame) = self.frames.next().await {
                let mut at = 0;
                write_sealed(&mut output, &sealer.seal_part(&frame, &mut at)).await?;
                while at < frame.len() {
                    write_sealed(&mut output, &sealer.seal_part(&frame, &mut at)).await?;
                }
            }
            output.shutdown().await
        };
        let read = async {
            loop {
                let bytes = opener.read(&mut input).await?;
                let frame = PeerFrame::decode(&bytes);
                let frame = frame.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
                let held = opener.split(bytes.len());
                drop(bytes);
                let arrived = Arrived {
                    connection: number,
                    frame,
                    held,
                };
                // One after the other, so that nothing piles up in the mailbox.
                if own.send(arrived).await.is_err() {
                    return Ok::<(), io::Error>(());
                }
            }
        };
        tokio::pin!(read);
        tokio::select! {
            result = write => {
                if result.is_err() {
                    // Nobody hears this end any more, but what was said before that may still be read.
                    let _ = actix::clock::timeout(LAST_WORDS, &mut read).await;
                }
                result
            }
            result = &mut read => result,
            () = taken_away(tokens, key) => Err(io::Error::other("its token key was taken away")),
        }
    }
}

/// Waits until a key is no longer among those in force.
async fn taken_away(tokens: &arc_swap::ArcSwap<Keyring>, key: [u8; KEY_ID_LEN]) {
    while tokens.load().ids().any(|id| id == key) {
        actix::clock::sleep(KEY_CHECK).await;
    }
}

async fn write_sealed<W: AsyncWrite + Unpin>(output: &mut W, sealed: &[u8]) -> io::Result<()> {
    if sealed.is_empty() {
        return Err(io::Error::other("no more frames can be sealed"));
    }
    output.write_all(sealed).await
}
