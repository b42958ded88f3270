//! A socket that counts the bytes which the WebSocket library has read from it and not yet shown as
//! messages. The library tells nobody whether it holds a part of a message; at zero it does not.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::socket::Socket;

/// Bytes of the mask, which every frame of a client has.
const MASK_LEN: u64 = 4;

/// A socket below the WebSocket library.
#[derive(Debug, Default)]
pub struct Counted {
    pub(super) socket: Socket,
    /// Upper bound of the bytes that the library holds of messages to come.
    unparsed: u64,
}

impl Counted {
    /// Takes a socket of which `read` bytes are given to the library beforehand.
    pub(super) fn new(socket: Socket, read: usize) -> Counted {
        let unparsed = read as u64;
        Counted { socket, unparsed }
    }

    /// Subtracts a message that the library has shown. The length counts that the shortest encoding
    /// has (RFC 6455, 5.2): of a message in fragments some bytes remain, and the count never comes
    /// to zero again. So zero is certain, and fragments merely cost the chance of it.
    pub(super) fn parsed(&mut self, message_len: usize) {
        let length_len = match message_len {
            0..=125 => 0,
            126..=0xFFFF => 2,
            _ => 8,
        };
        let frame_len = 2 + length_len + MASK_LEN + message_len as u64;
        self.unparsed = self.unparsed.saturating_sub(frame_len);
    }

    /// Upper bound of the bytes that the library holds of messages to come. Fragments make it too high.
    pub(super) fn unparsed(&self) -> usize {
        usize::try_from(self.unparsed).unwrap_or(usize::MAX)
    }

    /// Returns true if the library certainly holds no part of a message.
    pub(super) fn is_parsed(&self) -> bool {
        self.unparsed == 0
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        this.unparsed += (buf.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_zero_behind_whole_messages_only() {
        for (header, payload) in [(6, 0), (6, 125), (8, 126), (8, 0xFFFF), (14, 0x1_0000)] {
            let mut counted = Counted::new(Socket::Taken, header + payload);
            assert!(!counted.is_parsed());
            counted.parsed(payload);
            assert!(counted.is_parsed(), "{payload}");
            counted.unparsed += 1;
            assert!(!counted.is_parsed());
        }
    }

    #[test]
    fn fragments_are_never_taken_for_a_whole_message() {
        let (first, second) = (6 + 3, 6 + 4);
        let mut counted = Counted::new(Socket::Taken, first + second);
        counted.parsed(7);
        assert!(!counted.is_parsed());
    }
}
