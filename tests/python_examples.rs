//! The programs in examples/, written from docs/protocol.md alone: against the real gateway, and
//! each against frames that this test writes itself.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::framed::{ClientCodec, ClientFrame, LinkCodec, LinkFrame};
use game_gateway::codec::link::{Bind, Kind, Multicast, OPEN_RESUMED, OPEN_TRANSFERRED, Open};
use game_gateway::codec::{client, link};
use game_gateway::sdk::client::{Client, Event, Options, Outgoing};
use support::authority::Authority;
use support::process::Process;

use actix_codec::Decoder;
use bytes::BytesMut;

const LIMIT: u32 = 65_536;
/// Timeout of a silent socket; only a failing test waits this long.
const SILENCE: Duration = Duration::from_secs(30);

fn python(program: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(program);
    let mut command = Command::new("python3");
    command.arg(path);
    command
}

/// Starts backend.py on a free port; returns it and its address.
fn backend() -> (Process, String) {
    let process = Process::spawn(python("backend.py").args(["--port", "0"]));
    let address = process.wait_for_line("listening on ");
    (process, address)
}

fn client(service: &str, address: &str) -> Process {
    let arguments = ["--realm", "1", "--user", "42", "--count", "10", "--service"];
    Process::spawn(python("client.py").args(arguments).args([service, address]))
}

/// Reads the next frame from a socket.
fn receive<C>(socket: &mut TcpStream, buffer: &mut BytesMut, codec: &mut C) -> C::Item
where
    C: Decoder,
    C::Error: std::fmt::Display,
{
    loop {
        match codec.decode(buffer) {
            Ok(Some(frame)) => return frame,
            Ok(None) => {}
            Err(error) => panic!("{error}"),
        }
        let mut chunk = [0; 4096];
        let len = socket.read(&mut chunk).expect("bytes in time");
        assert_ne!(len, 0, "the connection ended");
        buffer.extend_from_slice(&chunk[..len]);
    }
}

#[test]
fn client_and_backend_through_the_gateway() {
    let (_backend, address) = backend();
    let directory = tempfile::tempdir().expect("a directory");
    let routes = directory.path().join("routes.json");
    let rules = serde_json::json!({
        "rules": { "game": { "strategy": "round_robin", "endpoints": [address] } }
    });
    std::fs::write(&routes, rules.to_string()).expect("the routes");
    let config = directory.path().join("gateway.toml");
    let authority = Authority::new();
    let issued = authority.issue("gateway", "IP:127.0.0.1");
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n\
         [routes]\nsource = \"file\"\nfile = {routes:?}\n\
         [listen.tls]\ncertificate = {:?}\nkey = {:?}\n\
         [drain]\nwindow = \"1s\"\naccept_grace = \"10ms\"\n",
        issued.certificate, issued.key
    );
    std::fs::write(&config, text).expect("the configuration");
    let mut gateway = Process::spawn(
        Command::new(env!("CARGO_BIN_EXE_game-gateway"))
            .args(["serve", "--config"])
            .arg(&config),
    );
    let ready = gateway.wait_for_line("game-gateway ready: players on ");
    let (players, _) = ready.split_once(", admin on ").expect("both addresses");

    let mut playing = client("game", players);
    let status = playing.wait_for_exit();
    assert!(status.success(), "{}{}", playing.output(), gateway.output());

    // More than it may keep: it forgets what is acknowledged.
    let mut long = python("client.py");
    long.args(["--resumable", "--count", "2500", players]);
    let mut playing = Process::spawn(&mut long);
    let status = playing.wait_for_exit();
    assert!(status.success(), "{}{}", playing.output(), gateway.output());
    assert!(
        playing.output().contains("2500 of 2500 answered"),
        "{}",
        playing.output()
    );

    let ca = authority.ca().display().to_string();
    let mut encrypted = python("client.py");
    encrypted.args(["--tls", "--ca", &ca, players]);
    let mut playing = Process::spawn(&mut encrypted);
    let status = playing.wait_for_exit();
    assert!(status.success(), "{}{}", playing.output(), gateway.output());

    let mut refused = client("chat", players);
    assert_eq!(refused.wait_for_exit().code(), Some(1));
    assert!(refused.output().starts_with("failed: ERROR 404 chat"));

    gateway.sigterm();
    let status = gateway.wait_for_exit();
    assert!(status.success(), "{}", gateway.output());
}

