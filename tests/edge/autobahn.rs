//! Autobahn's cases, as kosoku plays them, against the very way that players come: sniffing, HTTP,
//! handshake and messages. Only what is in the messages is echoed rather than taken for frames.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use game_gateway::config;
use game_gateway::net::entry::{self, Entered};
use game_gateway::net::entry_host::{EntryHost, EntryParams, Refusal};
use game_gateway::net::socket::Socket;
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};

use crate::peers::{run, tool};

/// Number of applicable cases.
const CASES: usize = 247;

/// A gateway with nothing behind it, which counts its answers.
#[derive(Default)]
pub(crate) struct Nobody {
    pub(crate) answers: Cell<u64>,
}

impl EntryHost for Nobody {
    fn short_of_memory(&self) -> Option<Refusal> {
        None
    }

    fn refuses_handshakes(&self) -> bool {
        false
    }

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
    fn encrypted(&self, _: Duration) {}
    fn serving_http(&self) {}
    fn refusal(&self) -> Option<Refusal> {
        None
    }
    fn upgrade_refusal(&self) -> Option<Refusal> {
        None
    }
    fn not_ready(&self) -> Option<Refusal> {
        None
    }
    fn begin_session(&self, _: DuplexStream) {}
    fn answered(&self, _: u16) {
        self.answers.set(self.answers.get() + 1);
    }
}

async fn echo(socket: Socket, peer: SocketAddr, config: Arc<config::Config>) {
    let params = EntryParams {
        tls: Arc::default(),
        config,
        remote: peer,
        timeout: Duration::from_secs(30),
        host: Rc::new(Nobody::default()),
        drain: Rc::new(Notify::new()),
    };
    let entered = entry::enter(socket, BytesMut::new(), params).await;
    let Ok(Entered::WebSocket(Socket::WebSocket(socket))) = entered else {
        return;
    };
    let mut messages = socket.into_messages();
    while let Some(Ok(message)) = messages.next().await {
        let echoed = message.is_text() || message.is_binary();
        if echoed && messages.send(message).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn all_cases_that_apply_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let config = Arc::new(config::load(None, std::iter::empty()).expect("the defaults"));
    let reports = tempfile::tempdir().expect("a directory");
    let mut cases = Command::new(tool("kosoku"));
    // 9 is about speed and megabytes, 12 and 13 about compression, which is not offered.
    cases.args(["-p", "4", "-x", "9.*", "-x", "12.*", "-x", "13.*", "-o"]);
    cases.arg(reports.path()).arg(address.to_string());
    let serving = LocalSet::new();
    serving.spawn_local(async move {
        loop {
            let (socket, peer) = listener.accept().await.expect("a connection");
            spawn_local(echo(Socket::Tcp(socket), peer, Arc::clone(&config)));
        }
    });
    serving.run_until(run(&mut cases)).await;
    let index = std::fs::read(reports.path().join("index.json")).expect("an index");
    let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
    let servers = index.as_object().expect("servers").values();
    let cases = servers.flat_map(|cases| cases.as_object().expect("cases"));
    let mut passed = 0;
    for (case, result) in cases {
        for aspect in ["behavior", "behaviorClose"] {
            let result = result[aspect].as_str().expect("a result");
            let good = ["OK", "NON-STRICT", "INFORMATIONAL"].contains(&result);
            assert!(good, "case {case}: {aspect} is {result}");
        }
        passed += 1;
    }
    assert_eq!(passed, CASES);
}
