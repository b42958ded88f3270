//! The way from the browser page to the gateways: a relay that can be cut, and then leads to the other gateway.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// Pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A gateway that the relay may lead to.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
}

/// A relay for TCP connections.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    destinations: [Destination; 2],
    /// Number of the destination that the next connection reaches.
    next: AtomicUsize,
    cuts: watch::Sender<()>,
}

impl Relay {
    /// Starts it on this runtime.
    pub(super) async fn start(destinations: [Destination; 2]) -> io::Result<Arc<Relay>> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let relay = Arc::new(Relay {
            address: listener.local_addr()?,
            destinations,
            next: AtomicUsize::new(0),
            cuts: watch::channel(()).0,
        });
        tokio::spawn(accept(listener, Arc::clone(&relay)));
        Ok(relay)
    }

    /// Breaks all connections; the next ones lead to the other gateway, whose name is returned.
    pub(super) fn cut(&self) -> &'static str {
        let before = self.next.fetch_xor(1, Ordering::Relaxed);
        self.cuts.send_replace(());
        self.destinations[before ^ 1].name
    }

    async fn carry(&self, mut player: TcpStream) -> io::Result<()> {
        let mut cuts = self.cuts.subscribe();
        let to = &self.destinations[self.next.load(Ordering::Relaxed)];
        let mut gateway = TcpStream::connect(to.address).await?;
        player.set_nodelay(true)?;
        gateway.set_nodelay(true)?;
        tokio::select! {
            ended = copy_bidirectional(&mut player, &mut gateway) => ended.map(drop),
            _ = cuts.changed() => {
                // A reset, as when a network fails: nobody is told anything in order.
                for socket in [&player, &gateway] {
                    SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
                }
                Ok(())
            }
        }
    }
}

async fn accept(listener: TcpListener, relay: Arc<Relay>) {
    loop {
        match listener.accept().await {
            Ok((player, _)) => {
                let relay = Arc::clone(&relay);
                // The page sees the end of its connection; there is nobody else to tell.
                tokio::spawn(async move { drop(relay.carry(player).await) });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn answering(name: &'static str) -> Destination {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    socket.write_all(name.as_bytes()).await.unwrap();
                    let _ = socket.read_to_end(&mut Vec::new()).await;
                });
            }
        });
        Destination { name, address }
    }

    #[tokio::test]
    async fn a_cut_breaks_what_is_there_and_leads_to_the_other() {
        let relay = Relay::start([answering("a").await, answering("b").await]);
        let relay = relay.await.unwrap();
        for (here, there) in [("a", "b"), ("b", "a")] {
            let mut socket = TcpStream::connect(relay.address).await.unwrap();
            let mut byte = [0];
            socket.read_exact(&mut byte).await.unwrap();
            assert_eq!(byte, here.as_bytes());
            assert_eq!(relay.cut(), there);
            let error = socket.read_exact(&mut byte).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }
}
