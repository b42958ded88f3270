//! Whether a remote end has gone while its socket is not read.
//!
//! A connection that only waits for its resume is not read, so its end would be noticed when the session
//! has been taken from the connection that its player has opened since.

use std::task::{Context, Poll};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::TcpStream;

use super::socket::Socket;

/// The remote end has shut its sending side down, whatever is still unread. Others than Linux tell it only
/// when both sides are shut.
#[cfg(target_os = "linux")]
const NO_MORE_INPUT: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const NO_MORE_INPUT: PollFlags = PollFlags::empty();

impl Socket {
    /// Tells whether the remote end sends nothing more: it has ended its side, or reset the connection. Asks
    /// the kernel, because an event loop learns of it later, and one that the socket has just come to, much
    /// later.
    pub fn is_abandoned(&mut self) -> bool {
        if let Socket::ReadOnly(_) = self {
            return true;
        }
        let Some(socket) = self.tcp_mut() else {
            return false;
        };
        let mut watched = [PollFd::new(&*socket, NO_MORE_INPUT)];
        let at_once = Timespec::default();
        poll(&mut watched, Some(&at_once)).is_ok_and(|events| events > 0)
    }

    /// The same, and wakes its caller when that may have changed.
    pub fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> bool {
        let polled = self.tcp_mut().map(|socket| socket.poll_read_ready(cx));
        !matches!(polled, Some(Poll::Pending)) && self.is_abandoned()
    }

    fn tcp_mut(&mut self) -> Option<&mut TcpStream> {
        match self {
            Socket::Tcp(socket) => Some(socket),
            Socket::Tls(socket) => Some(socket.tcp_mut()),
            Socket::WebSocket(socket) => socket.get_mut().tcp_mut(),
            Socket::ReadOnly(rest) => rest.socket_mut().tcp_mut(),
            Socket::Duplex(_) | Socket::Taken => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener};

    use super::*;

    #[tokio::test]
    async fn an_end_behind_unread_bytes_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut remote = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let mut socket = Socket::Tcp(TcpStream::from_std(accepted).unwrap());
        remote.write_all(b"unread").unwrap();
        std::future::poll_fn(|cx| socket.tcp_mut().unwrap().poll_read_ready(cx))
            .await
            .unwrap();
        assert!(!socket.is_abandoned());
        remote.shutdown(Shutdown::Write).unwrap();
        assert!(socket.is_abandoned());
    }

    #[tokio::test]
    async fn an_end_wakes_whoever_waits_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let remote = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let mut socket = Socket::Tcp(TcpStream::from_std(accepted).unwrap());
        let mut remote = Some(remote);
        std::future::poll_fn(|cx| {
            if socket.poll_abandoned(cx) {
                return Poll::Ready(());
            }
            remote.take().expect("woken by nothing but the end");
            Poll::Pending
        })
        .await;
    }
}
