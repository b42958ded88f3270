//! A gateway under test, scripted players and scripted backends, over real sockets on free ports.
//!
//! Everything waits for events. The deadline only ends a test that fails.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use actix_codec::Framed;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use game_gateway::codec::client::{self, Header};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::framed::{ClientCodec, ClientFrame, LinkCodec, LinkFrame};
use game_gateway::codec::link;
use game_gateway::config::{self, Config};
use game_gateway::inspection::Inspector;
use game_gateway::run::{self, Running};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::address;

/// Limit for anything; only a failing test waits so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Lets pass what is between two looks at something that is to become so. Whoever looks without a pause takes the
/// processors from those who make it so.
pub(crate) async fn look_again() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// Waits for what must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what)
        .await
        .expect("what must happen has not happened")
}

/// Returns the value of a metric in the answer of `/metrics`; without labels the sum over all of them.
pub(crate) fn metric(body: &str, name: &str) -> u64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let rest = match rest.strip_prefix('{') {
            Some(labelled) => labelled.split_once('}')?.1,
            None => rest,
        };
        rest.strip_prefix(' ')?.parse::<u64>().ok()
    };
    let values: Vec<u64> = body.lines().filter_map(value).collect();
    assert!(!values.is_empty(), "no {name} in\n{body}");
    values.iter().sum()
}

/// Asks an admin API; returns the status and the body.
pub(crate) async fn get(admin: SocketAddr, path: &str) -> (u16, String) {
    ask(admin, &format!("GET {path}"), "").await
}

/// Sends an admin API a request with a JSON body, or none where it is empty.
pub(crate) async fn ask(admin: SocketAddr, line: &str, body: &str) -> (u16, String) {
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = soon(TcpStream::connect(admin))
        .await
        .expect("the admin port");
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    soon(socket.read_to_string(&mut answer))
        .await
        .expect("an answer");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (status, body.to_owned())
}

/// A whole gateway in this process.
pub(crate) struct Gateway {
    pub(crate) players: SocketAddr,
    pub(crate) admin: SocketAddr,
    routes: PathBuf,
    running: Option<Running>,
    _directory: TempDir,
}

impl Gateway {
    /// Starts one worker with these routes and waits until it is ready.
    pub(crate) async fn start(routes: &str) -> Gateway {
        Gateway::start_with(routes, |_| ()).await
    }

    /// Starts with a changed configuration and waits until it is ready.
    pub(crate) async fn start_with(routes: &str, change: impl FnOnce(&mut Config)) -> Gateway {
        let gateway = Gateway::start_unready(routes, change);
        gateway
            .until("game_gateway_ready", |ready| ready == 1)
            .await;
        gateway
    }

    /// Starts without waiting for routes.
    pub(crate) fn start_unready(routes: &str, change: impl FnOnce(&mut Config)) -> Gateway {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("routes.json");
        std::fs::write(&file, routes).expect("a routes file");
        let mut config = config::load(None, std::iter::empty()).expect("the defaults");
        config.gateway.id = "gw-test".to_owned();
        config.gateway.workers = 1;
        config.listen.address = "127.0.0.1:0".parse().expect("an address");
        config.admin.address = "127.0.0.1:0".parse().expect("an address");
        config.routes.file = file.clone();
        // Backends of tests see a link when somebody comes, unless a test wants it otherwise.
        config.backend.probe_interval = Duration::ZERO;
        change(&mut config);
        let running = run::start(config).expect("the gateway starts");
        Gateway {
            players: running.players,
            admin: running.admin,
            routes: file,
            running: Some(running),
            _directory: directory,
        }
    }

    /// Replaces the routes file the way editors and Kubernetes do, by renaming.
    pub(crate) fn set_routes(&self, routes: &str) {
        let fresh = self.routes.with_extension("new");
        std::fs::write(&fresh, routes).expect("a routes file");
        std::fs::rename(&fresh, &self.routes).expect("renamed");
    }

