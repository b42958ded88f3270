//! Input after a WebSocket handshake: whatever a client sends and however that is cut, the session sees the same bytes, never
//! more than arrived.

#![no_main]

use game_gateway::net::socket::Socket;
use game_gateway::net::websocket::WebSocket;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The largest payload, in bytes.
const LIMIT: u32 = 1024;
/// Room for all that the gateway can have to say to one input: a PONG is as long as its PING.
const PIPE_BYTES: usize = 64 * 1024;

/// What the session reads when `input` comes behind the handshake in pieces of `step` bytes, and whether it ends well.
async fn read(input: &[u8], step: usize) -> (Vec<u8>, bool) {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let (_answers, mut requests) = tokio::io::split(near);
    let (early, rest) = input.split_at(step.min(input.len()));
    let mut socket = WebSocket::new(Socket::Duplex(far), early, LIMIT);
    let (mut seen, mut buffer) = (Vec::new(), vec![0; step]);
    let sending = async {
        for piece in rest.chunks(step) {
            // One that has been refused is read no more.
            let _ = requests.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        let _ = requests.shutdown().await;
    };
    let reading = async {
        loop {
            match socket.read(&mut buffer).await {
                Ok(0) => break (seen, true),
                Ok(read) => seen.extend_from_slice(&buffer[..read]),
                Err(_) => break (seen, false),
            }
        }
    };
    let (_, seen) = futures_util::future::join(sending, reading).await;
    seen
}

fuzz_target!(|data: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let whole = read(data, PIPE_BYTES).await;
        assert!(whole.0.len() <= data.len());
        for step in [1, 7] {
            assert_eq!(read(data, step).await, whole, "{step}");
        }
    });
});
