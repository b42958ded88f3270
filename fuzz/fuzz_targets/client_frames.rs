//! The client protocol's decoder: what it yields, encoded again, is what it read; a cut frame is
//! never a frame; an error never goes away; a stream is the same however it is cut.

#![no_main]

use actix_codec::Decoder;
use bytes::BytesMut;
use game_gateway::codec::Decoded;
use game_gateway::codec::client::{HEADER_LEN, MAX_SERVICE_LEN, decode, encode};
use game_gateway::codec::code::{Code, MAX_TEXT_BYTES, Notice};
use game_gateway::codec::framed::{ClientCodec, ClientFrame};
use libfuzzer_sys::fuzz_target;

/// Below the longest input, so that payloads over the limit are tried too.
const MAX_PAYLOAD: u32 = 1024;
/// The header's bytes that a receiver ignores.
const RESERVED: std::ops::Range<usize> = 30..32;

fuzz_target!(|data: &[u8]| {
    match decode(data, MAX_PAYLOAD) {
        Ok(Decoded::Frame(frame, used)) => {
            let mut expected = data[..used].to_vec();
            expected[RESERVED].fill(0);
            let mut encoded = Vec::new();
            encode(&mut encoded, &frame.header, frame.service, frame.payload);
            assert_eq!(encoded, expected);
            for cut in 0..used {
                needs_more(&data[..cut], used);
            }
            notice(frame.payload);
        }
        Ok(Decoded::Need(_)) => {
            needs_more(data, HEADER_LEN + MAX_SERVICE_LEN + MAX_PAYLOAD as usize);
        }
        Err(error) => {
            let mut longer = data.to_vec();
            longer.extend([0; HEADER_LEN]);
            assert_eq!(decode(&longer, MAX_PAYLOAD), Err(error));
        }
    }
    let step = 1 + data.len() % 61;
    assert_eq!(
        read_in_steps(data, step),
        read_in_steps(data, data.len().max(1))
    );
});

/// Asserts that a prefix asks for more bytes than it has, and for no more than the whole frame.
fn needs_more(prefix: &[u8], whole: usize) {
    match decode(prefix, MAX_PAYLOAD) {
        Ok(Decoded::Need(n)) => assert!(n > prefix.len() && n <= whole, "{n} of {whole}"),
        other => panic!("{} bytes: {other:?}", prefix.len()),
    }
}

/// Decodes all frames of a stream that arrives in pieces, and the error that ended it.
fn read_in_steps(data: &[u8], step: usize) -> (Vec<ClientFrame>, Option<String>) {
    let mut codec = ClientCodec {
        max_payload: MAX_PAYLOAD,
    };
    let (mut frames, mut buffer) = (Vec::new(), BytesMut::new());
    for piece in data.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    (frames, None)
}

/// Decodes any payload of ERROR and CLOSE, and asserts that a round trip preserves the result.
fn notice(payload: &[u8]) {
    let notice = Notice::decode(payload, Code::KICKED);
    assert!(notice.text.len() <= MAX_TEXT_BYTES);
    let mut encoded = Vec::new();
    notice.encode(&mut encoded);
    assert_eq!(encoded.len(), notice.encoded_len());
    assert_eq!(Notice::decode(&encoded, Code::NORMAL), notice);
}
