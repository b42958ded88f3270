//! Endpoints of rules at which something else answers than a backend.

use std::time::Duration;

use game_gateway::codec::link::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::stage::player;
use crate::support::address;
use crate::support::wire::{Gateway, soon};

/// Starts something that says `words` to everybody who connects; returns its rule.
async fn saying(words: Vec<u8>) -> String {
    let listener = TcpListener::bind(address::own()).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a link");
            let words = words.clone();
            tokio::spawn(async move {
                // The other end may have gone already.
                let _ = socket.write_all(&words).await;
                let _ = socket.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    format!(r#"{{"rules": {{"game": {{"strategy": "round_robin", "endpoints": ["{address}"]}}}}}}"#)
}

/// Encodes a frame whose length has its bytes in that order.
fn frame(length: [u8; 4], kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = length.to_vec();
    bytes.extend([kind as u8, 0, 0, 0]);
    bytes.extend([0; 8]);
    bytes.extend(payload);
    bytes
}

async fn until_last_error(gateway: &Gateway, why: &str) {
    soon(async {
        while !gateway.get("/api/v1/backends").await.1.contains(why) {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_it_looks_like_is_said() {
    let http = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
    let tls = b"\x15\x03\x01\0\x02\x02\x32 and more of it".to_vec();
    let swapped = frame(100_u32.to_le_bytes(), Kind::Data, &[0; 100]);
    let large = frame(0xFFFF_FFFF_u32.to_be_bytes(), Kind::Data, &[]);
    for (words, why) in [
        (http, "looks like HTTP, expected the link protocol"),
        (tls, "looks like TLS, expected the link protocol"),
        (
            swapped,
            "1677721600 bytes, limit 16777216; 100 if its bytes are swapped",
        ),
        (large, "payload too large: 4294967295 bytes, limit 16777216"),
    ] {
        let gateway = Gateway::start(&saying(words).await).await;
        let mut player = player(&gateway, "game", b"hello").await;
        assert_eq!(player.error().await, (502, "game".to_owned()), "{why}");
        until_last_error(&gateway, why).await;
    }
}

#[tokio::test]
async fn a_pong_with_other_bytes_is_no_pong() {
    let pong = frame(3_u32.to_be_bytes(), Kind::Pong, b"???");
    let gateway = Gateway::start_with(&saying(pong).await, |config| {
        config.backend.connect_timeout = Duration::from_millis(300);
    })
    .await;
    let mut player = player(&gateway, "game", b"hello").await;
    assert_eq!(player.error().await, (502, "game".to_owned()));
    until_last_error(&gateway, "connect_timeout").await;
    let dropped = r#"game_gateway_dropped_frames_total{reason="unexpected_pong"}"#;
    gateway.until(dropped, |n| n > 0).await;
    assert_eq!(gateway.metric("game_gateway_ready_links_total").await, 0);
}
