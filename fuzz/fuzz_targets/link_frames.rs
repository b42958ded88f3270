//! The link protocol's decoders, frames and the payloads in them: what they yield, encoded again,
//! is what they read; a cut frame is never a frame; a payload never claims more than it holds.

#![no_main]

use actix_codec::Encoder;
use bytes::{Bytes, BytesMut};
use game_gateway::codec::Decoded;
use game_gateway::codec::framed::{LinkCodec, LinkFrame};
use game_gateway::codec::link::{
    Assign, Bind, Features, HEADER_LEN, Hello, Kind, Multicast, Open, Transfer, decode,
};
use libfuzzer_sys::fuzz_target;

/// Below the longest input, so that payloads over the limit are tried too.
const MAX_PAYLOAD: u32 = 1024;
/// The header's flags and reserved bytes, which a receiver ignores.
const IGNORED: std::ops::Range<usize> = 5..8;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    loop {
        match decode(rest, MAX_PAYLOAD) {
            Ok(Decoded::Frame(frame, used)) => {
                encodes_to(frame.kind, frame.session_id, frame.payload, &rest[..used]);
                for cut in 0..used {
                    needs_more(&rest[..cut], used);
                }
                payload(Kind::from_byte(frame.kind), frame.payload);
                rest = &rest[used..];
            }
            Ok(Decoded::Need(_)) => {
                return needs_more(rest, HEADER_LEN + MAX_PAYLOAD as usize);
            }
            // Known from the header alone, whatever follows.
            Err(error) => {
                return assert_eq!(decode(&rest[..HEADER_LEN], MAX_PAYLOAD), Err(error));
            }
        }
    }
});

fn encodes_to(kind: u8, session_id: u64, payload: &[u8], bytes: &[u8]) {
    let frame = LinkFrame {
        kind,
        session_id,
        payload: Bytes::copy_from_slice(payload),
    };
    let mut codec = LinkCodec {
        max_payload: MAX_PAYLOAD,
    };
    let mut encoded = BytesMut::new();
    let written = codec.encode(frame, &mut encoded);
    assert!(written.is_ok());
    let mut expected = bytes.to_vec();
    expected[IGNORED].fill(0);
    assert_eq!(encoded, expected);
}

/// Asserts that a prefix asks for more bytes than it has, and for no more than the whole frame.
fn needs_more(prefix: &[u8], whole: usize) {
    match decode(prefix, MAX_PAYLOAD) {
        Ok(Decoded::Need(n)) => assert!(n > prefix.len() && n <= whole, "{n} of {whole}"),
        other => panic!("{} bytes: {other:?}", prefix.len()),
    }
}

fn payload(kind: Option<Kind>, payload: &[u8]) {
    match kind {
        Some(Kind::Hello) => hello(payload),
        Some(Kind::Open) => open(payload),
        Some(Kind::Bind) => bind(payload),
        Some(Kind::Multicast) => multicast(payload),
        Some(Kind::Features) => features(payload),
        Some(Kind::Assign) => assign(payload),
        Some(Kind::Transfer) => transfer(payload),
        _ => {}
    }
}

fn hello(payload: &[u8]) {
    if let Ok(hello) = serde_json::from_slice::<Hello>(payload) {
        let again = serde_json::to_vec(&hello).and_then(|json| serde_json::from_slice(&json));
        assert!(again.is_ok_and(|again: Hello| again == hello));
    }
}

fn open(payload: &[u8]) {
    let Ok(open) = Open::decode(payload) else {
        return;
    };
    let mut encoded = Vec::new();
    open.encode(&mut encoded);
    // Bytes behind the known ones are for later versions.
    assert_eq!(encoded, payload[..encoded.len()]);
    // A state goes on to the end, wherever that is.
    for cut in 0..encoded.len() - open.state.len() {
        assert!(Open::decode(&payload[..cut]).is_err(), "cut at {cut}");
    }
}

fn bind(payload: &[u8]) {
    match Bind::decode(payload) {
        Ok(bind) => assert_eq!(bind.encode(), payload[..Bind::LEN]),
        Err(_) => assert!(payload.len() < Bind::LEN),
    }
}

fn multicast(payload: &[u8]) {
    let Ok(multicast) = Multicast::decode(payload) else {
        return;
    };
    let ids: Vec<u64> = multicast.sessions().collect();
    let mut encoded = Vec::new();
    Multicast::encode(&mut encoded, &ids, multicast.payload);
    assert_eq!(encoded, payload);
}

fn features(payload: &[u8]) {
    if let Ok(features) = Features::decode(payload) {
        assert_eq!(Features::decode(&features.encode()), Ok(features));
    }
}

fn assign(payload: &[u8]) {
    let Ok(assign) = Assign::decode(payload) else {
        return;
    };
    let mut encoded = Vec::new();
    assign.encode(&mut encoded);
    // Bytes behind the known ones are for later versions.
    assert_eq!(encoded, payload[..encoded.len()]);
    for cut in 0..encoded.len() {
        assert!(Assign::decode(&payload[..cut]).is_err(), "cut at {cut}");
    }
}

fn transfer(payload: &[u8]) {
    let Ok(transfer) = Transfer::decode(payload) else {
        return;
    };
    let mut encoded = Vec::new();
    transfer.encode(&mut encoded);
    assert_eq!(encoded, payload[..encoded.len()]);
    for cut in 0..encoded.len() {
        assert!(Transfer::decode(&payload[..cut]).is_err(), "cut at {cut}");
    }
}
