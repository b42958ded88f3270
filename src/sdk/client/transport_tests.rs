//! A client over WebSocket and HTTP, and the other end of its connection, which the test plays.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::*;
use crate::codec::client::{self, HEADER_LEN};

fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        kind: kind as u8,
        session_id: 99,
        ..Header::default()
    };
    let mut out = Vec::new();
    client::encode(&mut out, &header, "game", payload);
    out
}

async fn websocket(options: Options) -> (Client, WebSocketStream<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = Options {
        transport: Transport::Websocket,
        ..options
    };
    let gateway = async { accept_async(listener.accept().await.unwrap().0).await };
    let (client, gateway) = tokio::join!(Client::connect(address, options), gateway);
    (client.unwrap(), gateway.unwrap())
}

async fn expect_data(client: &mut Client, expected: &[u8]) {
    match client.next().await.unwrap() {
        Event::Data(data) => assert_eq!(data.payload, expected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_frame_is_a_message_and_a_message_may_hold_several() {
    let (mut client, mut gateway) = websocket(Options::default()).await;
    client
        .send(&Outgoing::to("game"), &b"one"[..])
        .await
        .unwrap();
    let message = gateway.next().await.unwrap().unwrap();
    assert!(message.is_binary());
    assert_eq!(message.len(), HEADER_LEN + "gameone".len());

    let two = [frame(Kind::Data, b"two"), frame(Kind::Data, b"three")].concat();
    gateway.send(Message::binary(two)).await.unwrap();
    gateway.send(Message::Ping(Bytes::new())).await.unwrap();
    gateway
        .send(Message::binary(frame(Kind::Data, b"four")))
        .await
        .unwrap();
    for expected in [&b"two"[..], b"three", b"four"] {
        expect_data(&mut client, expected).await;
    }
    assert_eq!(client.session_id(), 99);

    let told = async move {
        let message = gateway.next().await.unwrap().unwrap();
        assert!(message.is_pong());
        let close = gateway.next().await.unwrap().unwrap().into_data();
        assert_eq!(close[3], Kind::Close as u8);
        gateway.close(None).await.unwrap();
        while gateway.next().await.is_some() {}
    };
    let (closed, ()) = tokio::join!(client.close(), told);
    closed.unwrap();
}

#[tokio::test]
async fn a_message_that_is_cut_or_too_long_is_an_error() {
    for bad in [
        frame(Kind::Data, b"cut off")[..40].to_vec(),
        frame(Kind::Data, &[0; 1001]),
        frame(Kind::Data, &[0; 20_000]),
    ] {
        let options = Options {
            max_payload: 1000,
            ..Options::default()
        };
        let (mut client, mut gateway) = websocket(options).await;
        gateway.send(Message::binary(bad)).await.unwrap();
        let error = client.next().await.unwrap_err();
        assert!(matches!(error, ClientError::Stream(_)), "{error:?}");
    }
}

/// Returns an HTTP client of a server that answers each request with the next of these.
async fn http(answers: &'static [&'static str]) -> HttpClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for answer in answers {
            let mut request = Vec::new();
            while !request.ends_with(b"question") {
                stream.read_buf(&mut request).await.unwrap();
            }
            let request = String::from_utf8(request).unwrap();
            assert!(request.starts_with("POST /game HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("\r\nX-User-Id: 7\r\n"), "{request}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let options = Options {
        max_payload: 1000,
        ..Options::default()
    };
    HttpClient::connect(address, options).await.unwrap()
}

fn question() -> Outgoing {
    Outgoing {
        user_id: 7,
        ..Outgoing::to("game")
    }
}

#[tokio::test]
async fn a_post_is_a_session() {
    let mut client = http(&[
        "HTTP/1.1 200 OK\r\nx-session-id: 9\r\ncontent-length: 6\r\n\r\nanswer",
        "HTTP/1.1 503 No\r\nretry-after: 2\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    ])
    .await;
    let reply = client.post(&question(), b"question").await.unwrap();
    assert_eq!((reply.code, reply.session_id), (Code::NORMAL, 9));
    assert_eq!(
        (&reply.payload[..], client.closes()),
        (&b"answer"[..], false)
    );
    let reply = client.post(&question(), b"question").await.unwrap();
    assert_eq!(reply.code, Code::UNAVAILABLE);
    assert_eq!(reply.retry_after, Duration::from_secs(2));
    assert!(client.closes());
    let error = client.post(&question(), b"question").await.unwrap_err();
    assert!(
        matches!(error, ClientError::Ended | ClientError::Stream(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    for bad in [
        &["HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n"][..],
        &["SSH-2.0\r\n\r\n"],
    ] {
        let mut client = http(bad).await;
        let error = client.post(&question(), b"question").await.unwrap_err();
        assert!(matches!(error, ClientError::Http(_)), "{error:?}");
    }
}
