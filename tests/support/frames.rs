//! Client frames as bytes, for tests that write and read the bytes themselves.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

use actix_codec::{Decoder, Encoder, Framed};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use game_gateway::codec::client::{Header, Kind};
use game_gateway::codec::framed::{ClientCodec, ClientFrame};
use tokio::io::AsyncRead;

use super::wire::soon;

pub(crate) const CODEC: ClientCodec = ClientCodec {
    max_payload: 16 * 1024 * 1024,
};

/// Encodes a frame.
pub(crate) fn encoded(header: Header, service: &str, payload: &[u8]) -> Vec<u8> {
    let frame = ClientFrame {
        header,
        service: service.to_owned(),
        payload: Bytes::copy_from_slice(payload),
    };
    let (mut codec, mut bytes) = (CODEC, BytesMut::new());
    codec.encode(frame, &mut bytes).expect("encoded");
    bytes.into()
}

/// Encodes a frame of this kind without ids.
pub(crate) fn frame(kind: u8, service: &str, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        kind,
        ..Header::default()
    };
    encoded(header, service, payload)
}

/// Encodes a DATA frame without ids.
pub(crate) fn data(service: &str, payload: &[u8]) -> Vec<u8> {
    frame(Kind::Data as u8, service, payload)
}

/// Decodes bytes that must be whole frames.
pub(crate) fn decoded(bytes: &[u8]) -> Vec<ClientFrame> {
    let (mut codec, mut rest) = (CODEC, BytesMut::from(bytes));
    let frames = std::iter::from_fn(|| codec.decode(&mut rest).expect("frames")).collect();
    assert!(rest.is_empty(), "no whole frame: {rest:?}");
    frames
}

/// Reads one frame, with nothing behind it.
pub(crate) async fn next(socket: &mut (impl AsyncRead + Unpin)) -> ClientFrame {
    let mut framed = Framed::new(socket, CODEC);
    let frame = soon(framed.next()).await.expect("a frame");
    assert!(framed.is_read_buf_empty(), "more than one frame");
    frame.expect("a frame")
}
