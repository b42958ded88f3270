//! Strangers at the peer port, as the log has them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::Deployment;
use crate::support::wire::soon;

const LINE: &str = "connections of the peer channel were refused";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_strangers_make_one_line() {
    const STRANGERS: u64 = 50;
    let deployment = Deployment::start(1, "").await;
    let place = &deployment.places[0];
    for _ in 0..STRANGERS {
        let mut stream = TcpStream::connect(place.peer).await.expect("connected");
        (stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await).expect("written");
        // Refused by a reset, for not all of it was read.
        let _ = soon(stream.read_to_end(&mut Vec::new())).await;
    }
    let failures = "game_gateway_peer_handshake_failures_total{reason=\"malformed\"}";
    deployment.until(0, failures, |n| n == STRANGERS).await;
    soon(async {
        while !place.process.output().contains(LINE) {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    let output = place.process.output();
    let lines: Vec<&str> = output.lines().filter(|line| line.contains(LINE)).collect();
    let [line] = lines[..] else {
        panic!("{lines:?}");
    };
    assert!(
        line.contains("WARN") && line.contains("looks like HTTP"),
        "{line}"
    );
}
