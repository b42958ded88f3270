//! The players' port before a session: whatever comes, nothing is said but HTTP, and only to what
//! is HTTP; and frames come out as they went in.

#![no_main]

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use game_gateway::codec::sniff::{Sniffed, sniff};
use game_gateway::config;
use game_gateway::net::entry::{Entered, enter};
use game_gateway::net::entry_host::{EntryHost, EntryParams, Refusal};
use game_gateway::net::socket::Socket;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// Room for all that can be said to one input.
const PIPE_BYTES: usize = 1 << 20;

/// A gateway whose sessions end at once.
struct Nobody;

impl EntryHost for Nobody {
    fn read(&self, _: usize) {}
    fn now(&self) -> u64 {
        0
    }
    fn proxied(&self, _: SocketAddr) -> bool {
        true
    }
    fn is_trusted_proxy(&self, _: Option<IpAddr>) -> bool {
        false
    }
    fn forwarded(&self, _: SocketAddr) -> Option<Refusal> {
        None
    }
    fn is_ending(&self) -> bool {
        false
    }
    fn encrypted(&self, _: std::time::Duration) {}
    fn serving_http(&self) {}
    fn refusal(&self) -> Option<Refusal> {
        None
    }
    fn upgrade_refusal(&self) -> Option<Refusal> {
        None
    }
    fn short_of_memory(&self) -> Option<Refusal> {
        None
    }
    fn refuses_handshakes(&self) -> bool {
        false
    }
    fn not_ready(&self) -> Option<Refusal> {
        None
    }
    fn begin_session(&self, _: DuplexStream) {}
    fn answered(&self, _: u16) {}
}

fuzz_target!(|data: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    // The HTTP library starts a task of its own on the thread.
    let tasks = LocalSet::new();
    tasks.block_on(&runtime.expect("a runtime"), async {
        let (mut near, far) = tokio::io::duplex(PIPE_BYTES);
        near.write_all(data).await.expect("room");
        near.shutdown().await.expect("an end");
        let mut settings = config::Config::default();
        let from_balancer = data.first().is_some_and(|byte| b"P\r".contains(byte));
        if from_balancer {
            settings.listen.proxy_protocol_from = "192.0.2.0/24".parse().expect("a network");
        }
        let params = EntryParams {
            tls: Arc::default(),
            config: Arc::new(settings),
            remote: "192.0.2.1:1".parse().expect("an address"),
            timeout: Duration::from_secs(5),
            host: Rc::new(Nobody),
            drain: Rc::new(Notify::new()),
        };
        let entered = enter(Socket::Duplex(far), BytesMut::new(), params).await;
        match entered {
            Ok(Entered::Frames(mut socket, read)) => {
                let mut frames = read.to_vec();
                socket.read_to_end(&mut frames).await.expect("the rest");
                assert!(data.ends_with(&frames));
            }
            Ok(Entered::WebSocket(socket)) => drop(socket),
            Ok(Entered::Served) | Err(_) => {}
        }
        let mut said = Vec::new();
        near.read_to_end(&mut said).await.expect("an end");
        assert!(said.is_empty() || said.starts_with(b"HTTP/1."));
        if !from_balancer && sniff(data) != Sniffed::Http {
            assert!(said.is_empty());
        }
    });
});
