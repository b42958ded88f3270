//! Encodings of frames on a connection: as they are, in WebSocket messages, as HTTP requests.
//!
//! Hot path: no allocation a frame. So the WebSocket library makes the handshake and the headers,
//! and payloads are masked and read in place.

use std::fmt;
use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::AsyncWrite as _;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::args::Transport;
use crate::codec::Decoded;
use crate::codec::client::{self, Frame};
use crate::net::dial;
use crate::sdk::client::http::Response;

/// A piece of the input.
#[derive(Debug)]
pub(super) enum Item<'a> {
    Frame(Frame<'a>),
    Response(Response<'a>),
    /// Part of the transport, such as a WebSocket's closing frame.
    Control,
}

/// The input is not of this transport; nothing behind it can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl Transport {
    /// Decodes the first item of `input`, with its length; `None` if it is incomplete.
    #[inline]
    pub(super) fn decode(self, input: &[u8]) -> Result<Option<(Item<'_>, usize)>, Broken> {
        match self {
            Transport::Tcp => match client::decode(input, u32::MAX) {
                Ok(Decoded::Frame(frame, used)) => Ok(Some((Item::Frame(frame), used))),
                Ok(Decoded::Need(_)) => Ok(None),
                Err(_) => Err(Broken),
            },
            Transport::Websocket => decode_message(input),
            Transport::Http => match Response::parse(input, u32::MAX) {
                Ok(Some((response, used))) => Ok(Some((Item::Response(response), used))),
                Ok(None) => Ok(None),
                Err(_) => Err(Broken),
            },
        }
    }

    /// Appends a frame, or a whole request where it is HTTP.
    #[inline]
    pub(super) fn append(self, frame: &[u8], out: &mut Vec<u8>) {
        match self {
            Transport::Tcp | Transport::Http => out.extend_from_slice(frame),
            Transport::Websocket => append_message(frame, out),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "tcp",
            Transport::Websocket => "websocket",
            Transport::Http => "http",
        })
    }
}

/// Decodes a message of the gateway, which holds one frame and is not fragmented.
fn decode_message(input: &[u8]) -> Result<Option<(Item<'_>, usize)>, Broken> {
    let mut cursor = Cursor::new(input);
    let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(|_| Broken)? else {
        return Ok(None);
    };
    let at = cursor.position() as usize;
    let end = usize::try_from(length)
        .ok()
        .and_then(|len| at.checked_add(len));
    let end = end.ok_or(Broken)?;
    let Some(payload) = input.get(at..end) else {
        return Ok(None);
    };
    match header.opcode {
        OpCode::Control(_) => Ok(Some((Item::Control, end))),
        OpCode::Data(Data::Binary) if header.is_final && header.mask.is_none() => {
            match client::decode(payload, u32::MAX) {
                Ok(Decoded::Frame(frame, used)) if used == payload.len() => {
                    Ok(Some((Item::Frame(frame), end)))
                }
                _ => Err(Broken),
            }
        }
        OpCode::Data(_) => Err(Broken),
    }
}

fn append_message(frame: &[u8], out: &mut Vec<u8>) {
    let mask: [u8; 4] = rand::random();
    let header = FrameHeader {
        opcode: OpCode::Data(Data::Binary),
        mask: Some(mask),
        ..FrameHeader::default()
    };
    // Writing to a Vec cannot fail.
    let _ = header.format(frame.len() as u64, out);
    let start = out.len();
    out.extend_from_slice(frame);
    // Four bytes at a time, which the compiler makes many.
    let (words, rest) = out[start..].as_chunks_mut();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

/// Bytes on their way into a connection.
pub(super) struct Writer(dial::Writer);

impl Writer {
    pub(super) fn new(writer: dial::Writer) -> Writer {
        Writer(writer)
    }

    /// Writes what the connection takes now. True where nothing is left to write.
    pub(super) fn try_flush(&mut self, out: &mut Vec<u8>) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        self.poll_flush(&mut nobody, out).is_ready()
    }

    /// Writes all of `out`. Cancelling this loses nothing.
    pub(super) async fn flush(&mut self, out: &mut Vec<u8>) {
        std::future::poll_fn(|cx| self.poll_flush(cx, out)).await;
    }

    /// Writes `out`. A failed connection accepts everything: the failure appears in the next read.
    fn poll_flush(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<()> {
        if ready!(self.poll_write(cx, out)).is_err() {
            out.clear();
        }
        Poll::Ready(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<io::Result<()>> {
        while !out.is_empty() {
            let written = ready!(Pin::new(&mut self.0).poll_write(cx, out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            out.drain(..written);
        }
        Pin::new(&mut self.0).poll_flush(cx)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::client::{Header, Kind};

    /// Encodes `frame` as one message of a server.
    fn message(opcode: Data, frame: &[u8]) -> Vec<u8> {
        let header = FrameHeader {
            opcode: OpCode::Data(opcode),
            ..FrameHeader::default()
        };
        let mut out = Vec::new();
        header.format(frame.len() as u64, &mut out).unwrap();
        [out, frame.to_vec()].concat()
    }

    fn ping(payload: &[u8]) -> Vec<u8> {
        let header = Header {
            kind: Kind::Ping as u8,
            ..Header::default()
        };
        let mut out = Vec::new();
        client::encode(&mut out, &header, "", payload);
        out
    }

    #[test]
    fn a_message_is_read_once_it_is_whole() {
        let frame = ping(&[7; 200]);
        let bytes = message(Data::Binary, &frame);
        for cut in 0..bytes.len() {
            let found = Transport::Websocket.decode(&bytes[..cut]).unwrap();
            assert!(found.is_none(), "{cut}");
        }
        match Transport::Websocket.decode(&bytes.repeat(2)).unwrap() {
            Some((Item::Frame(found), used)) => {
                assert_eq!((found.payload, used), (&[7; 200][..], bytes.len()));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_no_gateway_sends_is_broken() {
        let frame = ping(b"");
        let mut masked = Vec::new();
        append_message(&frame, &mut masked);
        for bad in [
            masked,
            message(Data::Text, &frame),
            message(Data::Binary, &frame[1..]),
            message(Data::Binary, &frame[..31]),
            message(Data::Binary, &frame.repeat(2)),
        ] {
            assert_eq!(Transport::Websocket.decode(&bad).unwrap_err(), Broken);
        }
    }

    #[test]
    fn a_message_out_is_masked() {
        let frame = ping(&[7; 61]);
        let mut out = Vec::new();
        append_message(&frame, &mut out);
        let mut cursor = Cursor::new(&out[..]);
        let (header, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        assert_eq!(length, frame.len() as u64);
        let body = &out[cursor.position() as usize..];
        let unmasked: Vec<u8> = body
            .iter()
            .zip(header.mask.unwrap().iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        assert_eq!(unmasked, frame);
    }
}
