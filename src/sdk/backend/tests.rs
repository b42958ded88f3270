use std::sync::mpsc;

use actix_codec::Framed;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};

use tokio::io::AsyncWriteExt;

use super::*;
use crate::codec::code::{Code, Notice};
use crate::codec::framed::{LinkCodec, LinkFrame};
use crate::codec::link::{Hello, Kind, Multicast, OPEN_RESUMED, Open};

/// A gateway's end of a link, played by the test.
struct Link(Framed<TcpStream, LinkCodec>);

impl Link {
    /// Connects, sends HELLO and asserts that the link takes sessions.
    async fn new(backend: &Backend, gateway_id: &str) -> Link {
        let mut link = Link::raw(backend).await;
        link.hello(gateway_id, "game").await;
        link.send(Kind::Ping, 0, b"are you there").await;
        link.expect(Kind::Pong, 0, b"are you there").await;
        link
    }

    async fn raw(backend: &Backend) -> Link {
        let stream = TcpStream::connect(backend.address()).await.unwrap();
        let codec = LinkCodec { max_payload: 1000 };
        Link(Framed::new(stream, codec))
    }

    async fn hello(&mut self, gateway_id: &str, service: &str) {
        self.hello_with(gateway_id, service, 5_000).await;
    }

    async fn hello_with(&mut self, gateway_id: &str, service: &str, ping_interval_ms: u64) {
        let hello = Hello {
            protocol: 1,
            gateway_id: gateway_id.into(),
            service_type: service.into(),
            resume_window_ms: 30_000,
            ping_interval_ms,
            token: None,
            trace_threshold: None,
        };
        let hello = serde_json::to_vec(&hello).unwrap();
        self.send(Kind::Hello, 0, &hello).await;
    }

    async fn send(&mut self, kind: Kind, session_id: u64, payload: &[u8]) {
        let frame = LinkFrame {
            kind: kind as u8,
            session_id,
            payload: Bytes::copy_from_slice(payload),
        };
        self.0.send(frame).await.unwrap();
    }

    async fn open(&mut self, session_id: u64, epoch: u32, flags: u8) {
        let mut payload = Vec::new();
        Open {
            realm_id: 1,
            user_id: 2,
            transport: 1,
            flags,
            epoch,
            client: "192.0.2.1:5",
            previous_gateway: "",
            state: &[],
        }
        .encode(&mut payload);
        self.send(Kind::Open, session_id, &payload).await;
    }

    async fn next(&mut self) -> LinkFrame {
        self.0.next().await.unwrap().unwrap()
    }

    async fn expect(&mut self, kind: Kind, session_id: u64, payload: &[u8]) {
        let frame = self.next().await;
        assert_eq!((frame.kind, frame.session_id), (kind as u8, session_id));
        assert_eq!(&frame.payload[..], payload);
    }

    async fn expect_close(&mut self, session_id: u64, code: Code) {
        let frame = self.next().await;
        assert_eq!(
            (frame.kind, frame.session_id),
            (Kind::Close as u8, session_id)
        );
        assert_eq!(Notice::decode(&frame.payload, Code::KICKED).code, code);
    }

    async fn expect_end(&mut self) {
        assert!(!matches!(self.0.next().await, Some(Ok(_))));
    }
}

async fn start(service: impl Service) -> Backend {
    Backend::start("127.0.0.1:0".parse().unwrap(), service)
        .await
        .unwrap()
}

#[tokio::test]
async fn echoes_by_session() {
    let backend = start(echo).await;
    let mut link = Link::new(&backend, "a").await;
    link.open(1, 1, 0).await;
    link.open(2, 1, 0).await;
    for (id, payload) in [(1, b"one"), (2, b"two"), (1, b"tri")] {
        link.send(Kind::Data, id, payload).await;
    }
    link.expect(Kind::Data, 1, b"one").await;
    link.expect(Kind::Data, 2, b"two").await;
    link.expect(Kind::Data, 1, b"tri").await;
    link.send(Kind::Data, 3, b"never opened").await;
    link.send(Kind::Close, 1, &[]).await;
    link.send(Kind::Ping, 0, b"").await;
    link.expect(Kind::Pong, 0, b"").await;
    let counts = backend.counts();
    assert_eq!((counts.data_in, counts.data_out, counts.strays), (3, 3, 1));
    assert_eq!(backend.sessions(), 1);
}

