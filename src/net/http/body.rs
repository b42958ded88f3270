//! The head and body of one request, exactly as long as they are: no byte of the next request is
//! taken.
//!
//! Both are decoded by actix-http's codec, which refuses what two readers could understand
//! differently. Each request gets a fresh one, because it remembers things of its last request.

use std::io;

use actix_codec::Decoder;
use actix_http::error::ParseError;
use actix_http::header::{self, HeaderMap};
use actix_http::{KeepAlive, Request, ServiceConfig, h1};
use bytes::{Bytes, BytesMut};

use super::stream::Stream;
use crate::memory;

/// Bytes that the head of a request may have.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Bytes of one read.
pub(crate) const READ_BYTES: usize = 8 * 1024;

thread_local! {
    /// Has a clock that ticks, so there is one a thread.
    static CONFIG: ServiceConfig = ServiceConfig::new(
        KeepAlive::Os, std::time::Duration::ZERO, std::time::Duration::ZERO, false, None,
    );
}

/// A connection over which no request can be understood any more, or none comes.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The client is told why, and the connection ends.
    Refused(Mistake),
    /// The connection is over.
    Ended,
}

/// Something wrong with a request, whatever it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The status of the response.
    pub(crate) status: u16,
    pub(crate) text: &'static str,
    /// The next request cannot be found any more.
    pub(crate) is_lost: bool,
}

/// A body over the limit.
pub(crate) const TOO_LARGE: Mistake = Mistake {
    status: 413,
    text: "payload over the limit",
    is_lost: false,
};
pub(super) const SHORT_OF_MEMORY: Mistake = Mistake {
    status: 503,
    text: "this gateway is short of memory",
    is_lost: false,
};
const MALFORMED_BODY: Mistake = Mistake {
    status: 400,
    text: "the body is malformed",
    is_lost: true,
};
const MALFORMED: Mistake = Mistake {
    status: 400,
    text: "the request is malformed",
    is_lost: true,
};
const HEAD_TOO_LARGE: Mistake = Mistake {
    status: 431,
    text: "the request's head is over the limit",
    is_lost: true,
};

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Broken {
        Broken::Ended
    }
}

/// The rest of a request's body.
pub(crate) enum Body {
    /// So many bytes.
    Length(u64),
    Chunked(Box<h1::Codec>),
    /// All of it was taken.
    Done,
}

/// Reads the head of a request.
///
/// # Errors
/// It is malformed, over the limit, or does not come, or it is long and memory is short.
pub(crate) async fn read_head(
    stream: &mut Stream,
    is_short: impl Fn() -> bool,
) -> Result<(Request, Body), Broken> {
    let refused = |mistake| Err(Broken::Refused(mistake));
    let mut codec = Box::new(h1::Codec::new(CONFIG.with(ServiceConfig::clone)));
    let mut checked = 0;
    loop {
        // Without a new line there is nothing new to be understood.
        if stream.read[checked..].contains(&b'\n') {
            let had = stream.read.len();
            match codec.decode(&mut stream.read) {
                Ok(Some(h1::Message::Item(request))) => {
                    if had - stream.read.len() > MAX_HEAD_BYTES {
                        return refused(HEAD_TOO_LARGE);
                    }
                    let body = Body::new(request.head().headers(), codec);
                    return Ok((request, body));
                }
                Ok(None) => {}
                Err(ParseError::TooLarge) => {
                    return refused(HEAD_TOO_LARGE);
                }
                // A chunk comes behind a head only.
                Ok(Some(h1::Message::Chunk(_))) | Err(_) => {
                    return refused(MALFORMED);
                }
            }
        }
        checked = stream.read.len();
        if checked >= MAX_HEAD_BYTES {
            return refused(HEAD_TOO_LARGE);
        }
        // A usual head comes with one read.
        if checked >= READ_BYTES && is_short() {
            return refused(Mistake {
                is_lost: true,
                ..SHORT_OF_MEMORY
            });
        }
        if stream.more(READ_BYTES).await? == 0 {
            return Err(Broken::Ended);
        }
    }
}

