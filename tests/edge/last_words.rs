//! A remote end that says its last words and closes while answers to it are unread: its kernel sends a
//! reset, and writes fail. What it said before arrives.

use std::process::Command;

use game_gateway::codec::client::{FLAG_RESUMABLE, Header, Kind as ClientKind};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::framed::ClientFrame;
use game_gateway::codec::link::Kind;
use game_gateway::config::Config;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;

use crate::scene::{Browser, connect, data, frame, send};
use crate::support::authority::Authority;
use crate::support::frames::encoded;
use crate::support::kernel;
use crate::support::process::Process;
use crate::support::redis::free_port;
use crate::support::wire::{Backend, Gateway, Link, Player, soon};
use crate::tls_scene::{Way, shows};

const IN: &str = "game_gateway_client_in_bytes_total";
const OUT: &str = "game_gateway_client_out_bytes_total";

/// A player over any transport.
enum Voice {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    WebSocket(Box<Browser<TcpStream>>),
    WebSocketTls(Box<Browser<TlsStream<TcpStream>>>),
}

impl Voice {
    async fn over(transport: &str, gateway: &Gateway, way: &Way) -> Voice {
        match transport {
            "tcp" => Voice::Tcp(connect(gateway).await),
            "tls" => Voice::Tls(Box::new(
                way.over(connect(gateway).await).await.expect("TLS"),
            )),
            "websocket" => Voice::WebSocket(Box::new(Browser::connect(gateway).await)),
            "websocket+tls" => {
                let tls = way.over(connect(gateway).await).await.expect("TLS");
                Voice::WebSocketTls(Box::new(Browser::over(tls).await))
            }
            other => panic!("{other}"),
        }
    }

    async fn say(&mut self, frames: &[Vec<u8>]) {
        match self {
            Voice::Tcp(socket) => send(socket, &frames.concat()).await,
            Voice::Tls(socket) => crate::tls_scene::send(socket, &frames.concat()).await,
            Voice::WebSocket(browser) => {
                for frame in frames {
                    browser.binary(frame.clone()).await;
                }
            }
            Voice::WebSocketTls(browser) => {
                for frame in frames {
                    browser.binary(frame.clone()).await;
                }
            }
        }
    }

    /// Sends a PING of the transport's own, whose answer is one more write.
    async fn ping(&mut self) {
        let ping = Message::Ping("there?".into());
        match self {
            Voice::Tcp(_) | Voice::Tls(_) => {}
            Voice::WebSocket(browser) => browser.send(ping).await,
            Voice::WebSocketTls(browser) => browser.send(ping).await,
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Voice::Tcp(socket) => socket,
            Voice::Tls(socket) => socket.get_ref().0,
            Voice::WebSocket(browser) => browser.socket.get_ref(),
            Voice::WebSocketTls(browser) => browser.socket.get_ref().get_ref().0,
        }
    }
}

/// The player's last frames in these tests.
fn last_words() -> Vec<Vec<u8>> {
    (0..20).map(|n| data("b", &[n])).collect()
}

/// Two services: `a` answers, `b` is not there yet, so its frames wait, and the player is not read.
struct Scene {
    gateway: Gateway,
    a: Link,
    b: Link,
    id: u64,
    player: Voice,
    _backends: [Backend; 2],
}

/// Frames of 1 KiB and a header, so many that 64 KiB wait for `b` with the last one.
const FILLING: usize = 64;

