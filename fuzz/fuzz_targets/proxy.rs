//! PROXY headers: what a header says does not change with what follows; a part of one asks for more
//! and never for less than it has; sniffing and the decoder agree on what a header is.

#![no_main]

use game_gateway::codec::Decoded;
use game_gateway::codec::proxy::{MAX_V2, decode};
use game_gateway::codec::sniff::{Sniffed, sniff};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = decode(data);
    for end in 1..=data.len().min(MAX_V2) {
        match decode(&data[..end]) {
            Ok(Decoded::Frame(said, used)) => {
                assert!(used <= end);
                assert_eq!(sniff(data), Sniffed::Proxy);
                assert_eq!(whole, Ok(Decoded::Frame(said, used)));
                return;
            }
            Ok(Decoded::Need(need)) => assert!(need > end && need <= MAX_V2),
            Err(error) => {
                assert_eq!(whole, Err(error));
                return;
            }
        }
    }
});
