//! A socket that follows the WebSocket frames which the library reads from it. The library tells nobody whether
//! it holds a part of a message, or how large that is.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::partial::Partial;
use crate::net::socket::Socket;

/// Bits of a frame's first byte (RFC 6455, 5.2).
const FIN: u8 = 0x80;
const CONTROL: u8 = 0x08;

/// A socket below the WebSocket library.
#[derive(Debug, Default)]
pub struct Counted {
    pub(super) socket: Socket,
    frame: Partial,
    /// Bytes of the fragments that have come of a message which is not whole.
    fragments: u64,
    /// A message has begun and is not whole.
    is_fragmented: bool,
    /// Bytes that may still be read before the reader is asked again: the library gathers all that it gets.
    allowance: usize,
}

impl Counted {
    /// Takes a socket from which `read` is given to the library beforehand.
    pub(super) fn new(socket: Socket, read: &[u8]) -> Counted {
        let mut counted = Counted {
            socket,
            ..Counted::default()
        };
        counted.follow(read);
        counted
    }

    fn follow(&mut self, bytes: &[u8]) {
        let (fragments, is_fragmented) = (&mut self.fragments, &mut self.is_fragmented);
        self.frame.follow(bytes, body_len, |header, body| {
            let first = header.first().copied().unwrap_or(0);
            if first & CONTROL == 0 {
                *is_fragmented = first & FIN == 0;
                *fragments = match *is_fragmented {
                    true => *fragments + body,
                    false => 0,
                };
            }
        });
    }

    /// Lets so many bytes be read from now on, and as many as the library takes at a time beyond them.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.allowance = bytes;
    }

    /// Bytes of the fragments of a message, and of the frame, that have come in part.
    pub(super) fn unparsed(&self) -> (usize, usize) {
        let fragments = usize::try_from(self.fragments).unwrap_or(usize::MAX);
        (fragments, self.frame.bytes())
    }

    /// Returns true if all that the library has read was whole messages.
    pub(super) fn is_parsed(&self) -> bool {
        self.frame.bytes() == 0 && !self.is_fragmented
    }
}

/// Returns the length of the body behind a frame's header (RFC 6455, 5.2), mask included where the header does
/// not end with it.
fn body_len(header: &[u8]) -> Option<u64> {
    let lengths = *header.get(1)?;
    let mask = usize::from(lengths & 0x80 != 0) * 4;
    let (extended, body) = match lengths & 0x7F {
        126 => (
            2,
            u64::from(u16::from_be_bytes(*header.get(2..)?.first_chunk()?)),
        ),
        127 => (8, u64::from_be_bytes(*header.get(2..)?.first_chunk()?)),
        short => (0, u64::from(short)),
    };
    (header.len() == 2 + extended + mask).then_some(body)
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.allowance == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        let bytes = &buf.filled()[before..];
        this.allowance = this.allowance.saturating_sub(bytes.len());
        this.follow(&buf.filled()[before..]);
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

    /// A masked frame.
    fn frame(first: u8, len: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match len {
            0..=125 => frame.push(0x80 | len as u8),
            126..=0xFFFF => {
                frame.push(0x80 | 126);
                frame.extend((len as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + 4 + len, 0xFF);
        frame
    }

    #[test]
    fn whole_messages_leave_nothing() {
        for len in [0, 1, 125, 126, 0xFFFF, 0x1_0000] {
            let bytes = frame(0x82, len);
            let mut counted = Counted::new(Socket::Taken, &bytes);
            assert!(counted.is_parsed(), "{len}");
            counted.follow(&bytes[..bytes.len() - 1]);
            assert_eq!(counted.unparsed(), (0, bytes.len() - 1));
            assert!(!counted.is_parsed());
            counted.follow(&bytes[bytes.len() - 1..]);
            assert!(counted.is_parsed(), "{len}");
        }
    }

    #[test]
    fn fragments_count_until_their_message_is_whole() {
        let mut counted = Counted::new(Socket::Taken, &frame(0x02, 300));
        counted.follow(&frame(0x00, 200));
        // A PING may come in between.
        counted.follow(&frame(0x89, 5));
        assert_eq!(counted.unparsed(), (500, 0));
        assert!(!counted.is_parsed());
        counted.follow(&frame(0x80, 0));
        assert_eq!(counted.unparsed(), (0, 0));
        assert!(counted.is_parsed());
        // An empty beginning is one too.
        counted.follow(&frame(0x02, 0));
        assert!(!counted.is_parsed());
    }
}