impl Scene {
    async fn start(transport: &str, flags: u8) -> Scene {
        let authority = Authority::new();
        let own = authority.issue("gateway", "IP:127.0.0.1");
        let backends = [Backend::start().await, Backend::start().await];
        let [a, b] = [0, 1].map(|n| Backend::rule(&[&backends[n]]));
        let rules = format!(r#"{{"rules":{{"a":{a},"b":{b}}}}}"#);
        let patient = |config: &mut Config| {
            shows(&[&own])(config);
            config.backend.connect_timeout = crate::support::wire::DEADLINE;
        };
        let gateway = Gateway::start_with(&rules, patient).await;
        let way = Way::trusting(&authority);
        let mut player = Voice::over(transport, &gateway, &way).await;
        let header = Header {
            flags,
            ..Header::default()
        };
        player.say(&[encoded(header, "a", b"hello")]).await;
        let mut a = backends[0].link().await;
        let id = a.opened().await.session_id;
        a.data().await;
        // An answer that the player never reads.
        let before = gateway.metric(OUT).await;
        a.send(Kind::Data, id, b"unread").await;
        gateway.until(OUT, |n| n > before).await;

        let filling: Vec<_> = (0..FILLING).map(|_| data("b", &[0; 1024])).collect();
        let all = gateway.metric(IN).await + filling.concat().len() as u64;
        player.say(&filling).await;
        gateway.until(IN, |n| n == all).await;
        let mut b = Link::new(backends[1].accept().await);
        for kind in [Kind::Hello, Kind::Ping] {
            assert_eq!(b.next_raw().await.expect("a frame").kind, kind as u8);
        }
        Scene {
            gateway,
            a,
            b,
            id,
            player,
            _backends: backends,
        }
    }

    /// The player closes, and what is written to it fails; then `b` is there, and takes all DATA.
    async fn hang_up(self) -> (Gateway, [Link; 2], u64) {
        let (mut a, mut b) = (self.a, self.b);
        kernel::acknowledged(self.player.socket()).await;
        drop(self.player);
        a.send(Kind::Data, self.id, b"into the void").await;
        a.send(Kind::Ping, 0, b"behind it").await;
        assert_eq!(a.next().await.expect("PONG").kind, Kind::Pong as u8);

        b.send(Kind::Pong, 0, b"").await;
        assert_eq!(b.opened().await.session_id, self.id);
        for _ in 0..FILLING {
            assert_eq!(b.data().await.payload.len(), 1024);
        }
        for n in 0..20 {
            assert_eq!(b.data().await.payload[..], [n]);
        }
        (self.gateway, [a, b], self.id)
    }
}

const TRANSPORTS: [&str; 4] = ["tcp", "tls", "websocket", "websocket+tls"];

#[tokio::test]
async fn of_a_player_with_a_close_behind_them() {
    for transport in TRANSPORTS {
        let mut scene = Scene::start(transport, 0).await;
        scene.player.say(&last_words()).await;
        let close = frame(ClientKind::Close as u8, "", &1009_u16.to_be_bytes());
        scene.player.say(&[close]).await;
        let (gateway, links, id) = scene.hang_up().await;
        for mut link in links {
            assert_eq!(link.closed().await, (id, 1009), "{transport}");
        }
        gateway.until("game_gateway_connections", |n| n == 0).await;
    }
}

#[tokio::test]
async fn of_a_player_that_just_goes() {
    for transport in TRANSPORTS {
        let mut scene = Scene::start(transport, 0).await;
        scene.player.ping().await;
        scene.player.say(&last_words()).await;
        let (gateway, links, id) = scene.hang_up().await;
        for mut link in links {
            assert_eq!(link.closed().await, (id, 0), "{transport}");
        }
        gateway.until("game_gateway_connections", |n| n == 0).await;
    }
}

#[tokio::test]
async fn of_a_player_that_comes_back() {
    for transport in TRANSPORTS {
        let mut scene = Scene::start(transport, FLAG_RESUMABLE).await;
        scene.player.say(&last_words()).await;
        let (gateway, links, id) = scene.hang_up().await;
        for mut link in links {
            let suspended = link.next().await.expect("SUSPEND");
            assert_eq!(
                (suspended.kind, suspended.session_id),
                (Kind::Suspend as u8, id)
            );
        }
        gateway.until("game_gateway_connections", |n| n == 0).await;
    }
}

/// Reads what the player gets next that is no OPENED.
async fn heard(player: &mut Player) -> ClientFrame {
    player.next().await.expect("a frame")
}

/// A gateway in a process of its own, so that it can be stopped while a backend talks.
fn serve(directory: &tempfile::TempDir, backend: &Backend) -> (Process, std::net::SocketAddr) {
    let routes = directory.path().join("routes.json");
    std::fs::write(&routes, backend.routes()).expect("the routes");
    let [players, admin] = [0, 1].map(|_| format!("127.0.0.1:{}", free_port()));
    let file = directory.path().join("gateway.toml");
    let text = format!(
        "gateway.workers = 1\nroutes.file = {routes:?}\nlisten.address = {players:?}\n\
         admin.address = {admin:?}\n"
    );
    std::fs::write(&file, text).expect("the configuration");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    let process = Process::spawn(serve.args(["serve", "--config"]).arg(&file));
    process.wait_for_line("game-gateway ready: ");
    (process, players.parse().expect("an address"))
}

/// A link is read in turns of 256 KiB, with a write between them.
#[tokio::test]
async fn of_a_backend() {
    let directory = tempfile::tempdir().expect("a directory");
    let backend = Backend::start().await;
    let (gateway, players) = serve(&directory, &backend);
    let mut player = Player::connect_to(players).await;
    player.data("game", b"hello").await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    // The kernel opens its window for one that is read quickly.
    for _ in 0..512 {
        link.send(Kind::Data, id, &[0; 65_520]).await;
        assert_eq!(heard(&mut player).await.payload.len(), 65_520);
    }
    let socket = link.into_socket();
    player.data("game", b"unread").await;
    kernel::unread(&socket, b"unread".len()).await;

    gateway.signal("STOP");
    let mut words = encoded_link(Kind::Ping, 0, b"owes an answer");
    for n in 0..64 {
        words.extend(encoded_link(Kind::Data, id, &[n; 8176]));
    }
    words.extend(encoded_link(Kind::Close, id, &[3, 0xF1]));
    let mut socket = socket;
    soon(socket.write_all(&words)).await.expect("sent");
    kernel::acknowledged(&socket).await;
    drop(socket);
    gateway.signal("CONT");

    for n in 0..64 {
        let frame = heard(&mut player).await;
        assert_eq!(frame.header.kind, ClientKind::Data as u8, "{n}: {frame:?}");
        assert_eq!((frame.payload[0], frame.payload.len()), (n, 8176));
    }
    let close = heard(&mut player).await;
    assert_eq!(close.header.kind, ClientKind::Close as u8, "{close:?}");
    let code = Notice::decode(&close.payload, Code::NORMAL).code.0;
    assert_eq!(code, 1009);
}

fn encoded_link(kind: Kind, session_id: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    game_gateway::codec::link::encode(&mut bytes, kind, session_id, payload);
    bytes
}
