//! Where in a client's stream of WebSocket frames a socket has been read up to.

use std::io::{self, Cursor, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode;

use crate::net::socket::Socket;

/// Bytes of the longest header of a frame.
const MAX_HEADER: usize = 14;

/// Follows frames by their headers.
#[derive(Debug, Default)]
pub(super) struct Boundary {
    /// The beginning of a header.
    header: SmallVec<[u8; MAX_HEADER]>,
    /// Bytes that lack of a frame whose header has come.
    lacking: u64,
    /// Whether the message goes on in another frame.
    open: bool,
    /// What came cannot be followed.
    lost: bool,
}

impl Boundary {
    /// Follows what was read next.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            let skipped = bytes
                .len()
                .min(usize::try_from(self.lacking).unwrap_or(usize::MAX));
            self.lacking -= skipped as u64;
            bytes = &bytes[skipped..];
            let held = self.header.len();
            let more = bytes.len().min(MAX_HEADER - held);
            self.header.extend_from_slice(&bytes[..more]);
            let mut cursor = Cursor::new(&self.header);
            match FrameHeader::parse(&mut cursor) {
                Ok(Some((header, length))) => {
                    let used = cursor.position() as usize - held;
                    bytes = &bytes[used..];
                    self.header.clear();
                    self.lacking = length;
                    if matches!(header.opcode, OpCode::Data(_)) {
                        self.open = !header.is_final;
                    }
                }
                Ok(None) => return,
                Err(_) => self.lost = true,
            }
        }
    }

    /// Whether everything that was read are whole messages.
    pub(super) fn is_reached(&self) -> bool {
        self.header.is_empty() && self.lacking == 0 && !self.open && !self.lost
    }
}

/// A socket that knows how far its frames have been read.
#[derive(Debug, Default)]
pub struct Followed {
    pub(super) socket: Socket,
    pub(super) boundary: Boundary,
}

impl AsyncRead for Followed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        this.boundary.pass(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Followed {
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

    /// Masked frames: two fragments with a PING between them, then one of two bytes of length.
    fn frames() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        let mut frame = |head: &[u8], payload: usize, whole: bool| {
            bytes.extend_from_slice(head);
            bytes.extend_from_slice(&[1, 2, 3, 4]);
            bytes.extend(std::iter::repeat_n(0x82, payload));
            if whole {
                ends.push(bytes.len());
            }
        };
        frame(&[0x02, 0x83], 3, false);
        frame(&[0x89, 0x82], 2, false);
        frame(&[0x80, 0x80], 0, true);
        frame(&[0x82, 0xfe, 0, 200], 200, true);
        (bytes, ends)
    }

    #[test]
    fn boundaries_are_found_however_the_bytes_come() {
        let (bytes, ends) = frames();
        for step in 1..=bytes.len() {
            let mut boundary = Boundary::default();
            let mut at = 0;
            for chunk in bytes.chunks(step) {
                boundary.pass(chunk);
                at += chunk.len();
                assert_eq!(boundary.is_reached(), ends.contains(&at), "{step} {at}");
            }
        }
    }

    #[test]
    fn what_is_no_frame_has_no_boundary_any_more() {
        let mut boundary = Boundary::default();
        assert!(boundary.is_reached());
        boundary.pass(&[0x83, 0x80, 0, 0, 0, 0]);
        assert!(!boundary.is_reached());
        boundary.pass(&[0x82, 0x80, 0, 0, 0, 0]);
        assert!(!boundary.is_reached());
    }
}
