//! How a cluster speaks to an echo backend that runs alone: whether it is ready, and that it is to leave.
//!
//! Two paths over HTTP/1.1, without a body, one request a connection: no more than a kubelet needs for a probe and a
//! `preStop`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::echo::{ACCEPT_PAUSE, UPGRADE_WINDOW};
use crate::sdk::backend::Speaker;

/// Requests under way; further connections wait in the kernel.
const MAX_REQUESTS: usize = 16;
/// Most bytes of a request's head.
const MAX_HEAD_BYTES: u64 = 8 << 10;
/// Limit from the connection to the end of the request's head, and of writing the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens on `address`, and answers until the runtime ends.
pub(super) async fn start(address: SocketAddr, speaker: Speaker) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(async move {
        let mut requests = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if requests.len() < MAX_REQUESTS => match accepted {
                    Ok((stream, _)) => {
                        requests.spawn(serve(stream, speaker.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = requests.join_next() => {}
            }
        }
    });
    Ok(())
}

async fn serve(mut stream: TcpStream, speaker: Speaker) {
    let Ok(Ok(path)) = timeout(PATIENCE, path(&mut stream)).await else {
        return;
    };
    let (status, text) = answer(&path, &speaker).await;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    // One who has gone has nothing to hear.
    let _ = timeout(PATIENCE, stream.write_all(head.as_bytes())).await;
}

/// Reads a request's head; returns its path, empty where the request is none.
async fn path(stream: &mut TcpStream) -> io::Result<String> {
    let mut lines = BufReader::new(stream.take(MAX_HEAD_BYTES)).lines();
    let first = lines.next_line().await?.unwrap_or_default();
    while lines
        .next_line()
        .await?
        .is_some_and(|line| !line.is_empty())
    {}
    let path = first
        .strip_prefix("GET ")
        .and_then(|rest| rest.split(' ').next());
    Ok(path.unwrap_or_default().to_owned())
}

async fn answer(path: &str, speaker: &Speaker) -> (&'static str, String) {
    match path {
        "/ready" if speaker.is_leaving() => ("503 Service Unavailable", "leaving\n".to_owned()),
        "/ready" => ("200 OK", "ready\n".to_owned()),
        "/leave" => {
            speaker.leave(true);
            let left = speaker.empty(UPGRADE_WINDOW).await;
            let text = format!("{left} sessions left\n");
            let status = if left == 0 {
                "200 OK"
            } else {
                "504 Gateway Timeout"
            };
            (status, text)
        }
        _ => ("404 Not Found", "expected /ready or /leave\n".to_owned()),
    }
}
