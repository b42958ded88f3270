//! A backend: listens for links, keeps whose session is whose, and calls a [`Service`] for each DATA.
//! The demo, the load generator and tests run their game servers with it.
//!
//! * [`core`]: the backend without I/O: tables, frames of links, calls of the service.
//! * [`Replies`]: the words of a service: DATA by session id alone, BIND, MULTICAST, CLOSE.
//! * [`mod@matches`]: a reference game server, whose state can be checked wherever it has been moved.
//! * `link`: one task a link, which reads a buffer, has every frame in it handled under one lock, and
//!   writes all that came of it at once.

pub mod core;
mod link;
pub mod matches;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use self::core::{BackendCore, LinkId};

pub use self::core::{
    Counts, MAX_LINK_PAYLOAD, MAX_OUTBOX_BYTES, Replies, Service, SessionInfo, echo,
};

/// Most links at a time; a further connection is dropped and counted.
pub const MAX_LINKS: usize = 1024;
/// Limit from the connection to its HELLO.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit for one batch to be taken by the gateway's socket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval at which ended resume windows are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a failed accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Interval at which a backend that stops counts its sessions.
const STOP_POLL: Duration = Duration::from_millis(20);

/// Everything that the links of a backend share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The moment that the core's milliseconds count from.
    start: Instant,
}

#[derive(Debug)]
struct State {
    core: BackendCore<Box<dyn Service>>,
    /// Wakes the task of each link, by its number.
    wakes: Vec<Option<Arc<Notify>>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A service that panics costs its link; the tables are whole between frames.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn speak<R>(&self, service: &str, say: impl FnOnce(&mut Replies<'_>) -> R) -> Option<R> {
        let mut state = self.lock();
        let said = state.core.speak(service, say);
        state.wake(None);
        said
    }

    fn leave(&self, moves: bool) {
        let mut state = self.lock();
        state.core.leave(moves);
        state.wake(None);
    }

    /// Waits until no session is left and every gateway has taken all that was said, up to `window`; returns how many
    /// sessions are left.
    async fn empty(&self, window: Duration) -> usize {
        let end = tokio::time::Instant::now() + window;
        let mut is_asked = false;
        loop {
            let sessions = {
                let mut state = self.lock();
                let sessions = state.core.session_count();
                if sessions == 0 && !is_asked {
                    // A gateway that has not heard yet may just have opened a session, and what was said last may lie
                    // unwritten.
                    state.core.ask_all();
                    state.wake(None);
                } else if sessions == 0 && state.core.all_have_answered() {
                    return 0;
                }
                sessions
            };
            is_asked = sessions == 0;
            if tokio::time::Instant::now() >= end {
                return sessions;
            }
            tokio::time::sleep(STOP_POLL).await;
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}

/// A backend's voice and counters, for tasks that do not own it. Once it has stopped nobody hears it.
#[derive(Debug, Clone)]
pub struct Speaker(Arc<Shared>);

impl Speaker {
    /// Does what [`Backend::speak`] does.
    pub fn speak<R>(&self, service: &str, say: impl FnOnce(&mut Replies<'_>) -> R) -> Option<R> {
        self.0.speak(service, say)
    }

    /// Does what [`Backend::leave`] does.
    pub fn leave(&self, moves: bool) {
        self.0.leave(moves);
    }

    /// Returns true once it has said that it takes no new sessions.
    pub fn is_leaving(&self) -> bool {
        self.0.lock().core.is_leaving()
    }

    /// Waits, up to `window`, until no session is left and every gateway has taken all that was said to it: behind
    /// [`leave`](Self::leave) nothing comes any more. Returns how many sessions are left.
    pub async fn empty(&self, window: Duration) -> usize {
        self.0.empty(window).await
    }

    /// Counts the links that are open.
    pub fn links(&self) -> usize {
        self.0.lock().core.link_count()
    }

    /// Returns the counters.
    pub fn counts(&self) -> Counts {
        self.0.lock().core.counts()
    }
}

impl State {
    fn link_up(&mut self, wake: Arc<Notify>) -> LinkId {
        let link = self.core.link_up();
        if self.wakes.len() <= link {
            self.wakes.resize(link + 1, None);
        }
        self.wakes[link] = Some(wake);
        link
    }

    fn link_down(&mut self, now: u64, link: LinkId) {
        self.wakes[link] = None;
        self.core.link_down(now, link);
        self.wake(None);
    }

    /// Wakes the links that have something to write, but not the one that is awake.
    fn wake(&mut self, awake: Option<LinkId>) {
        while let Some(link) = self.core.next_ready() {
            if let Some(wake) = &self.wakes[link]
                && awake != Some(link)
            {
                wake.notify_one();
            }
        }
    }
}

/// A running backend. Dropping it is [`abort`](Self::abort) without waiting.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
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
        let service: Box<dyn Service> = Box::new(service);
        let state = State {
            core: BackendCore::new(service),
            wakes: Vec::new(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            start: Instant::now(),
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Backend {
            address,
            shared,
            task,
        })
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the counters.
    pub fn counts(&self) -> Counts {
        self.shared.lock().core.counts()
    }

    /// Counts the links that are open.
    pub fn links(&self) -> usize {
        self.shared.lock().core.link_count()
    }

    /// Counts the sessions over all services, suspended ones included.
    pub fn sessions(&self) -> usize {
        self.shared.lock().core.session_count()
    }

    /// Speaks to sessions of `service` unasked. Returns `None` where no link for it has ever come.
    pub fn speak<R>(&self, service: &str, say: impl FnOnce(&mut Replies<'_>) -> R) -> Option<R> {
        self.shared.speak(service, say)
    }

    /// Returns a voice of this backend for other tasks.
    pub fn speaker(&self) -> Speaker {
        Speaker(Arc::clone(&self.shared))
    }

    /// Tells every gateway, now and on links to come, that this backend takes no new sessions; with `moves` that those
    /// which it has are to be moved to others, else they go on.
    pub fn leave(&self, moves: bool) {
        self.shared.leave(moves);
    }

    /// Stops in order: GOAWAY, then up to `window` for the sessions to end and for every gateway to have heard of it,
    /// then the links end. Returns how many sessions were cut off.
    pub async fn stop(self, window: Duration) -> usize {
        self.leave(false);
        self.stop_when_empty(window).await
    }

    /// Stops as a server that is upgraded does: GOAWAY `01`, then up to `window` for the sessions to be moved to other
    /// backends, or to end, and for every gateway to have heard of it, then the links end. Returns how many sessions
    /// were cut off.
    pub async fn retire(self, window: Duration) -> usize {
        self.leave(true);
        self.stop_when_empty(window).await
    }

    async fn stop_when_empty(self, window: Duration) -> usize {
        let left = self.shared.empty(window).await;
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
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut links = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(stream, &shared, &mut links),
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = links.join_next() => {}
            _ = sweep.tick() => {
                let now = shared.now();
                shared.lock().core.timer(now);
            }
        }
    }
}

fn admit(stream: TcpStream, shared: &Arc<Shared>, links: &mut JoinSet<()>) {
    if links.len() >= MAX_LINKS {
        shared.lock().core.counts.links_dropped += 1;
        tracing::warn!(limit = MAX_LINKS, "too many links");
        return;
    }
    links.spawn(link::serve(stream, shared.clone()));
}

#[cfg(test)]
mod tests;
