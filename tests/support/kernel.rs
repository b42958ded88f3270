//! The kernel's view of TCP connections on this host's IPv4 loopback.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

use std::net::{SocketAddr, SocketAddrV4};

use tokio::net::TcpStream;

use super::wire::soon;

/// Bytes of one end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queues {
    /// Sent and not acknowledged.
    pub(crate) unsent: usize,
    /// Come and not read.
    pub(crate) unread: usize,
}

/// Returns the queues of the end with these addresses; `None` if there is no such connection.
pub(crate) fn queues(local: SocketAddr, remote: SocketAddr) -> Option<Queues> {
    let wanted = [hex(local), hex(remote)];
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of connections");
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        if [fields.next()?, fields.next()?] != wanted {
            return None;
        }
        let (unsent, unread) = fields.nth(1)?.split_once(':')?;
        let number = |hex| usize::from_str_radix(hex, 16).expect("a number");
        Some(Queues {
            unsent: number(unsent),
            unread: number(unread),
        })
    })
}

/// Waits until the other end's kernel has all that was written.
pub(crate) async fn acknowledged(socket: &TcpStream) {
    let [local, remote] = addresses(socket);
    soon(async {
        while queues(local, remote).is_none_or(|queues| queues.unsent > 0) {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

/// Waits until so many bytes at least have come that nobody has read.
pub(crate) async fn unread(socket: &TcpStream, bytes: usize) {
    let [local, remote] = addresses(socket);
    soon(async {
        while queues(local, remote).is_none_or(|queues| queues.unread < bytes) {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

fn addresses(socket: &TcpStream) -> [SocketAddr; 2] {
    let local = socket.local_addr().expect("an address");
    [local, socket.peer_addr().expect("an address")]
}

/// As in `/proc/net/tcp`: the address in the host's byte order.
fn hex(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else {
        panic!("{address} is not IPv4");
    };
    let ip = u32::from_ne_bytes(address.ip().octets());
    let port = SocketAddrV4::port(&address);
    format!("{ip:08X}:{port:04X}")
}
