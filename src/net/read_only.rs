//! A socket whose remote end takes nothing any more. What it said before that is still to be read: a peer
//! that says its last words and closes while answers to it are unread makes its kernel send a reset. Linux
//! keeps what had come before the reset, and reads hand it out before they fail; writes fail at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::socket::Socket;

/// Bytes that are read at most: more than a kernel keeps for one socket (`net.ipv4.tcp_rmem`, 6 MiB by
/// default), so only a remote end that goes on sending comes to it.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Silence that is taken for the end. A socket that has failed has it at once.
const SILENCE: Duration = Duration::from_secs(1);

/// What is left of a socket after a write has failed.
#[derive(Debug)]
pub struct ReadOnly {
    socket: Socket,
    error: io::Error,
    bytes_left: usize,
    silence: Option<Pin<Box<Sleep>>>,
}

impl ReadOnly {
    /// Keeps what a write said of `socket` for the end of its input.
    pub(super) fn new(socket: Socket, error: io::Error) -> ReadOnly {
        ReadOnly {
            socket,
            error,
            bytes_left: MAX_BYTES,
            silence: None,
        }
    }

    /// Returns the socket underneath.
    pub(super) fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Reads what is left, then fails as the write did, however often it is asked.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let Poll::Ready(result) = Pin::new(&mut self.socket).poll_read(cx, buf) else {
            let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(SILENCE)));
            ready!(silence.as_mut().poll(cx));
            return Poll::Ready(Err(self.error()));
        };
        self.silence = None;
        let read = buf.filled().len() - before;
        Poll::Ready(match result {
            Ok(()) if (1..=self.bytes_left).contains(&read) => {
                self.bytes_left -= read;
                Ok(())
            }
            Ok(()) => {
                buf.set_filled(before);
                Err(self.error())
            }
            // A peer's mistake is worth more than that it is gone.
            Err(error) => Err(error),
        })
    }

    fn error(&self) -> io::Error {
        match self.error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => self.error.kind().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn read_only(socket: DuplexStream) -> Socket {
        let error = ErrorKind::ConnectionReset.into();
        let rest = ReadOnly::new(Socket::Duplex(socket), error);
        Socket::ReadOnly(Box::new(rest))
    }

    #[tokio::test]
    async fn what_came_is_read_and_then_the_writes_error_comes() {
        let (mut remote, socket) = duplex(64);
        let mut socket = Socket::Duplex(socket);
        remote.write_all(b"last words").await.unwrap();
        drop(remote);
        socket.write_all(b"an answer").await.unwrap();
        socket.flush().await.unwrap();
        let mut read = [0; 10];
        socket.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"last words");
        for _ in 0..2 {
            let error = socket.read(&mut read).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
        socket.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn silence_is_the_end() {
        let (mut remote, socket) = duplex(64);
        let mut socket = read_only(socket);
        remote.write_all(b"x").await.unwrap();
        let mut read = [0; 8];
        assert_eq!(socket.read(&mut read).await.unwrap(), 1);
        let error = socket.read(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        drop(remote);
    }

    #[tokio::test]
    async fn one_that_goes_on_talking_is_not_listened_to_for_ever() {
        let (mut remote, socket) = duplex(1 << 20);
        let mut socket = read_only(socket);
        tokio::spawn(async move { while remote.write_all(&[0; 1 << 16]).await.is_ok() {} });
        let mut read = Vec::new();
        let error = socket.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(
            (MAX_BYTES - (1 << 20)..=MAX_BYTES).contains(&read.len()),
            "{}",
            read.len()
        );
    }
}
