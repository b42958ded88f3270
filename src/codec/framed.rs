//! The codecs as [`Decoder`] and [`Encoder`] with owned frames, for [`actix_codec::Framed`]: the
//! client library, sample backends and tests. The gateway itself calls the decoders underneath on
//! its own buffers.

use actix_codec::{Decoder, Encoder};
use bytes::{Buf, Bytes, BytesMut};

use super::client::{self, Header};
use super::{Decoded, link};

/// An owned frame of the client protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientFrame {
    /// The fixed fields.
    pub header: Header,
    /// The service name, or empty.
    pub service: String,
    /// The payload.
    pub payload: Bytes,
}

/// Frames of the client protocol.
#[derive(Debug, Clone, Copy)]
pub struct ClientCodec {
    /// The longest payload that is taken, in bytes.
    pub max_payload: u32,
}

/// Reason for the end of a [`Framed`](actix_codec::Framed) stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The remote end broke the client protocol.
    #[error("client protocol: {0}")]
    Client(#[from] client::FrameError),
    /// The remote end broke the link protocol.
    #[error("link protocol: {0}")]
    Link(#[from] link::FrameError),
}

impl Decoder for ClientCodec {
    type Item = ClientFrame;
    type Error = StreamError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<ClientFrame>, StreamError> {
        let (header, service, used, payload_len) = match client::decode(src, self.max_payload)? {
            Decoded::Frame(f, used) => (f.header, f.service.to_owned(), used, f.payload.len()),
            Decoded::Need(_) => return Ok(None),
        };
        let mut frame = src.split_to(used);
        frame.advance(used - payload_len);
        Ok(Some(ClientFrame {
            header,
            service,
            payload: frame.freeze(),
        }))
    }
}

impl Encoder<ClientFrame> for ClientCodec {
    type Error = StreamError;

    fn encode(&mut self, frame: ClientFrame, dst: &mut BytesMut) -> Result<(), StreamError> {
        let mut out =
            Vec::with_capacity(client::HEADER_LEN + frame.service.len() + frame.payload.len());
        client::encode(&mut out, &frame.header, &frame.service, &frame.payload);
        dst.extend_from_slice(&out);
        Ok(())
    }
}

/// Bytes of whole frames, sent as they are.
impl Encoder<Bytes> for ClientCodec {
    type Error = StreamError;

    fn encode(&mut self, frames: Bytes, dst: &mut BytesMut) -> Result<(), StreamError> {
        dst.extend_from_slice(&frames);
        Ok(())
    }
}

/// An owned frame of the link protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFrame {
    /// Table 2.2.
    pub kind: u8,
    /// 0 where the kind concerns no session.
    pub session_id: u64,
    /// The payload.
    pub payload: Bytes,
}

/// Frames of the link protocol.
#[derive(Debug, Clone, Copy)]
pub struct LinkCodec {
    /// The longest payload that is taken, in bytes.
    pub max_payload: u32,
}

impl Decoder for LinkCodec {
    type Item = LinkFrame;
    type Error = StreamError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<LinkFrame>, StreamError> {
        let (kind, session_id, used) = match link::decode(src, self.max_payload)? {
            Decoded::Frame(f, used) => (f.kind, f.session_id, used),
            Decoded::Need(_) => return Ok(None),
        };
        let mut frame = src.split_to(used);
        frame.advance(link::HEADER_LEN);
        Ok(Some(LinkFrame {
            kind,
            session_id,
            payload: frame.freeze(),
        }))
    }
}

impl Encoder<LinkFrame> for LinkCodec {
    type Error = StreamError;

    fn encode(&mut self, frame: LinkFrame, dst: &mut BytesMut) -> Result<(), StreamError> {
        let mut header = [0; link::HEADER_LEN];
        header[..4].copy_from_slice(&(frame.payload.len() as u32).to_be_bytes());
        header[4] = frame.kind;
        header[8..].copy_from_slice(&frame.session_id.to_be_bytes());
        dst.extend_from_slice(&header);
        dst.extend_from_slice(&frame.payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Frames glued together and cut anywhere come out one by one.
        #[test]
        fn split_and_glued(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..8),
                           step in 1_usize..70) {
            let mut codec = ClientCodec { max_payload: 100 };
            let frames: Vec<ClientFrame> = payloads.into_iter().map(|payload| ClientFrame {
                header: Header { session_id: 5, ..Header::default() },
                service: "game".into(),
                payload: payload.into(),
            }).collect();
            let mut wire = BytesMut::new();
            for frame in &frames {
                codec.encode(frame.clone(), &mut wire).unwrap();
            }
            let (mut seen, mut buffer) = (Vec::new(), BytesMut::new());
            for piece in wire.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                    seen.push(frame);
                }
            }
            prop_assert!(buffer.is_empty());
            prop_assert_eq!(seen, frames);
        }
    }

    #[test]
    fn link_frames_round_trip() {
        let mut codec = LinkCodec { max_payload: 100 };
        let frame = LinkFrame {
            kind: link::Kind::Close as u8,
            session_id: 9,
            payload: Bytes::from_static(b"\0\0"),
        };
        let mut wire = BytesMut::new();
        codec.encode(frame.clone(), &mut wire).unwrap();
        assert_eq!(codec.decode(&mut wire).unwrap(), Some(frame));
        assert_eq!(codec.decode(&mut wire).unwrap(), None);
    }
}