/// A gateway whose host is gone sends no FIN; its sessions wait for another link.
#[tokio::test]
async fn a_link_that_is_silent_is_left() {
    let backend = start(echo).await;
    let mut patient = Link::new(&backend, "a").await;
    let mut link = Link::raw(&backend).await;
    link.hello_with("a", "other", 20).await;
    link.open(7, 1, 0).await;
    // A part of a frame is a sign of life once.
    link.0.io_mut().write_all(&[0, 0]).await.unwrap();
    link.expect_end().await;
    assert_eq!((backend.links(), backend.sessions()), (1, 1));
    patient.send(Kind::Ping, 0, b"").await;
    patient.expect(Kind::Pong, 0, b"").await;
}

#[tokio::test]
async fn stale_and_unknown_opens_are_refused() {
    let backend = start(echo).await;
    let mut a = Link::new(&backend, "a").await;
    let mut b = Link::new(&backend, "b").await;
    a.open(1, 2, 0).await;
    a.open(1, 1, 0).await;
    a.expect_close(1, Code::GONE).await;
    b.open(1, 2, 0).await;
    b.expect_close(1, Code::GONE).await;
    b.open(9, 2, OPEN_RESUMED).await;
    b.expect_close(9, Code::NO_ROUTE).await;
    a.send(Kind::Data, 1, b"still here").await;
    a.expect(Kind::Data, 1, b"still here").await;

    b.open(1, 3, OPEN_RESUMED).await;
    b.expect(Kind::Accept, 1, &3_u32.to_be_bytes()).await;
    a.send(Kind::Data, 1, b"the last of the old").await;
    b.expect(Kind::Data, 1, b"the last of the old").await;
    a.send(Kind::Close, 1, &307_u16.to_be_bytes()).await;
    a.expect_close(1, Code::LEAVES_LINK).await;
    assert_eq!(backend.counts().opens_refused, 3);
}

#[tokio::test]
async fn a_service_says_all_there_is() {
    let backend = start(
        |session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>| match payload {
            b"login" => {
                out.bind(session.session_id, 42, 7);
            }
            b"all" => {
                assert_eq!(out.multicast(&[1, 2, 99], b"hear"), 2);
            }
            b"other" => {
                out.send(2, b"from 1");
            }
            _ => {
                out.close(session.session_id, Code::KICKED, "out");
            }
        },
    )
    .await;
    let mut one = Link::new(&backend, "a").await;
    let mut two = Link::new(&backend, "b").await;
    one.open(1, 1, 0).await;
    two.open(2, 1, 0).await;
    // Its PONG says that the second OPEN was taken.
    two.send(Kind::Ping, 0, b"").await;
    two.expect(Kind::Pong, 0, b"").await;

    one.send(Kind::Data, 1, b"login").await;
    let mut bind = 42_u64.to_be_bytes().to_vec();
    bind.extend(7_u32.to_be_bytes());
    one.expect(Kind::Bind, 1, &bind).await;
    one.send(Kind::Data, 1, b"all").await;
    for (link, id) in [(&mut one, 1), (&mut two, 2)] {
        let mut body = Vec::new();
        Multicast::encode(&mut body, &[id], b"hear");
        link.expect(Kind::Multicast, 0, &body).await;
    }
    one.send(Kind::Data, 1, b"other").await;
    two.expect(Kind::Data, 2, b"from 1").await;
    one.send(Kind::Data, 1, b"kick me").await;
    one.expect_close(1, Code::KICKED).await;
    assert_eq!(backend.sessions(), 1);
    assert_eq!(backend.counts().undelivered, 1);
}

