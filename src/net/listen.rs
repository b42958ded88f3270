//! Listening sockets that the workers share, the open-file limit, and a file for when it is reached.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::path::{bound_unsent, fail_when_dead};

/// Backlog: connections that the kernel queues for a busy worker.
const BACKLOG: i32 = 4096;

/// Opens `count` listeners on one address, each with `SO_REUSEPORT`, so that the kernel spreads
/// connections over the workers. Port 0 picks one free port for all of them. What they accept sends at once
/// (`TCP_NODELAY`), fails when it is dead ([`fail_when_dead`]), and has little more in the kernel than the network
/// has room for: accepted sockets inherit all of it, so it costs no system call for each.
///
/// # Errors
/// The address cannot be bound.
pub fn listeners(
    address: SocketAddr,
    count: usize,
    dead_after: Duration,
) -> io::Result<Vec<TcpListener>> {
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
    for listener in &all {
        let socket = SockRef::from(listener);
        socket.set_tcp_nodelay(true)?;
        bound_unsent(&socket)?;
        fail_when_dead(socket, dead_after)?;
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

/// Raises the open-file limit as far as it may, and returns it.
///
/// # Errors
/// The limit cannot be read.
pub fn raise_file_limit() -> io::Result<usize> {
    let limit = rlimit::increase_nofile_limit(u64::MAX)?;
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Files that are held open: while one is lent, a link or a probe may take its place for good.
const SPARE: usize = 4;

/// Files that the process holds open, so that there is one to accept a connection with, and close it, when
/// no other is left: its client then need not wait for a timeout.
#[derive(Debug, Default)]
pub struct SpareFiles {
    /// Files are short: whoever accepts holds the lock, so that no worker takes a spare file's place.
    short: AtomicBool,
    /// At most [`SPARE`].
    files: Mutex<Vec<File>>,
}

impl SpareFiles {
    /// Spare files, as many of them as there are.
    pub fn new() -> SpareFiles {
        let spare = SpareFiles::default();
        open(&mut spare.lock());
        spare
    }

    /// Notes whether files are short. Returns whether that was known.
    pub fn set_short(&self, short: bool) -> bool {
        self.short.swap(short, Ordering::AcqRel)
    }

    /// Waits for the turn to accept, where files are short.
    pub fn turn(&self) -> Option<MutexGuard<'_, Vec<File>>> {
        let short = self.short.load(Ordering::Acquire);
        short.then(|| self.lock())
    }

    /// Closes a file, has `accept_and_close` use its place, and opens it again.
    pub fn lend(&self, accept_and_close: impl FnOnce()) {
        let mut files = self.lock();
        if files.pop().is_some() {
            accept_and_close();
        }
        open(&mut files);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(files: &mut Vec<File>) {
    while files.len() < SPARE
        && let Ok(file) = File::open("/dev/null")
    {
        files.push(file);
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::UNSENT_BYTES;
    use super::*;

    #[test]
    fn what_is_accepted_inherits_what_paths_need() {
        let any = "127.0.0.1:0".parse().unwrap();
        let dead_after = Duration::from_secs(20);
        for (dead_after, keeps) in [(dead_after, true), (Duration::ZERO, false)] {
            let listener = &listeners(any, 1, dead_after).unwrap()[0];
            let _near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let accepted = loop {
                match listener.accept() {
                    Ok((socket, _)) => break socket,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            };
            let socket = SockRef::from(&accepted);
            assert!(socket.tcp_nodelay().unwrap());
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES);
            assert_eq!(socket.keepalive().unwrap(), keeps);
            assert_eq!(
                socket.tcp_user_timeout().unwrap(),
                keeps.then_some(dead_after)
            );
            if keeps {
                assert_eq!(socket.tcp_keepalive_time().unwrap(), dead_after / 2);
                assert_eq!(socket.tcp_keepalive_interval().unwrap(), dead_after / 4);
            }
        }
    }

    #[test]
    fn workers_share_one_free_port() {
        let all = listeners("127.0.0.1:0".parse().unwrap(), 3, Duration::ZERO).unwrap();
        let port = all[0].local_addr().unwrap().port();
        assert_ne!(port, 0);
        assert!(all.iter().all(|l| l.local_addr().unwrap().port() == port));
        let second = listeners(all[0].local_addr().unwrap(), 1, Duration::ZERO).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    }
}