    /// Asks its actors how they are.
    pub(crate) fn inspector(&self) -> &Inspector {
        self.running.as_ref().expect("it runs").inspector()
    }

    /// Reads everything again, as on SIGHUP.
    pub(crate) fn reload(&self) {
        self.running.as_ref().expect("it runs").reload();
    }

    /// Returns the address of the peer channel.
    pub(crate) fn peer(&self) -> SocketAddr {
        let running = self.running.as_ref().expect("it runs");
        running.peer.expect("a peer channel")
    }

    /// Begins to drain.
    pub(crate) fn drain(&self) {
        self.running.as_ref().expect("it runs").drain();
    }

    /// Waits until a drain has ended the gateway.
    pub(crate) async fn ended(mut self) {
        let running = self.running.take().expect("it runs");
        let waited = tokio::task::spawn_blocking(move || running.wait());
        soon(waited).await.expect("no panic").expect("it ends well");
    }

    /// Waits until the gateway has ended with a failure; returns what it says.
    pub(crate) async fn failed(mut self) -> String {
        let running = self.running.take().expect("it runs");
        let waited = tokio::task::spawn_blocking(move || running.wait());
        let result = soon(waited).await.expect("no panic");
        result.expect_err("a failure").to_string()
    }

    /// Asks the admin API; returns the status and the body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        get(self.admin, path).await
    }

    /// Bans somebody; returns the answer.
    pub(crate) async fn ban(&self, body: &str) -> serde_json::Value {
        let (status, answer) = ask(self.admin, "POST /api/v1/bans", body).await;
        assert!(matches!(status, 200 | 201), "{status}: {answer}");
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Removes a ban.
    pub(crate) async fn unban(&self, id: &str) {
        let line = format!("DELETE /api/v1/bans/{id}");
        assert_eq!(ask(self.admin, &line, "").await.0, 204);
    }

    /// Returns the only ban that there is.
    pub(crate) async fn only_ban(&self) -> serde_json::Value {
        let (_, page) = self.get("/api/v1/bans").await;
        let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        assert_eq!(page["bans"].as_array().map(Vec::len), Some(1), "{page}");
        page["bans"][0].clone()
    }

    /// Returns the current value of a metric, for example
    /// `game_gateway_dropped_frames_total{reason="link_gone"}`; without labels the sum over all of them.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, body) = self.get("/metrics").await;
        metric(&body, name)
    }

    /// Waits until a metric is as it must become.
    pub(crate) async fn until(&self, name: &str, right: impl Fn(u64) -> bool) -> u64 {
        soon(async {
            loop {
                let value = self.metric(name).await;
                if right(value) {
                    return value;
                }
                look_again().await;
            }
        })
        .await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Its threads end with the process; nothing of a test depends on a gateway it has dropped.
        if let Some(running) = &self.running {
            running.drain();
        }
    }
}

/// A scripted player on a raw TCP connection.
pub(crate) struct Player {
    framed: Framed<TcpStream, ClientCodec>,
}

impl Player {
    pub(crate) async fn connect(gateway: &Gateway) -> Player {
        Player::connect_to(gateway.players).await
    }

    pub(crate) async fn connect_to(address: SocketAddr) -> Player {
        let socket = soon(TcpStream::connect(address))
            .await
            .expect("the players' port");
        Player::over(socket)
    }

    /// Plays over a connection that is there.
    pub(crate) fn over(socket: TcpStream) -> Player {
        socket.set_nodelay(true).expect("set");
        let max_payload = 16 * 1024 * 1024;
        Player {
            framed: Framed::new(socket, ClientCodec { max_payload }),
        }
    }

