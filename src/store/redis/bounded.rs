//! Bounds of what Redis may answer. The crate gathers each reply whole, and Redis takes values of half a gigabyte; so a
//! value that is too large is skipped as it comes, and an error is put in its place. The connection goes on.
//!
//! Replies are followed by their headers alone, as of RESP2, which these connections speak.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// The code of the error that stands for a value, or the rest of a reply, that was skipped.
pub(super) const TOO_LARGE: &str = "TOOLARGE";
/// Bytes that one read takes.
const READ_BYTES: usize = 16 * 1024;
/// Limit of a line: the errors of Redis are shorter.
const MAX_LINE: usize = 8 * 1024;
/// Most parts of one array: four for each of a million realms.
const MAX_PARTS: usize = 4 << 20;
/// Most arrays that are parts of each other; the commands in use have 3.
const MAX_DEPTH: usize = 8;
/// Arrays around the fields of a hash in the reply of HSCAN, and in that of HGETALL in a transaction.
const DEPTH_OF_FIELDS: usize = 2;

/// Bounds of one connection's replies, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// A value.
    pub(super) value: usize,
    /// A value among many: a realm, or its address.
    pub(super) field: usize,
    /// All values of one reply.
    pub(super) reply: usize,
    /// A value that is too large becomes an empty one, and no error, of which a subscription could make nothing.
    pub(super) emptied: bool,
}

/// A stream whose input keeps within bounds.
pub(super) struct Bounded<S> {
    stream: S,
    bounds: Bounds,
    /// Input that was not looked at yet.
    raw: BytesMut,
    next: Next,
    /// Parts that are still to come of each array that has begun, the outermost first.
    open: Vec<usize>,
    /// Bytes of the values in this reply.
    bytes: usize,
    /// This reply has its error; what else is too large in it becomes empty.
    refused: bool,
}

