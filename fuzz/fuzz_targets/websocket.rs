//! Input after a WebSocket handshake: whatever a client sends, the session sees whole frames, up to the
//! first broken one, and never more bytes than arrived.

#![no_main]

use game_gateway::codec::Decoded;
use game_gateway::codec::client::decode;
use game_gateway::net::websocket::WebSocket;
use game_gateway::net::socket::Socket;
use libfuzzer_sys::fuzz_target;
use tokio::io::AsyncReadExt;

/// The largest payload, in bytes.
const LIMIT: u32 = 1024;
/// Room for all that the gateway can have to say to one input: a PONG is as long as its PING.
const PIPE_BYTES: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let (_answers, requests) = tokio::io::split(near);
        // The client has ended behind its bytes.
        let ended = async {
            let mut requests = requests;
            tokio::io::AsyncWriteExt::shutdown(&mut requests).await
        };
        ended.await.expect("an end");
        let mut socket = WebSocket::new(Socket::Duplex(far), data.to_vec(), LIMIT).await;
        let mut frames = Vec::new();
        let ended_well = socket.read_to_end(&mut frames).await.is_ok();
        assert!(frames.len() <= data.len());
        let mut at = 0;
        while at < frames.len() {
            match decode(&frames[at..], LIMIT) {
                Ok(Decoded::Frame(_, used)) => at += used,
                Ok(Decoded::Need(_)) => {
                    // Only behind broken framing can the rest look like the beginning of a frame.
                    panic!("a part of a frame at {at}, well: {ended_well}");
                }
                Err(_) => return,
            }
        }
    });
});
