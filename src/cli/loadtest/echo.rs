//! The load generator's own echo backend, on threads of its own.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite;

use super::LoadtestError;
use super::args::{BackendProtocol, LoadtestArgs};
use crate::cli::output;
use crate::sdk::backend::{Backend, echo};

/// Room for one read, in bytes.
const READ_BYTES: usize = 64 << 10;
/// Pause after a failed accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running echo backend; dropping it ends it.
#[derive(Debug)]
pub(super) struct Echo {
    /// Where it listens.
    #[cfg(test)]
    pub(super) address: SocketAddr,
    /// Ends the thread that drives the runtime.
    _stop: oneshot::Sender<()>,
}

/// Either kind, alive as long as the value.
enum Server {
    Link(Backend),
    Bytes(SocketAddr),
}

impl Server {
    async fn start(address: SocketAddr, protocol: BackendProtocol) -> io::Result<Server> {
        Ok(match protocol {
            BackendProtocol::Link => Server::Link(Backend::start(address, echo).await?),
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
            Server::Link(backend) => backend.address(),
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
    /// Listens on `address`, and serves on `threads` threads until dropped.
    pub(super) fn start(
        address: SocketAddr,
        protocol: BackendProtocol,
        threads: usize,
    ) -> Result<Echo, LoadtestError> {
        let runtime = runtime(threads)?;
        let server = runtime
            .block_on(Server::start(address, protocol))
            .map_err(|error| LoadtestError::Backend { address, error })?;
        #[cfg(test)]
        let address = server.address();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("echo".into())
            .spawn(move || {
                // An error says that the sender was dropped, which is the signal.
                let _ = runtime.block_on(stopped);
                drop(server);
            })?;
        Ok(Echo {
            #[cfg(test)]
            address,
            _stop: stop,
        })
    }
}

/// Serves until SIGINT, SIGTERM or the end of `--duration`, for `--backend-only`.
pub(super) fn run_only(address: SocketAddr, args: &LoadtestArgs) -> Result<(), LoadtestError> {
    runtime(args.backend_threads.max(1))?.block_on(async {
        let server = Server::start(address, args.backend_protocol)
            .await
            .map_err(|error| LoadtestError::Backend { address, error })?;
        output::complain(format_args!("echo backend on {}", server.address()));
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let time_up = async {
            match args.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = time_up => {}
        }
        if let Server::Link(backend) = &server {
            output::complain(format_args!("{:?}", backend.counts()));
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
