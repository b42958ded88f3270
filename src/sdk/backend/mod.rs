//! A backend in a box: listens for links, keeps whose session is whose, and calls a [`Service`]
//! for each DATA. The demo, the load generator and tests run their game servers with it.
//!
//! * [`sessions`](self): the pure table `session → link` by newest OPEN (protocol 2.3, 2.4).
//! * [`Replies`]: what a service may say: DATA by session id alone, BIND, MULTICAST, CLOSE.
//! * One task a link: it reads a buffer, handles every frame in it under one lock, and writes all
//!   that came of it at once.

mod frames;
mod link;
mod replies;
mod sessions;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::codec::code::Code;
use frames::State;

pub use replies::Replies;
pub use sessions::SessionInfo;

/// The longest link payload that is taken, in bytes.
pub const MAX_LINK_PAYLOAD: u32 = 16 << 20;
/// The most links at a time; a further connection is dropped and counted.
pub const MAX_LINKS: usize = 1024;
/// What may wait to be written to one link, in bytes; beyond it the link is dropped, for its
/// gateway does not read.
pub const MAX_OUTBOX_BYTES: usize = 64 << 20;
/// From the connection to its HELLO.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// One batch to be taken by the gateway's socket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often ended resume windows are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a failed accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often [`Backend::stop`] looks whether its sessions are gone.
const STOP_POLL: Duration = Duration::from_millis(20);

/// What a game server does with what its players say. Called under the backend's lock: quick, and
/// never blocking.
pub trait Service: Send + 'static {
    /// One DATA of a session. Answers go into `out`.
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>);

    /// A session was opened here, or again after a resume or a lost link.
    fn opened(&mut self, session: &SessionInfo, out: &mut Replies<'_>) {
        let _ = (session, out);
    }

    /// A session has ended, by the gateway's CLOSE or because its window for a resume passed
    /// (then with 408). Not called where the service closed it.
    fn ended(&mut self, session: &SessionInfo, code: Code) {
        let _ = (session, code);
    }
}

impl<F> Service for F
where
    F: FnMut(&SessionInfo, &[u8], &mut Replies<'_>) + Send + 'static,
{
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
        self(session, payload, out);
    }
}

/// A service that sends everything back.
pub fn echo(session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
    out.send(session.session_id, payload);
}

/// What a backend has counted since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Links whose HELLO was taken.
    pub links: u64,
    /// Connections that were dropped: no HELLO, broken framing, a full outbox, too many links.
    pub links_dropped: u64,
    /// OPENs taken.
    pub opens: u64,
    /// OPENs answered with CLOSE 410 or 404.
    pub opens_refused: u64,
    /// DATA given to the service.
    pub data_in: u64,
    /// DATA sent, a MULTICAST counting once for each session.
    pub data_out: u64,
    /// DATA, CLOSE and SUSPEND for sessions that are not open on that link.
    pub strays: u64,
    /// Replies to sessions that have no link.
    pub undelivered: u64,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A service that panics costs its link; the tables are whole between frames.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running backend. Dropping it is [`abort`](Self::abort) without waiting.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    state: Shared,
    task: JoinHandle<()>,
}

impl Backend {
    /// Listens on `address` (port 0: any free one) and serves links on the current tokio runtime.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(address: SocketAddr, service: impl Service) -> io::Result<Backend> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::new(Box::new(service))));
        let task = tokio::spawn(accept(listener, state.clone()));
        Ok(Backend {
            address,
            state,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        lock(&self.state).counts
    }

    /// Links open now.
    pub fn links(&self) -> usize {
        lock(&self.state).links.len()
    }

    /// Sessions known now, over all services, suspended ones included.
    pub fn sessions(&self) -> usize {
        lock(&self.state).session_count()
    }

    /// Speaks to sessions of `service` unasked. `None` where no link for it has ever come.
    pub fn speak<R>(&self, service: &str, say: impl FnOnce(&mut Replies<'_>) -> R) -> Option<R> {
        lock(&self.state).speak(service, say)
    }

    /// Tells every gateway, now and on links to come, that this backend takes no new sessions.
    pub fn goaway(&self) {
        lock(&self.state).goaway();
    }

    /// Stops in order: GOAWAY, then up to `window` for the sessions to end, then the links end.
    /// Returns how many sessions were cut off.
    pub async fn stop(self, window: Duration) -> usize {
        self.goaway();
        let end = tokio::time::Instant::now() + window;
        while self.sessions() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(STOP_POLL).await;
        }
        let left = self.sessions();
        self.abort().await;
        left
    }

    /// Stops at once: the listener and every link are dropped, as if the process had died.
    pub async fn abort(mut self) {
        self.task.abort();
        // An aborted task ends with an error, which says nothing new.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes links. They belong to this task, so that aborting it drops them all.
async fn accept(listener: TcpListener, state: Shared) {
    let mut links = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(stream, &state, &mut links),
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = links.join_next() => {}
            _ = sweep.tick() => lock(&state).expire(Instant::now()),
        }
    }
}

fn admit(stream: TcpStream, state: &Shared, links: &mut JoinSet<()>) {
    if links.len() >= MAX_LINKS {
        lock(state).counts.links_dropped += 1;
        tracing::warn!(limit = MAX_LINKS, "a link too many");
        return;
    }
    links.spawn(link::serve(stream, state.clone()));
}

#[cfg(test)]
mod tests;