/// Sends `count`, and returns the number that is answered.
async fn count(player: &mut Client) -> u64 {
    player
        .send(&Outgoing::to("game"), "count")
        .await
        .expect("sent");
    loop {
        match player.next().await.expect("an event") {
            Event::Data(data) if data.payload.starts_with(b"moved ") => {}
            Event::Data(data) => {
                let text = String::from_utf8(data.payload.to_vec()).expect("text");
                return text.parse().expect("a number");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_from_backend_to_backend() {
    let (mut first, one) = backend();
    let (_second, two) = backend();
    let directory = tempfile::tempdir().expect("a directory");
    let routes = directory.path().join("routes.json");
    let rules = serde_json::json!({
        "rules": { "game": { "strategy": "round_robin", "endpoints": [one, two] } }
    });
    std::fs::write(&routes, rules.to_string()).expect("the routes");
    let config = directory.path().join("gateway.toml");
    let text = format!(
        "gateway.workers = 1\nlisten.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
         routes.file = {routes:?}\n"
    );
    std::fs::write(&config, text).expect("the configuration");
    let gateway = Process::spawn(
        Command::new(env!("CARGO_BIN_EXE_game-gateway"))
            .args(["serve", "--config"])
            .arg(&config),
    );
    let ready = gateway.wait_for_line("game-gateway ready: players on ");
    let (players, _) = ready.split_once(", admin on ").expect("both addresses");
    let options = Options {
        wait_timeout: SILENCE,
        ..Options::default()
    };
    let players: SocketAddr = players.parse().expect("an address");
    let mut player = Client::connect(players, options).await.expect("connected");
    let to = Outgoing::to("game");
    assert_eq!(count(&mut player).await, 1);
    player.send(&to, "transfer").await.expect("sent");
    assert_eq!(count(&mut player).await, 3);
    // Wherever it is by now.
    player
        .send(&to, format!("assign game {one}"))
        .await
        .expect("sent");
    assert_eq!(count(&mut player).await, 5);
    first.sigterm();
    let status = tokio::task::block_in_place(|| first.wait_for_exit());
    assert!(status.success(), "{}", first.output());
    assert!(
        first.output().contains("\n0 sessions cut off\n"),
        "{}",
        first.output()
    );
    assert_eq!(count(&mut player).await, 6);
}

/// A gateway's side of a link to backend.py.
struct ScriptedLink {
    socket: TcpStream,
    buffer: BytesMut,
}

impl ScriptedLink {
    fn connect(address: &str, gateway_id: &str) -> ScriptedLink {
        ScriptedLink::telling(address, gateway_id, serde_json::json!(null))
    }

    /// Connects with this member `ping_interval_ms` in HELLO.
    fn telling(address: &str, gateway_id: &str, interval: serde_json::Value) -> ScriptedLink {
        let socket = TcpStream::connect(address).expect("a connection");
        socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
        let buffer = BytesMut::new();
        let mut link = ScriptedLink { socket, buffer };
        let mut hello = serde_json::json!({
            "protocol": 1, "gateway_id": gateway_id, "service_type": "game",
            "resume_window_ms": 30_000, "of a later version": [1, 2]
        });
        if !interval.is_null() {
            hello["ping_interval_ms"] = interval;
        }
        link.send(Kind::Hello, 0, hello.to_string().as_bytes());
        link.send(Kind::Ping, 0, b"?");
        link.expect(Kind::Pong, 0, b"?");
        link.expect(Kind::Features, 0, br#"{"features":["transfer"]}"#);
        link
    }

    fn send(&mut self, kind: Kind, session_id: u64, payload: &[u8]) {
        let mut out = Vec::new();
        link::encode(&mut out, kind, session_id, payload);
        self.socket.write_all(&out).expect("a frame sent");
    }

    fn open(&mut self, session_id: u64, epoch: u32, flags: u8) {
        self.open_with(session_id, epoch, flags, &[]);
    }

    fn open_with(&mut self, session_id: u64, epoch: u32, flags: u8, state: &[u8]) {
        let open = Open {
            realm_id: 1,
            user_id: 42,
            transport: link::Transport::Tcp as u8,
            flags,
            epoch,
            client: "203.0.113.9:51234",
            previous_gateway: "gw-0",
            state,
        };
        let mut payload = Vec::new();
        open.encode(&mut payload);
        self.send(Kind::Open, session_id, &payload);
    }

    fn expect(&mut self, kind: Kind, session_id: u64, payload: &[u8]) {
        let codec = &mut LinkCodec { max_payload: LIMIT };
        let frame = receive(&mut self.socket, &mut self.buffer, codec);
        let expected = LinkFrame {
            kind: kind as u8,
            session_id,
            payload: payload.to_vec().into(),
        };
        assert_eq!(frame, expected);
    }

    fn expect_close(&mut self, session_id: u64, code: Code) {
        self.expect(Kind::Close, session_id, &notice(code));
    }
}

fn notice(code: Code) -> Vec<u8> {
    let mut payload = Vec::new();
    let notice = Notice {
        code,
        retry_after_ms: 0,
        text: "",
    };
    notice.encode(&mut payload);
    payload
}

#[test]
fn backend_answers_as_its_table_says() {
    let (_backend, address) = backend();
    let mut link = ScriptedLink::connect(&address, "gw-0");
    link.open(7, 1, 0);
    link.send(Kind::Data, 7, b"hello");
    link.expect(Kind::Data, 7, b"hello");

    link.send(Kind::Data, 7, b"bind 4711 3");
    let bind = Bind {
        user_id: 4711,
        realm_id: 3,
    };
    link.expect(Kind::Bind, 7, &bind.encode());
    link.expect(Kind::Data, 7, b"bind 4711 3");
    link.send(Kind::Data, 7, b"bind me");
    link.expect(Kind::Data, 7, b"bind me");

    link.open(8, 1, 0);
    link.send(Kind::Data, 8, b"all hail");
    let mut multicast = Vec::new();
    Multicast::encode(&mut multicast, &[7, 8], b"all hail");
    link.expect(Kind::Multicast, 0, &multicast);

    // Only 8 is left after this, and 7's late DATA comes to nothing.
    link.send(Kind::Data, 7, b"bye");
    link.expect_close(7, Code::NORMAL);
    link.send(Kind::Data, 7, b"late");
    link.send(Kind::Data, 8, b"hello");
    link.expect(Kind::Data, 8, b"hello");
}

/// A gateway whose host is gone sends no FIN; its sessions wait for another link.
#[test]
fn backend_leaves_links_that_are_silent() {
    let (_backend, address) = backend();
    let mut patient = ScriptedLink::connect(&address, "gw-0");
    // Behind a frame, within a header, and within a payload.
    let header = [0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (session_id, silent_after) in [(7, &header[..0]), (8, &header[..1]), (9, &header)] {
        let mut link = ScriptedLink::telling(&address, "gw-0", 100.into());
        link.open(session_id, 1, 0);
        link.send(Kind::Ping, 0, b"!");
        link.expect(Kind::Pong, 0, b"!");
        link.socket.write_all(silent_after).expect("sent");
        let read = link.socket.read(&mut [0]).expect("no reset");
        assert_eq!(read, 0, "it leaves {silent_after:?}");
        patient.open(session_id, 2, link::OPEN_RESUMED);
        patient.expect(Kind::Accept, session_id, &2_u32.to_be_bytes());
    }
}

#[test]
fn backend_knows_whose_session_it_is() {
    let (_backend, address) = backend();
    let mut old = ScriptedLink::connect(&address, "gw-0");
    let mut new = ScriptedLink::connect(&address, "gw-1");
    old.open(7, 1, 0);
    old.send(Kind::Data, 7, b"here");
    old.expect(Kind::Data, 7, b"here");

    new.open(7, 1, 0);
    new.expect_close(7, Code::GONE);
    new.open(8, 2, OPEN_RESUMED);
    new.expect_close(8, Code::NO_ROUTE);
    new.open(7, 2, OPEN_RESUMED);
    new.expect(Kind::Accept, 7, &2_u32.to_be_bytes());

    // The old link is still taken from until its CLOSE 307; the answer goes to the newest OPEN.
    old.send(Kind::Data, 7, b"last");
    new.expect(Kind::Data, 7, b"last");
    old.send(Kind::Close, 7, &notice(Code::KICKED));
    old.send(Kind::Close, 7, &notice(Code::LEAVES_LINK));
    old.expect_close(7, Code::LEAVES_LINK);
    new.send(Kind::Data, 7, b"there");
    new.expect(Kind::Data, 7, b"there");
    old.open(7, 1, 0);
    old.expect_close(7, Code::GONE);
}

#[test]
fn backend_gives_no_state_to_a_gateway_that_was_superseded() {
    let (_backend, address) = backend();
    let mut old = ScriptedLink::connect(&address, "gw-0");
    let mut new = ScriptedLink::connect(&address, "gw-1");
    old.open(7, 1, 0);
    old.send(Kind::Data, 7, b"count");
    old.expect(Kind::Data, 7, b"1");
    new.open(7, 2, OPEN_RESUMED);
    new.expect(Kind::Accept, 7, &2_u32.to_be_bytes());
    old.send(Kind::Close, 7, &leaves(b"move"));
    old.expect_close(7, Code::GONE);
    // It stays whose it is. Of one that is over nothing is given either.
    new.send(Kind::Data, 7, b"count");
    new.expect(Kind::Data, 7, b"2");
    new.send(Kind::Data, 7, b"bye");
    new.expect_close(7, Code::NORMAL);
    new.send(Kind::Close, 7, &leaves(b"move"));
    new.send(Kind::Ping, 0, b"!");
    new.expect(Kind::Pong, 0, b"!");
}

/// Returns CLOSE 307 with which a move begins, or its answer with a state.
fn leaves(text: &[u8]) -> Vec<u8> {
    [&notice(Code::LEAVES_LINK)[..], text].concat()
}

#[test]
fn backend_hands_sessions_over_and_takes_them() {
    let (_backend, address) = backend();
    let mut link = ScriptedLink::connect(&address, "gw-0");
    let state = |count: u64| count.to_be_bytes();
    link.open(7, 1, 0);
    link.send(Kind::Data, 7, b"transfer 10.0.0.1:7");
    link.expect(Kind::Transfer, 7, b"\x0a10.0.0.1:7");
    link.send(Kind::Moved, 7, &404_u16.to_be_bytes());
    link.expect(Kind::Data, 7, b"moved 404");
    // The new backend refuses it, and it comes back.
    link.send(Kind::Close, 7, &leaves(b"move"));
    link.expect(Kind::Close, 7, &leaves(&state(1)));
    link.open(7, 3, OPEN_RESUMED);
    link.send(Kind::Moved, 7, &503_u16.to_be_bytes());
    link.expect(Kind::Accept, 7, &3_u32.to_be_bytes());
    link.expect(Kind::Data, 7, b"moved 503");
    link.send(Kind::Data, 7, b"count");
    link.expect(Kind::Data, 7, b"2");
    // Now it goes, and is not known any more.
    link.send(Kind::Data, 7, b"transfer");
    link.expect(Kind::Transfer, 7, b"\0");
    link.send(Kind::Close, 7, &leaves(b"move"));
    link.expect(Kind::Close, 7, &leaves(&state(3)));
    link.send(Kind::Moved, 7, &0_u16.to_be_bytes());
    link.open(7, 5, OPEN_RESUMED);
    link.expect_close(7, Code::NO_ROUTE);
    // Another one arrives, at first with a state that is none.
    link.open_with(8, 2, OPEN_TRANSFERRED, b"cards");
    link.expect_close(8, Code::MALFORMED);
    link.open_with(8, 2, OPEN_TRANSFERRED, &state(41));
    link.expect(Kind::Accept, 8, &2_u32.to_be_bytes());
    link.send(Kind::Data, 8, b"count");
    link.expect(Kind::Data, 8, b"42");
    link.send(Kind::Data, 8, b"assign battle 10.0.0.2:7");
    link.expect(Kind::Assign, 8, b"\x06battle\x0a10.0.0.2:7");
    link.send(Kind::Moved, 8, &0_u16.to_be_bytes());
    link.expect(Kind::Data, 8, b"moved 0");
}

#[test]
fn backend_that_is_terminated_has_its_sessions_moved() {
    let (mut backend, address) = backend();
    let mut link = ScriptedLink::connect(&address, "gw-0");
    link.open(7, 1, 0);
    link.send(Kind::Ping, 0, b"!");
    link.expect(Kind::Pong, 0, b"!");
    backend.sigterm();
    link.expect(Kind::Goaway, 0, &[1]);
    link.send(Kind::Close, 7, &leaves(b"move"));
    link.expect(Kind::Close, 7, &leaves(&0_u64.to_be_bytes()));
    link.send(Kind::Moved, 7, &0_u16.to_be_bytes());
    assert!(backend.wait_for_exit().success());
    assert!(backend.output().contains("\n0 sessions cut off\n"));
}

/// Starts client.py; returns it and the gateway's side of its connection.
fn scripted_gateway() -> (Process, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let client = client("game", &address);
    let (socket, _) = listener.accept().expect("a connection");
    socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
    (client, socket)
}

fn answer(socket: &mut TcpStream, kind: client::Kind, payload: &[u8]) {
    let header = client::Header {
        kind: kind as u8,
        session_id: 99,
        ..client::Header::default()
    };
    let mut out = Vec::new();
    client::encode(&mut out, &header, "game", payload);
    socket.write_all(&out).expect("a frame sent");
}

#[test]
fn client_speaks_as_the_document_says() {
    let (mut client, mut socket) = scripted_gateway();
    let (mut buffer, mut codec) = (BytesMut::new(), ClientCodec { max_payload: LIMIT });
    let mut next = |socket: &mut TcpStream| -> ClientFrame {
        let frame = receive(socket, &mut buffer, &mut codec);
        assert_eq!((&*frame.service, frame.header.user_id), ("game", 42));
        frame
    };
    for number in 0..10 {
        let frame = next(&mut socket);
        assert_eq!(frame.header.kind, client::Kind::Data as u8);
        assert_eq!(frame.header.session_id, if number == 0 { 0 } else { 99 });
        answer(&mut socket, client::Kind::Ping, b"you?");
        let pong = next(&mut socket);
        assert_eq!(pong.header.kind, client::Kind::Pong as u8);
        assert_eq!(&pong.payload[..], b"you?");
        answer(&mut socket, client::Kind::Data, &frame.payload);
    }
    let ping = next(&mut socket);
    assert_eq!(ping.header.kind, client::Kind::Ping as u8);
    answer(&mut socket, client::Kind::Pong, &ping.payload);
    let close = next(&mut socket);
    assert_eq!(close.header.kind, client::Kind::Close as u8);
    assert_eq!(close.payload, notice(Code::NORMAL));
    let status = client.wait_for_exit();
    assert!(status.success(), "{}", client.output());
    assert_eq!(client.output(), "10 of 10 answered in session 99\n");
}

/// A gateway's side of a session of client.py that goes from connection to connection.
struct ScriptedSession {
    listener: TcpListener,
    client: Process,
    socket: TcpStream,
    buffer: BytesMut,
}

impl ScriptedSession {
    fn start() -> ScriptedSession {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let arguments = ["--resumable", "--count", "5", &address];
        let client = Process::spawn(python("client.py").args(arguments));
        let socket = accepted(&listener);
        ScriptedSession {
            listener,
            client,
            socket,
            buffer: BytesMut::new(),
        }
    }

    /// Breaks the connection and waits for the client to reconnect.
    fn again_after_a_break(&mut self) {
        self.socket.shutdown(Shutdown::Both).expect("shut down");
        self.again();
    }

    /// Accepts the client's next connection and closes the one before.
    fn again(&mut self) {
        self.socket = accepted(&self.listener);
        self.buffer.clear();
    }

    fn next(&mut self) -> ClientFrame {
        let mut codec = ClientCodec { max_payload: LIMIT };
        receive(&mut self.socket, &mut self.buffer, &mut codec)
    }

    fn expect(&mut self, kind: client::Kind, payload: &[u8]) -> ClientFrame {
        let frame = self.next();
        assert_eq!(frame.header.kind, kind as u8, "{frame:?}");
        assert_eq!(frame.payload, payload);
        frame
    }

    /// Reads RESUME of a client that has received this many frames and has this token.
    fn expect_resume(&mut self, taken: u64, token: &str) {
        let payload = [&taken.to_be_bytes()[..], token.as_bytes()].concat();
        let frame = self.expect(client::Kind::Resume, &payload);
        assert_eq!(frame.header.session_id, 99);
    }

    fn say(&mut self, kind: client::Kind, payload: &[u8]) {
        answer(&mut self.socket, kind, payload);
    }

    fn opened(&mut self, received: u64, token: &str, flags: u8) {
        let opened = client::Opened {
            received,
            idle_timeout_ms: 60_000,
            token: token.as_bytes(),
        };
        let header = client::Header {
            kind: client::Kind::Opened as u8,
            session_id: 99,
            flags,
            ..client::Header::default()
        };
        let (mut payload, mut out) = (Vec::new(), Vec::new());
        opened.encode(&mut payload);
        client::encode(&mut out, &header, "", &payload);
        self.socket.write_all(&out).expect("OPENED sent");
    }
}

fn accepted(listener: &TcpListener) -> TcpStream {
    let (socket, _) = listener.accept().expect("a connection");
    socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
    socket
}

#[test]
fn client_goes_on_over_other_connections() {
    let message = |n: u32| format!("message {n} of 5").into_bytes();
    let (data, close) = (client::Kind::Data, client::Kind::Close);
    let mut session = ScriptedSession::start();
    let first = session.expect(data, &message(1));
    assert_eq!(first.header.flags, client::FLAG_RESUMABLE);
    session.opened(1, "one", 0);
    session.say(data, &message(1));
    // A connection that breaks: what the gateway has not taken comes again.
    session.expect(data, &message(2));
    session.again_after_a_break();
    session.expect_resume(1, "one");
    session.opened(1, "two", 0);
    session.expect(data, &message(2));
    session.say(data, &message(2));
    // GOAWAY, to a gateway that is not ready for it; what it has taken does not come again.
    session.expect(data, &message(3));
    session.say(client::Kind::Goaway, &1000_u32.to_be_bytes());
    session.again();
    session.expect_resume(2, "two");
    let busy = Notice {
        code: Code::UNAVAILABLE,
        retry_after_ms: 10,
        text: "",
    };
    let mut payload = Vec::new();
    busy.encode(&mut payload);
    session.say(close, &payload);
    session.again();
    session.expect_resume(2, "two");
    session.opened(3, "three", 0);
    session.say(data, &message(3));
    // Too slow: the gateway closes, and with the ring too short there is a gap.
    session.expect(data, &message(4));
    session.say(close, &notice(Code::TOO_SLOW));
    session.again();
    session.expect_resume(3, "three");
    session.opened(0, "four", client::FLAG_GAP);
    session.say(data, &message(4));
    session.expect(data, &message(5));
    session.say(data, &message(5));
    let ping = session.next();
    session.say(client::Kind::Pong, &ping.payload);
    session.expect(close, &notice(Code::NORMAL));
    assert!(session.client.wait_for_exit().success());
    let output = session.client.output();
    assert_eq!(
        output,
        "5 of 5 answered in session 99, resumed 3 times, 1 gaps\n"
    );
}

#[test]
fn client_that_cannot_resume_says_so() {
    let mut session = ScriptedSession::start();
    session.expect(client::Kind::Data, b"message 1 of 5");
    session.opened(1, "one", 0);
    session.again_after_a_break();
    session.expect_resume(0, "one");
    session.say(client::Kind::Close, &notice(Code::GONE));
    assert_eq!(session.client.wait_for_exit().code(), Some(1));
    assert_eq!(session.client.output(), "failed: CLOSE 410 game: \n");
}

#[test]
fn client_says_why_it_failed() {
    let check = |kind, payload: &[u8], expected: &str| {
        let (mut client, mut socket) = scripted_gateway();
        answer(&mut socket, kind, payload);
        assert_eq!(client.wait_for_exit().code(), Some(1));
        assert_eq!(client.output(), expected);
    };
    let busy = Notice {
        code: Code::UNAVAILABLE,
        retry_after_ms: 1500,
        text: "full",
    };
    let mut payload = Vec::new();
    busy.encode(&mut payload);
    let full = "503 game: full (try again in 1500 ms)\n";
    check(
        client::Kind::Error,
        &payload,
        &format!("failed: ERROR {full}"),
    );
    check(
        client::Kind::Close,
        &payload,
        &format!("failed: CLOSE {full}"),
    );
    check(client::Kind::Close, &[], "failed: CLOSE 0 game: \n");
    check(
        client::Kind::Data,
        b"no echo",
        "failed: sent b'message 1 of 10', but the answer is b'no echo' of kind 0\n",
    );
}