#[tokio::test]
async fn speaks_unasked_and_over_another_link_of_that_gateway() {
    let backend = start(echo).await;
    assert_eq!(backend.speak("game", |out| out.send(1, b"x")), None);
    let mut first = Link::new(&backend, "a").await;
    let mut second = Link::new(&backend, "a").await;
    first.open(1, 1, 0).await;
    first.send(Kind::Ping, 0, b"").await;
    first.expect(Kind::Pong, 0, b"").await;
    assert_eq!(backend.speak("game", |out| out.send(1, b"x")), Some(true));
    first.expect(Kind::Data, 1, b"x").await;
    drop(first);
    while backend.links() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(backend.speak("game", |out| out.send(1, b"y")), Some(true));
    second.expect(Kind::Data, 1, b"y").await;
}

#[tokio::test]
async fn services_are_apart_and_hear_of_ends() {
    struct Ends(mpsc::Sender<(u64, Code)>);
    impl Service for Ends {
        fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
            echo(session, payload, out);
        }
        fn ended(&mut self, session: &SessionInfo, code: Code) {
            self.0.send((session.session_id, code)).unwrap();
        }
    }
    let (sender, ends) = mpsc::channel();
    let backend = start(Ends(sender)).await;
    let mut game = Link::new(&backend, "a").await;
    let mut chat = Link::raw(&backend).await;
    chat.hello("a", "chat").await;
    game.open(1, 1, 0).await;
    chat.open(1, 1, 0).await;
    chat.send(Kind::Close, 1, &440_u16.to_be_bytes()).await;
    chat.send(Kind::Ping, 0, b"").await;
    chat.expect(Kind::Pong, 0, b"").await;
    assert_eq!(ends.try_recv(), Ok((1, Code::KICKED)));
    game.send(Kind::Data, 1, b"on").await;
    game.expect(Kind::Data, 1, b"on").await;
}

#[tokio::test]
async fn who_breaks_the_protocol_loses_the_link() {
    let backend = start(echo).await;
    let mut healthy = Link::new(&backend, "a").await;
    let mut no_hello = Link::raw(&backend).await;
    no_hello.send(Kind::Ping, 0, b"").await;
    no_hello.expect_end().await;
    let mut wrong_kind = Link::new(&backend, "b").await;
    wrong_kind.send(Kind::Bind, 1, &[0; 12]).await;
    wrong_kind.expect_end().await;
    let mut short_open = Link::new(&backend, "c").await;
    short_open.send(Kind::Open, 1, b"short").await;
    short_open.expect_end().await;
    healthy.send(Kind::Ping, 0, b"").await;
    healthy.expect(Kind::Pong, 0, b"").await;
    assert_eq!(backend.counts().links_dropped, 3);
}

#[tokio::test]
async fn stops_in_order_and_at_once() {
    let backend = start(echo).await;
    let address = backend.address();
    let mut link = Link::new(&backend, "a").await;
    link.open(1, 1, 0).await;
    link.send(Kind::Data, 1, b"x").await;
    link.expect(Kind::Data, 1, b"x").await;
    let stopping = tokio::spawn(backend.stop(Duration::from_secs(60)));
    link.expect(Kind::Goaway, 0, b"").await;
    link.send(Kind::Close, 1, &[]).await;
    // This one was on its way when the backend had none left.
    link.expect(Kind::Ping, 0, b"").await;
    link.open(2, 1, 0).await;
    link.send(Kind::Data, 2, b"y").await;
    link.send(Kind::Pong, 0, &[]).await;
    link.expect(Kind::Data, 2, b"y").await;
    link.send(Kind::Close, 2, &[]).await;
    // It asks again, unless it has not looked while there was one.
    while let Some(Ok(frame)) = link.0.next().await {
        assert_eq!(frame.kind, Kind::Ping as u8);
        link.send(Kind::Pong, 0, &[]).await;
    }
    assert_eq!(stopping.await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());

    let backend = start(echo).await;
    let mut link = Link::new(&backend, "a").await;
    backend.abort().await;
    link.expect_end().await;
}
