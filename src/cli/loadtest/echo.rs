//! The load generator's own echo backend, on threads of its own.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite;

use super::args::{BackendProtocol, LoadtestArgs};
use super::{LoadtestError, control};
use crate::cli::output;
use crate::sdk::backend::Backend;
use crate::sdk::backend::matches::Matches;

/// Room for one read, in bytes.
const READ_BYTES: usize = 64 << 10;
/// Pause after a failed accept, so that a lack of descriptors does not spin.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limit for the sessions of a backend that is upgraded to be moved; shorter than a pod's usual grace period.
pub(super) const UPGRADE_WINDOW: Duration = Duration::from_secs(20);

/// What an echo backend does.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    protocol: BackendProtocol,
    threads: usize,
    service: String,
    pushes: Option<Duration>,
}

impl Settings {
    pub(super) fn new(args: &LoadtestArgs) -> Settings {
        Settings {
            protocol: args.backend_protocol,
            threads: args.backend_threads.max(1),
            // The players of matches share one.
            service: args.service.first().cloned().unwrap_or_default(),
            pushes: args.pushes,
        }
    }

    #[cfg(test)]
    pub(super) fn of(protocol: BackendProtocol) -> Settings {
        Settings {
            protocol,
            threads: 1,
            service: "echo".into(),
            pushes: None,
        }
    }
}

/// A running echo backend; dropping it ends it.
#[derive(Debug)]
pub(super) struct Echo {
    /// Where it listens.
    #[cfg(test)]
    pub(super) address: SocketAddr,
    /// Asks for upgrades. Dropping it ends the thread that drives the runtime.
    upgrades: mpsc::Sender<Answer>,
}

/// Takes the outcome of an upgrade.
type Answer = tokio::sync::oneshot::Sender<io::Result<Upgrade>>;

/// Outcome of an upgrade.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Upgrade {
    /// Sessions that live at other backends now.
    pub(super) moved: u64,
    /// Sessions that were neither moved nor ended in time.
    pub(super) cut_off: usize,
}

/// A server of matches, which echoes, and its numbered frames.
struct Game {
    backend: Backend,
    pushing: Option<JoinHandle<()>>,
}

/// Either kind, alive as long as the value.
enum Server {
    Link(Game),
    Bytes(SocketAddr),
}

impl Game {
    async fn start(address: SocketAddr, settings: &Settings) -> io::Result<Game> {
        let matches = Matches::default();
        let backend = Backend::start(address, matches.clone()).await?;
        let pushing = settings.pushes.map(|every| {
            let (speaker, service) = (backend.speaker(), settings.service.clone());
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(every);
                loop {
                    ticks.tick().await;
                    speaker.speak(&service, |out| matches.push(out));
                }
            })
        });
        Ok(Game { backend, pushing })
    }

    /// Has all of its sessions moved to other backends, then stops.
    async fn retire(self) -> Upgrade {
        let speaker = self.backend.speaker();
        let cut_off = self.backend.retire(UPGRADE_WINDOW).await;
        self.pushing.inspect(JoinHandle::abort);
        let moved = speaker.counts().moved_away;
        Upgrade { moved, cut_off }
    }
}

impl Server {
    async fn start(address: SocketAddr, settings: &Settings) -> io::Result<Server> {
        let protocol = settings.protocol;
        Ok(match protocol {
            BackendProtocol::Link => Server::Link(Game::start(address, settings).await?),
            BackendProtocol::Raw | BackendProtocol::Websocket => {
                let listener = TcpListener::bind(address).await?;
                let address = listener.local_addr()?;
                tokio::spawn(accept(listener, protocol));
                Server::Bytes(address)
            }
        })
    }

    fn address(&self) -> SocketAddr {
        match self {
            Server::Link(game) => game.backend.address(),
            Server::Bytes(address) => *address,
        }
    }
}

fn runtime(threads: usize) -> io::Result<Runtime> {
    // One thread that does everything is cheaper than one that watches another.
    match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build(),
    }
}

impl Echo {
    /// Listens on `address`, and serves until dropped.
    pub(super) fn start(address: SocketAddr, settings: &Settings) -> Result<Echo, LoadtestError> {
        let runtime = runtime(settings.threads)?;
        let server = runtime
            .block_on(Server::start(address, settings))
            .map_err(|error| LoadtestError::Backend { address, error })?;
        #[cfg(test)]
        let address = server.address();
        let (upgrades, asked) = mpsc::channel(1);
        let settings = settings.clone();
        std::thread::Builder::new()
            .name("echo".into())
            .spawn(move || runtime.block_on(serve(server, settings, asked)))?;
        Ok(Echo {
            #[cfg(test)]
            address,
            upgrades,
        })
    }

    /// Replaces the backend: its sessions move to others, and it starts anew on its address.
    pub(super) async fn upgrade(&self) -> io::Result<Upgrade> {
        let (answer, outcome) = tokio::sync::oneshot::channel();
        let ended = || io::Error::other("the echo backend has ended");
        self.upgrades.send(answer).await.map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
    }
}

/// Keeps a server alive until nobody can ask for upgrades any more.
async fn serve(mut server: Server, settings: Settings, mut asked: mpsc::Receiver<Answer>) {
    while let Some(answer) = asked.recv().await {
        let address = server.address();
        let outcome = match server {
            Server::Link(game) => game.retire().await,
            Server::Bytes(_) => Upgrade::default(),
        };
        let started = Server::start(address, &settings).await;
        let (next, outcome) = match started {
            Ok(next) => (Some(next), Ok(outcome)),
            Err(error) => (None, Err(error)),
        };
        // Nobody waits for it where the run was ended.
        let _ = answer.send(outcome);
        let Some(next) = next else { return };
        server = next;
    }
}

/// Serves until SIGINT, SIGTERM or the end of `--duration`, for `--backend-only`. On SIGTERM its sessions move to other
/// backends first; a second one ends it at once.
pub(super) fn run_only(address: SocketAddr, args: &LoadtestArgs) -> Result<(), LoadtestError> {
    let settings = Settings::new(args);
    runtime(settings.threads)?.block_on(async {
        let server = Server::start(address, &settings)
            .await
            .map_err(|error| LoadtestError::Backend { address, error })?;
        output::complain(format_args!("echo backend on {}", server.address()));
        if let Some(address) = args.control {
            let Server::Link(game) = &server else {
                let text = "--control: expected --backend-protocol link".to_owned();
                return Err(LoadtestError::Usage(text));
            };
            control::start(address, game.backend.speaker())
                .await
                .map_err(|error| LoadtestError::Backend { address, error })?;
        }
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let time_up = async {
            match args.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        let moves = tokio::select! {
            _ = interrupt.recv() => false,
            _ = terminate.recv() => true,
            () = time_up => false,
        };
        if let Server::Link(game) = server {
            let speaker = game.backend.speaker();
            if moves {
                tokio::select! {
                    upgrade = game.retire() => {
                        output::complain(format_args!("{} sessions cut off", upgrade.cut_off));
                    }
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            output::complain(format_args!("{:?}", speaker.counts()));
        }
        Ok(())
    })
}

async fn accept(listener: TcpListener, protocol: BackendProtocol) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // The client sees the end of a connection; there is nobody else to tell.
                tokio::spawn(async move {
                    if protocol == BackendProtocol::Websocket {
                        drop(echo_messages(stream).await);
                    } else {
                        drop(echo_raw(stream).await);
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn echo_raw(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

async fn echo_messages(stream: TcpStream) -> Result<(), tungstenite::Error> {
    stream.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        // The library answers all other frames.
        if message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
