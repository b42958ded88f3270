//! Autobahn's cases, as kosoku plays them, against the very way that players come: sniffing, HTTP,
//! handshake and messages. Only what is in the messages is echoed rather than taken for frames.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use game_gateway::config;
use game_gateway::net::entry::{self, Entered};
use game_gateway::net::entry_host::{EntryHost, EntryParams, Refusal};
use game_gateway::net::socket::Socket;
use game_gateway::net::websocket::WebSocket;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
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
    // What a failure leaves to be said is up to the session: nothing, here.
    let _ = echo_messages(*socket).await;
}

/// Echoes messages of any kind until the client's Close, or its fault. Whether text is UTF-8 is for its reader to see: the
/// gateway takes none.
async fn echo_messages(mut socket: WebSocket) -> io::Result<()> {
    let (mut message, mut part) = (Vec::new(), vec![0; 4096]);
    loop {
        let read = poll_fn(|cx| socket.poll_message(cx, &mut part)).await;
        if socket.is_unflushed() {
            socket.flush().await?;
        }
        let code = match read {
            Ok(read) if read.len == 0 && !read.is_last => return Ok(()),
            Ok(read) => {
                message.extend_from_slice(&part[..read.len]);
                if !read.is_last {
                    continue;
                }
                match read.is_text && std::str::from_utf8(&message).is_err() {
                    true => Some(1007),
                    false => {
                        socket.begin_message(read.is_text, message.len());
                        socket.write_all(&message).await?;
                        socket.flush().await?;
                        message.clear();
                        None
                    }
                }
            }
            Err(_) => Some(1002),
        };
        if let Some(code) = code {
            socket.set_close_code(code);
            socket.shutdown().await?;
            while socket.read(&mut part).await? > 0 {}
            return Ok(());
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
