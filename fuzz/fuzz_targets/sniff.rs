//! Sniffing: a verdict once given stays, whatever follows; no transport needs more bytes than it
//! says;
//! and what is taken for frames is what the frame decoder begins to read.

#![no_main]

use game_gateway::codec::client::{FrameError, decode};
use game_gateway::codec::sniff::{MAX_SNIFFED, Sniffed, sniff};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut verdict = Sniffed::More;
    for end in 0..=data.len() {
        let now = sniff(&data[..end]);
        if verdict != Sniffed::More {
            assert_eq!(now, verdict, "at {end}");
        }
        verdict = now;
    }
    if data.len() >= MAX_SNIFFED {
        assert_ne!(verdict, Sniffed::More);
    }
    if data.len() >= 2 {
        let magic = decode(&data[..2], 0) != Err(FrameError::Magic);
        assert_eq!(verdict == Sniffed::Frames, magic);
    }
});
