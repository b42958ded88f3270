use actix_codec::Framed;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::codec::client::Opened;

type Gateway = Framed<TcpStream, ClientCodec>;

/// Returns a client and the other end of its connection, which the test plays.
async fn pair() -> (Client, Gateway) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(
        Client::connect(address, Options::default()),
        listener.accept()
    );
    let codec = ClientCodec { max_payload: 1000 };
    (client.unwrap(), Framed::new(accepted.unwrap().0, codec))
}

async fn read(gateway: &mut Gateway) -> ClientFrame {
    gateway.next().await.unwrap().unwrap()
}

fn frame(kind: Kind, session_id: u64, payload: &[u8]) -> ClientFrame {
    ClientFrame {
        header: Header {
            kind: kind as u8,
            session_id,
            ..Header::default()
        },
        service: "game".into(),
        payload: Bytes::copy_from_slice(payload),
    }
}

#[tokio::test]
async fn sends_data_and_learns_its_session() {
    let (mut client, mut gateway) = pair().await;
    let to = Outgoing {
        service: "game".into(),
        realm_id: 2,
        user_id: 7,
        resumable: true,
    };
    client.send(&to, b"one".as_slice()).await.unwrap();
    let first = read(&mut gateway).await;
    assert_eq!(first.header.flags, FLAG_RESUMABLE);
    assert_eq!((first.header.realm_id, first.header.user_id), (2, 7));
    assert_eq!(first.header.session_id, 0);
    assert_eq!(
        (first.service.as_str(), &first.payload[..]),
        ("game", &b"one"[..])
    );

    gateway.send(frame(Kind::Data, 99, b"two")).await.unwrap();
    match client.next().await.unwrap() {
        Event::Data(data) => assert_eq!((data.session_id, &data.payload[..]), (99, &b"two"[..])),
        other => panic!("{other:?}"),
    }
    client.send(&to, b"three".as_slice()).await.unwrap();
    assert_eq!(read(&mut gateway).await.header.session_id, 99);
}

#[tokio::test]
async fn every_kind_is_an_event_and_pings_are_answered() {
    let (mut client, mut gateway) = pair().await;
    let mut opened = Vec::new();
    Opened {
        received: 1,
        idle_timeout_ms: 300,
        token: b"tok",
    }
    .encode(&mut opened);
    for sent in [
        frame(Kind::Ping, 0, b"hi"),
        frame(Kind::Opened, 5, &opened),
        frame(Kind::Opened, 5, &opened[..4]),
        frame(Kind::Pong, 5, b"p"),
        frame(Kind::Error, 5, &[1, 0xF6, 0, 0, 0, 9, b'x']),
        frame(Kind::Goaway, 5, &[0, 0, 0, 200]),
        frame(Kind::Close, 5, &[1, 0xF7]),
    ] {
        gateway.send(sent).await.unwrap();
    }
    let told = |code, retry_after, text: &str| Told {
        code,
        retry_after: Duration::from_millis(retry_after),
        service: "game".into(),
        text: text.into(),
    };
    for expected in [
        Event::Opened {
            received: 1,
            idle_timeout: Duration::from_millis(300),
            token: Bytes::from_static(b"tok"),
        },
        Event::Unknown(Kind::Opened as u8),
        Event::Pong(Bytes::from_static(b"p")),
        Event::Error(told(Code::BAD_GATEWAY, 9, "x")),
        Event::Goaway(Duration::from_millis(200)),
        Event::Close(told(Code::UNAVAILABLE, 0, "")),
    ] {
        assert_eq!(client.next().await.unwrap(), expected);
    }
    let pong = read(&mut gateway).await;
    assert_eq!(pong.header.kind, Kind::Pong as u8);
    assert_eq!(&pong.payload[..], b"hi");
}

#[tokio::test]
async fn close_is_sent_and_the_end_awaited() {
    let (client, mut gateway) = pair().await;
    let closing = tokio::spawn(client.close());
    let close = read(&mut gateway).await;
    assert_eq!(close.header.kind, Kind::Close as u8);
    gateway.send(frame(Kind::Data, 1, b"late")).await.unwrap();
    drop(gateway);
    closing.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_end_without_close_is_an_error() {
    let (mut client, gateway) = pair().await;
    drop(gateway);
    assert!(matches!(client.next().await, Err(ClientError::Ended)));
}

#[tokio::test]
async fn waits_are_bounded() {
    let (mut client, _gateway) = pair().await;
    client.options.wait_timeout = Duration::from_millis(1);
    assert!(matches!(
        client.next().await,
        Err(ClientError::WaitTimeout(_))
    ));
}

#[tokio::test]
async fn a_long_ping_is_refused() {
    let (mut client, _gateway) = pair().await;
    let sent = client.ping(vec![0; MAX_PING_LEN + 1]).await;
    assert!(matches!(sent, Err(ClientError::PingTooLong(126))));
}