/// What becomes of the next input.
enum Next {
    /// It is a header, or a line.
    Line,
    /// So many bytes pass.
    Pass(usize),
    /// So many bytes are skipped, then this stands for them.
    Skip(usize, Bytes),
    /// This is passed in place of what was skipped.
    Say(Bytes),
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, bounds: Bounds) -> Bounded<S> {
        Bounded {
            stream,
            bounds,
            raw: BytesMut::new(),
            next: Next::Line,
            open: Vec::new(),
            bytes: 0,
            refused: false,
        }
    }

    /// Passes on what there is.
    fn pass(&mut self, to: &mut ReadBuf<'_>) -> io::Result<()> {
        while to.remaining() > 0 {
            match &mut self.next {
                Next::Line => match self.raw.iter().position(|byte| *byte == b'\n') {
                    Some(end) => self.next = self.judge(end + 1)?,
                    None if self.raw.len() > MAX_LINE => return Err(invalid("line too long")),
                    None => return Ok(()),
                },
                Next::Pass(0) => self.next = Next::Line,
                Next::Pass(_) | Next::Skip(1.., _) if self.raw.is_empty() => return Ok(()),
                Next::Pass(left) => {
                    let now = (*left).min(self.raw.len()).min(to.remaining());
                    *left -= now;
                    to.put_slice(&self.raw[..now]);
                    self.raw.advance(now);
                }
                Next::Skip(0, instead) => self.next = Next::Say(std::mem::take(instead)),
                Next::Skip(left, _) => {
                    let now = (*left).min(self.raw.len());
                    *left -= now;
                    self.raw.advance(now);
                }
                Next::Say(rest) if rest.is_empty() => self.next = Next::Line,
                Next::Say(rest) => {
                    let now = rest.len().min(to.remaining());
                    to.put_slice(&rest.split_to(now));
                }
            }
        }
        Ok(())
    }

    /// Decides about what the line of this length begins.
    fn judge(&mut self, line: usize) -> io::Result<Next> {
        if self.open.is_empty() {
            (self.bytes, self.refused) = (0, false);
        }
        let kind = self.raw[0];
        if kind != b'*' && kind != b'$' {
            self.ends();
            return Ok(Next::Pass(line));
        }
        let number = std::str::from_utf8(&self.raw[1..line]).ok();
        let number: Option<i64> = number.and_then(|number| number.trim_ascii_end().parse().ok());
        // Negative: there is no such value.
        let number = number.ok_or_else(|| invalid("invalid length"))?;
        let length = usize::try_from(number).unwrap_or(0);
        if kind == b'*' && length > 0 {
            if length > MAX_PARTS || self.open.len() == MAX_DEPTH {
                return Err(invalid("too many parts"));
            }
            self.open.push(length);
            return Ok(Next::Pass(line));
        }
        let instead = self.instead_of(length);
        self.ends();
        if kind == b'*' || number < 0 {
            return Ok(Next::Pass(line));
        }
        // The value ends with a line's end.
        match instead {
            None => {
                self.bytes += length;
                Ok(Next::Pass(line + length + 2))
            }
            Some(instead) => Ok(Next::Skip(line + length + 2, instead)),
        }
    }

    /// Returns what stands for a value of this length; none: itself.
    fn instead_of(&mut self, length: usize) -> Option<Bytes> {
        let Bounds {
            value,
            field,
            reply,
            emptied,
        } = self.bounds;
        let most = match self.open.len() < DEPTH_OF_FIELDS {
            true => value,
            false => field,
        };
        let why = match self.bytes + length {
            _ if length > most => format!("a value of {length} bytes, limit {most}"),
            all if all > reply => format!("a reply of more than {reply} bytes"),
            _ => return None,
        };
        Some(
            match emptied || std::mem::replace(&mut self.refused, true) {
                true => Bytes::from_static(b"$0\r\n\r\n"),
                false => format!("-{TOO_LARGE} {why}\r\n").into(),
            },
        )
    }

    /// A value has ended, and with it all arrays of which it is the last part.
    fn ends(&mut self) {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("invalid reply: {why}"))
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = to.filled().len();
        loop {
            this.pass(to)?;
            if to.filled().len() > before || to.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            // A line that has begun at the most is left.
            this.raw.reserve(READ_BYTES);
            let stream = Pin::new(&mut this.stream);
            if ready!(poll_read_buf(stream, cx, &mut this.raw))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    const BOUNDS: Bounds = Bounds {
        value: 10,
        field: 3,
        reply: 24,
        emptied: false,
    };

    /// Input that is there, in pieces of this size.
    struct Pieces<'a>(&'a [u8], usize);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            to: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let size = self.1.min(self.0.len()).min(to.remaining());
            let (piece, rest) = self.0.split_at(size);
            to.put_slice(piece);
            self.0 = rest;
            Poll::Ready(Ok(()))
        }
    }

    /// What comes of `input` when it comes in pieces of this size.
    fn passed(input: &[u8], piece: usize, bounds: Bounds) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        let mut bounded = Bounded::new(Pieces(input, piece), bounds);
        let read = bounded.read_to_end(&mut output).now_or_never();
        read.expect("all of it is there").map(|_| output)
    }

    #[test]
    fn what_is_too_large_is_an_error_in_its_place() {
        let long = "*2\r\n$4\r\nabcd\r\n*2\r\n$1\r\na\r\n$4\r\nabcd\r\n";
        let many = "*3\r\n$9\r\n123456789\r\n$9\r\n123456789\r\n$9\r\n123456789\r\n";
        for (input, output) in [
            (
                "$11\r\n12345678901\r\n+OK\r\n",
                "-TOOLARGE a value of 11 bytes, limit 10\r\n+OK\r\n",
            ),
            ("$10\r\n1234567890\r\n:7\r\n", "$10\r\n1234567890\r\n:7\r\n"),
            (
                "$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n",
                "$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n",
            ),
            (
                "*2\r\n$1\r\n0\r\n*4\r\n$3\r\nabc\r\n$4\r\n$9\r\n\r\n$5\r\n12345\r\n$1\r\na\r\n:1\r\n",
                "*2\r\n$1\r\n0\r\n*4\r\n$3\r\nabc\r\n-TOOLARGE a value of 4 bytes, limit 3\r\n$0\r\n\r\n$1\r\na\r\n:1\r\n",
            ),
            (
                &format!("{long}{long}"),
                &long
                    .replacen(
                        "*2\r\n$1\r\na\r\n$4\r\nabcd",
                        "*2\r\n$1\r\na\r\n-TOOLARGE a value of 4 bytes, limit 3",
                        1,
                    )
                    .repeat(2),
            ),
            (
                &format!("{many}+QUEUED\r\n"),
                "*3\r\n$9\r\n123456789\r\n$9\r\n123456789\r\n-TOOLARGE a reply of more than 24 bytes\r\n+QUEUED\r\n",
            ),
        ] {
            for piece in [1, 2, 7, 1000] {
                let came = passed(input.as_bytes(), piece, BOUNDS).unwrap();
                assert_eq!(String::from_utf8_lossy(&came), output, "{piece}");
            }
        }
        let emptied = Bounds {
            emptied: true,
            ..BOUNDS
        };
        let came = passed(b"*2\r\n$1\r\na\r\n$11\r\n12345678901\r\n", 5, emptied).unwrap();
        assert_eq!(came, b"*2\r\n$1\r\na\r\n$0\r\n\r\n");
    }

    #[test]
    fn what_is_no_reply_ends_the_connection() {
        let line = vec![b'+'; MAX_LINE + 2];
        let parts = format!("*{}\r\n", MAX_PARTS + 1);
        let deep = "*1\r\n".repeat(MAX_DEPTH + 1);
        for input in [&line[..], parts.as_bytes(), deep.as_bytes(), b"$x\r\n"] {
            let error = passed(input, 64, BOUNDS).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    /// A reply as it is on the wire, with no value over 3 bytes.
    fn reply() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "[a-z]{0,3}".prop_map(|text| format!("${}\r\n{text}\r\n", text.len())),
            Just("$-1\r\n".to_owned()),
            Just(":42\r\n".to_owned()),
            "[a-z ]{0,9}".prop_map(|text| format!("-ERR {text}\r\n")),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            let parts = prop::collection::vec(inner, 0..4);
            parts.prop_map(|parts| format!("*{}\r\n{}", parts.len(), parts.concat()))
        })
    }

    proptest! {
        #[test]
        fn what_keeps_within_bounds_is_not_changed(
            replies in prop::collection::vec(reply(), 1..5),
            piece in 1..40_usize,
        ) {
            let input = replies.concat();
            let bounds = Bounds { reply: 1000, ..BOUNDS };
            prop_assert_eq!(passed(input.as_bytes(), piece, bounds).unwrap(), input.as_bytes());
        }

        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200), piece in 1..40_usize) {
            let _ = passed(&input, piece, BOUNDS);
        }
    }
}