impl Body {
    /// The body behind a head that the codec has let pass: of its length there is one statement.
    fn new(headers: &HeaderMap, codec: Box<h1::Codec>) -> Body {
        if headers.contains_key(header::TRANSFER_ENCODING) {
            return Body::Chunked(codec);
        }
        let length = headers.get(header::CONTENT_LENGTH);
        match length.and_then(|value| value.to_str().ok()?.trim().parse().ok()) {
            None | Some(0) => Body::Done,
            Some(length) => Body::Length(length),
        }
    }

    /// Its length, where that is announced.
    fn len(&self) -> Option<usize> {
        match self {
            Body::Length(left) => usize::try_from(*left).ok(),
            Body::Chunked(_) => None,
            Body::Done => Some(0),
        }
    }

    /// Returns true if its length is known only behind it.
    pub(super) fn is_chunked(&self) -> bool {
        matches!(self, Body::Chunked(_))
    }

    /// Returns true if nothing of it is left.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Body::Done)
    }

    /// Returns true if more than `limit` bytes are known to be left.
    pub(crate) fn is_over(&self, limit: u64) -> bool {
        matches!(self, Body::Length(left) if *left > limit)
    }

    /// Takes what has come of the body; an empty piece if that is nothing.
    fn take(&mut self, read: &mut BytesMut) -> Result<Bytes, ParseError> {
        match self {
            Body::Done => Ok(Bytes::new()),
            Body::Length(left) => {
                let piece = read.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece as u64;
                if *left == 0 {
                    *self = Body::Done;
                }
                Ok(read.split_to(piece).freeze())
            }
            Body::Chunked(codec) => match codec.decode(read)? {
                Some(h1::Message::Chunk(Some(piece))) => Ok(piece),
                None => Ok(Bytes::new()),
                Some(h1::Message::Chunk(None) | h1::Message::Item(_)) => {
                    *self = Body::Done;
                    Ok(Bytes::new())
                }
            },
        }
    }

    /// Passes the body on in pieces.
    async fn each(
        &mut self,
        stream: &mut Stream,
        mut pass: impl FnMut(&[u8]) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        loop {
            let piece = self.take(&mut stream.read);
            let broken = |_| Broken::Refused(MALFORMED_BODY);
            let piece = piece.map_err(broken)?;
            pass(&piece)?;
            let is_all = piece.is_empty();
            if self.is_done() {
                return Ok(());
            }
            drop(piece);
            if stream.read.is_empty() {
                // The pieces' memory goes with it, also while the rest is waited for.
                stream.free();
            }
            if is_all && stream.more(self.room()).await? == 0 {
                return Err(Broken::Refused(MALFORMED_BODY));
            }
        }
    }

    /// Bytes of one read: of a body whose length is known nothing beyond it.
    fn room(&self) -> usize {
        match self {
            Body::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Body::Chunked(_) | Body::Done => READ_BYTES,
        }
    }

    /// Reads the whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// It is malformed, over the limit, or does not come, or memory is short.
    pub(crate) async fn read(
        &mut self,
        stream: &mut Stream,
        limit: usize,
        is_short: impl Fn() -> bool,
    ) -> Result<Bytes, Broken> {
        let mut body = Vec::new();
        let mut held = stream.hold(0);
        let known = self.len();
        self.each(stream, |piece| {
            if is_short() {
                return Err(Broken::Refused(SHORT_OF_MEMORY));
            }
            if piece.len() > limit - body.len() {
                return Err(Broken::Refused(TOO_LARGE));
            }
            // It doubles, but not beyond what is announced.
            if body.capacity() - body.len() < piece.len() {
                let most = known.map_or(limit, |known| known.min(limit)) - body.len();
                let wanted = body.len().min(most).max(piece.len());
                if !memory::admits(wanted) {
                    return Err(Broken::Refused(SHORT_OF_MEMORY));
                }
                body.reserve_exact(wanted);
            }
            body.extend_from_slice(piece);
            held.set(body.capacity());
            Ok(())
        })
        .await?;
        body.shrink_to_fit();
        Ok(body.into())
    }

    /// Reads and forgets the body, at most `limit` bytes of it.
    ///
    /// # Errors
    /// The next request cannot be found.
    pub(crate) async fn discard(
        &mut self,
        stream: &mut Stream,
        limit: usize,
    ) -> Result<(), Broken> {
        let mut left = limit;
        self.each(stream, |piece| {
            left = left.checked_sub(piece.len()).ok_or(Broken::Ended)?;
            Ok(())
        })
        .await
    }
}
