//! The libraries for players and backends hear the last words of a gateway whose kernel sends a reset.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use game_gateway::codec::client::{Header, Kind as ClientKind, Opened};
use game_gateway::codec::code::Code;
use game_gateway::codec::link::{Hello, Kind, Open};
use game_gateway::sdk::backend::{Backend, Replies, Service, SessionInfo};
use game_gateway::sdk::client::Outgoing;
use game_gateway::sdk::client::session::{End, Event, Session, SessionOptions, tcp};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::scene::{data, frame};
use crate::support::frames::{encoded, next};
use crate::support::kernel;
use crate::support::wire::soon;

/// Ends a connection by a reset.
fn reset(socket: TcpStream) {
    let at_once = Some(Duration::ZERO);
    SockRef::from(&socket).set_linger(at_once).expect("set");
}

#[tokio::test]
async fn by_a_player() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut session = Session::start(tcp(address.to_string()), SessionOptions::default());
    let to = Outgoing::to("game");
    assert!(session.send(&to, b"hello").await);
    let (mut socket, _) = soon(listener.accept()).await.expect("a connection");
    next(&mut socket).await;
    let header = Header {
        kind: ClientKind::Opened as u8,
        session_id: 7,
        ..Header::default()
    };
    let (mut payload, token) = (Vec::new(), b"token".as_slice());
    Opened {
        received: 1,
        idle_timeout_ms: 300_000,
        token,
    }
    .encode(&mut payload);
    let mut words = encoded(header, "", &payload);
    // More than the library keeps for an application that does not listen: the rest is not read.
    for n in 0..600_u16 {
        words.extend(data("game", &n.to_be_bytes()));
    }
    words.extend(frame(ClientKind::Close as u8, "", &[1, 0xB8]));
    socket.write_all(&words).await.expect("sent");
    kernel::acknowledged(&socket).await;
    reset(socket);
    assert!(session.send(&to, b"into the void").await);

    assert_eq!(soon(session.next()).await, Some(Event::Started(7)));
    for n in 0..600_u16 {
        match soon(session.next()).await {
            Some(Event::Data(data)) => assert_eq!(data.payload[..], n.to_be_bytes()),
            other => panic!("{n}: {other:?}"),
        }
    }
    match soon(session.next()).await {
        Some(Event::Ended(End::Closed(told))) => assert_eq!(told.code, Code::KICKED),
        other => panic!("{other:?}"),
    }
}

/// A service that is busy with its first DATA until it is told to go on.
struct Busy {
    go_on: Receiver<()>,
    data: UnboundedSender<Vec<u8>>,
    ended: UnboundedSender<Code>,
}

impl Service for Busy {
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
        out.send(session.session_id, payload);
        self.data.send(payload.to_vec()).expect("a listener");
        if payload == b"first" {
            self.go_on.recv().expect("told to go on");
        }
    }

    fn ended(&mut self, _: &SessionInfo, code: Code) {
        self.ended.send(code).expect("a listener");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_backend() {
    let (go_on, told): (Sender<()>, _) = channel();
    let (data, mut heard) = unbounded_channel();
    let (ended, mut ends) = unbounded_channel();
    let service = Busy {
        go_on: told,
        data,
        ended,
    };
    let any = "127.0.0.1:0".parse().expect("an address");
    let backend = Backend::start(any, service).await.expect("a port");
    let mut socket = soon(TcpStream::connect(backend.address()))
        .await
        .expect("a connection");
    let say = |kind, id, payload: &[u8]| {
        let mut bytes = Vec::new();
        game_gateway::codec::link::encode(&mut bytes, kind, id, payload);
        bytes
    };
    let hello = Hello {
        protocol: 1,
        gateway_id: "gw".to_owned(),
        service_type: "game".to_owned(),
        resume_window_ms: 30_000,
        ping_interval_ms: 5_000,
        token: None,
        trace_threshold: None,
    };
    let hello = serde_json::to_vec(&hello).expect("JSON");
    let mut open = Vec::new();
    Open {
        realm_id: 0,
        user_id: 0,
        transport: 1,
        flags: 0,
        epoch: 1,
        client: "192.0.2.1:4711",
        previous_gateway: "",
        state: &[],
    }
    .encode(&mut open);
    let first = [
        say(Kind::Hello, 0, &hello),
        say(Kind::Ping, 0, b""),
        say(Kind::Open, 7, &open),
        say(Kind::Data, 7, b"first"),
    ];
    socket.write_all(&first.concat()).await.expect("sent");
    assert_eq!(soon(heard.recv()).await.as_deref(), Some(&b"first"[..]));
    let mut words: Vec<u8> = (0..20)
        .flat_map(|n| say(Kind::Data, 7, &[n; 1024]))
        .collect();
    words.extend(say(Kind::Close, 7, &[3, 0xF1]));
    socket.write_all(&words).await.expect("sent");
    kernel::acknowledged(&socket).await;
    reset(socket);
    go_on.send(()).expect("a service");

    for n in 0..20 {
        assert_eq!(soon(heard.recv()).await, Some(vec![n; 1024]));
    }
    assert_eq!(soon(ends.recv()).await, Some(Code(1009)));
}
