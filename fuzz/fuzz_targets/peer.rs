//! Frames of the peer channel: whatever comes is read or refused, and what is read is written as it was,
//! what a later version puts behind it aside.

#![no_main]

use game_gateway::codec::peer::wire::PeerFrame;
use game_gateway::net::peer::Hello;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(frame) = PeerFrame::decode(data) {
        let written = frame.encode();
        assert_eq!(PeerFrame::decode(&written), Ok(frame));
    }
    if let Ok(hello) = Hello::decode(data) {
        assert_eq!(Hello::decode(&hello.encode()[2..]), Ok(hello));
    }
});
