//! Listening sockets that the workers share, and the open-file limit.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Backlog: connections that the kernel queues for a busy worker.
const BACKLOG: i32 = 4096;
/// Open files that are reserved for links, the admin API and files.
pub const RESERVED_FILES: usize = 256;

/// Opens `count` listeners on one address, each with `SO_REUSEPORT`, so that the kernel spreads
/// connections over the workers. Port 0 picks one free port for all of them.
///
/// # Errors
/// The address cannot be bound.
pub fn listeners(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // SO_REUSEPORT would let a second gateway take half of the first one's players unnoticed.
        drop(listener(address, false)?);
    }
    let first = listener(address, true)?;
    let bound = first.local_addr()?;
    let mut all = vec![first];
    while all.len() < count {
        all.push(listener(bound, true)?);
    }
    Ok(all)
}

fn listener(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Raises the open-file limit as far as it may, and returns how many client connections fit under
/// it, [`RESERVED_FILES`] aside.
///
/// # Errors
/// The limit cannot be read.
pub fn raise_file_limit() -> io::Result<usize> {
    let limit = rlimit::increase_nofile_limit(u64::MAX)?;
    Ok(usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .saturating_sub(RESERVED_FILES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_one_free_port() {
        let all = listeners("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let port = all[0].local_addr().unwrap().port();
        assert_ne!(port, 0);
        assert!(all.iter().all(|l| l.local_addr().unwrap().port() == port));
        let second = listeners(all[0].local_addr().unwrap(), 1).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    }
}