    /// Connects with a receive buffer that holds little of what the player does not read.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Player {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set");
        let socket = soon(socket.connect(address)).await.expect("connected");
        let max_payload = 16 * 1024 * 1024;
        Player {
            framed: Framed::new(socket, ClientCodec { max_payload }),
        }
    }

    pub(crate) fn local_port(&self) -> u16 {
        let address = self.framed.io_ref().local_addr();
        address.expect("an address").port()
    }

    /// Reads until an ERROR, which must have this code.
    pub(crate) async fn until_error(&mut self, code: u16) {
        loop {
            let frame = self.next().await.expect("a frame");
            if frame.header.kind == client::Kind::Error as u8 {
                let notice = Notice::decode(&frame.payload, Code::NORMAL);
                return assert_eq!(notice.code.0, code);
            }
        }
    }

    pub(crate) async fn send(&mut self, header: Header, service: &str, payload: &[u8]) {
        let frame = ClientFrame {
            header,
            service: service.to_owned(),
            payload: Bytes::copy_from_slice(payload),
        };
        soon(self.framed.send(frame)).await.expect("sent");
    }

    /// Sends DATA without ids.
    pub(crate) async fn data(&mut self, service: &str, payload: &[u8]) {
        self.send(Header::default(), service, payload).await;
    }

    /// Sends bytes as they are.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        soon(self.framed.io_mut().write_all(bytes))
            .await
            .expect("sent");
    }

    /// Reads the next frame; `None` when the gateway has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<ClientFrame> {
        soon(self.framed.next())
            .await
            .map(|frame| frame.expect("a whole frame"))
    }

    /// Reads the next frame that is no newer token, and must be DATA.
    pub(crate) async fn answer(&mut self) -> ClientFrame {
        let mut frame = self.next().await.expect("a frame");
        while frame.header.kind == client::Kind::Opened as u8 {
            frame = self.next().await.expect("a frame");
        }
        assert_eq!(frame.header.kind, client::Kind::Data as u8, "{frame:?}");
        frame
    }

    /// Reads the next frame, which must be an ERROR; returns its code and the service that it names.
    pub(crate) async fn error(&mut self) -> (u16, String) {
        let frame = self.next().await.expect("a frame");
        assert_eq!(frame.header.kind, client::Kind::Error as u8, "{frame:?}");
        let notice = Notice::decode(&frame.payload, Code::NORMAL);
        (notice.code.0, frame.service)
    }

    /// Reads the next frame, which must be a CLOSE with the end of the connection behind it; returns its
    /// code and retry_after.
    pub(crate) async fn closed(&mut self) -> (u16, u32) {
        let frame = self.next().await.expect("a frame");
        assert_eq!(frame.header.kind, client::Kind::Close as u8, "{frame:?}");
        assert_eq!(self.next().await, None, "nothing follows a CLOSE");
        let notice = Notice::decode(&frame.payload, Code::NORMAL);
        (notice.code.0, notice.retry_after_ms)
    }
}

/// A scripted backend process: it accepts links.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
}

impl Backend {
    pub(crate) async fn start() -> Backend {
        Backend::on(TcpListener::bind(address::own()).await.expect("a port"))
    }

    pub(crate) async fn start_on(address: &str) -> Backend {
        Backend::on(TcpListener::bind(address).await.expect("a port"))
    }

    /// A backend for whom the kernel takes little that it does not read.
    pub(crate) async fn start_narrow() -> Backend {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(16 * 1024).expect("set");
        socket.bind(address::own()).expect("a port");
        Backend::on(socket.listen(1024).expect("listens"))
    }

    fn on(listener: TcpListener) -> Backend {
        Backend {
            address: listener.local_addr().expect("an address"),
            listener,
        }
    }

    /// Returns the rule of a round_robin service on these backends.
    pub(crate) fn rule(backends: &[&Backend]) -> String {
        let endpoints: Vec<String> = backends
            .iter()
            .map(|b| format!("\"{}\"", b.address))
            .collect();
        format!(
            r#"{{"strategy":"round_robin","endpoints":[{}]}}"#,
            endpoints.join(",")
        )
    }

    /// Routes with one round_robin service `game` on this backend.
    pub(crate) fn routes(&self) -> String {
        format!(r#"{{"rules":{{"game":{}}}}}"#, Backend::rule(&[self]))
    }

    /// Accepts a connection and does nothing with it.
    pub(crate) async fn accept(&self) -> TcpStream {
        soon(self.listener.accept()).await.expect("a connection").0
    }

    /// Accepts a link: HELLO and PING come, PONG goes. Probes, which only connect, are passed over.
    pub(crate) async fn link(&self) -> Link {
        loop {
            let mut link = Link::new(self.accept().await);
            if link.is_greeted().await {
                return link;
            }
        }
    }
}

/// A link as its backend sees it.
pub(crate) struct Link {
    framed: Framed<TcpStream, LinkCodec>,
    pub(crate) hello: Option<link::Hello>,
}

impl Link {
    pub(crate) fn new(socket: TcpStream) -> Link {
        socket.set_nodelay(true).expect("set");
        let max_payload = 16 * 1024 * 1024;
        Link {
            framed: Framed::new(socket, LinkCodec { max_payload }),
            hello: None,
        }
    }

    /// Reads HELLO and PING, and sends PONG.
    pub(crate) async fn greet(&mut self) {
        assert!(self.is_greeted().await, "HELLO");
    }

    async fn is_greeted(&mut self) -> bool {
        let Some(hello) = self.next_raw().await else {
            return false;
        };
        assert_eq!(hello.kind, link::Kind::Hello as u8);
        self.hello = Some(serde_json::from_slice(&hello.payload).expect("HELLO is JSON"));
        let ping = self.next_raw().await.expect("PING");
        assert_eq!(ping.kind, link::Kind::Ping as u8);
        self.send(link::Kind::Pong, 0, &ping.payload).await;
        true
    }

    /// Returns its socket; nothing that was read is unhandled.
    pub(crate) fn into_socket(self) -> TcpStream {
        let parts = self.framed.into_parts();
        assert!(parts.read_buf.is_empty(), "more was read");
        parts.io
    }

    pub(crate) async fn send(&mut self, kind: link::Kind, session_id: u64, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        let frame = LinkFrame {
            kind: kind as u8,
            session_id,
            payload,
        };
        soon(self.framed.send(frame)).await.expect("sent");
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        soon(self.framed.io_mut().write_all(bytes))
            .await
            .expect("sent");
    }

    /// Reads the next frame of any kind; `None` when the gateway has closed the link.
    pub(crate) async fn next_raw(&mut self) -> Option<LinkFrame> {
        soon(self.framed.next()).await.and_then(Result::ok)
    }

    /// Reads the next frame except PINGs, which are answered.
    pub(crate) async fn next(&mut self) -> Option<LinkFrame> {
        loop {
            let frame = self.next_raw().await?;
            if frame.kind != link::Kind::Ping as u8 {
                return Some(frame);
            }
            self.send(link::Kind::Pong, 0, &frame.payload).await;
        }
    }

    async fn expect(&mut self, kind: link::Kind) -> LinkFrame {
        // PINGs go on where nothing else comes.
        let frame = soon(self.next()).await.expect("a frame");
        assert_eq!(frame.kind, kind as u8, "{frame:?}");
        frame
    }

    /// Reads the next frame, which must be OPEN.
    pub(crate) async fn opened(&mut self) -> LinkFrame {
        self.expect(link::Kind::Open).await
    }

    /// Reads until an OPEN; returns its session.
    pub(crate) async fn next_open(&mut self) -> u64 {
        loop {
            let frame = self.next().await.expect("a frame");
            if frame.kind == link::Kind::Open as u8 {
                return frame.session_id;
            }
        }
    }

    /// Reads the next frame, which must be DATA.
    pub(crate) async fn data(&mut self) -> LinkFrame {
        self.expect(link::Kind::Data).await
    }

    /// Reads the next frame, which must be CLOSE; returns the session and the code.
    pub(crate) async fn closed(&mut self) -> (u64, u16) {
        let frame = self.expect(link::Kind::Close).await;
        (
            frame.session_id,
            Notice::decode(&frame.payload, Code::KICKED).code.0,
        )
    }
}
