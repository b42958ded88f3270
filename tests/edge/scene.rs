//! Support of the edge tests: a gateway in front of an echo, bytes as they are, HTTP
//! responses, and a WebSocket.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use game_gateway::codec::client::Kind;
use game_gateway::codec::code::{Code, Notice};
use game_gateway::codec::framed::ClientFrame;
use game_gateway::codec::link;
use game_gateway::config::Config;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::frames::decoded;
pub(crate) use crate::support::frames::{data, frame};
pub(crate) use crate::support::http::{Response, request};
use crate::support::wire::{Backend, Gateway, Link, soon};

/// Starts a gateway whose one service `game` answers every DATA with its payload.
pub(crate) async fn echo(change: impl FnOnce(&mut Config)) -> Gateway {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), change).await;
    tokio::spawn(async move {
        loop {
            tokio::spawn(echo_link(backend.link().await));
        }
    });
    gateway
}

/// Answers every DATA on a link with its payload.
async fn echo_link(mut link: Link) {
    while let Some(frame) = link.next().await {
        if frame.kind == link::Kind::Data as u8 {
            link.send(link::Kind::Data, frame.session_id, &frame.payload)
                .await;
        }
    }
}

/// Starts a gateway whose one service `game` is on the link that comes with it, once a session needs it.
pub(crate) async fn scripted(change: impl FnOnce(&mut Config)) -> (Gateway, Backend) {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), change).await;
    (gateway, backend)
}

pub(crate) fn closed(reason: &str) -> String {
    format!("game_gateway_closed_connections_total{{reason=\"{reason}\"}}")
}

pub(crate) async fn connect(gateway: &Gateway) -> TcpStream {
    let socket = soon(TcpStream::connect(gateway.players)).await;
    let socket = socket.expect("the players' port");
    socket.set_nodelay(true).expect("set");
    socket
}

pub(crate) async fn send(socket: &mut TcpStream, bytes: &[u8]) {
    soon(socket.write_all(bytes)).await.expect("sent");
}

/// Reads until the connection ends. A reset counts as an end too if nothing was read.
pub(crate) async fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = soon(socket.read_to_end(&mut bytes)).await {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(bytes.is_empty(), "no reset after {bytes:?}");
    }
    bytes
}

/// Returns a gateway's answer to these bytes until it closes.
pub(crate) async fn answer(gateway: &Gateway, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(gateway).await;
    send(&mut socket, bytes).await;
    rest(&mut socket).await
}

/// Returns the response to one request on a connection of its own.
pub(crate) async fn ask(gateway: &Gateway, line: &str, headers: &str, body: &[u8]) -> Response {
    let mut socket = connect(gateway).await;
    send(&mut socket, &request(line, headers, body)).await;
    Response::read(&mut socket).await
}

/// A player over WebSocket.
pub(crate) struct Browser<S = TcpStream> {
    pub(crate) socket: WebSocketStream<S>,
}

impl Browser {
    pub(crate) async fn connect(gateway: &Gateway) -> Browser {
        Browser::over(connect(gateway).await).await
    }

    /// Goes on with a connection on which hands were shaken.
    pub(crate) async fn upgraded(socket: TcpStream) -> Browser {
        let socket = WebSocketStream::from_raw_socket(socket, Role::Client, None).await;
        Browser { socket }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Browser<S> {
    /// Shakes hands on a connection.
    pub(crate) async fn over(socket: S) -> Browser<S> {
        let mut request = "ws://gateway/play".into_client_request().expect("a URL");
        let protocol = "ggp.v1".parse().expect("a value");
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol);
        let connecting = tokio_tungstenite::client_async(request, socket);
        let (socket, response) = soon(connecting).await.expect("a WebSocket");
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "ggp.v1");
        Browser { socket }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        soon(self.socket.send(message)).await.expect("sent");
    }

    pub(crate) async fn binary(&mut self, bytes: Vec<u8>) {
        self.send(Message::Binary(bytes.into())).await;
    }

    pub(crate) async fn next(&mut self) -> Message {
        let message = soon(self.socket.next()).await.expect("a message");
        message.expect("a message")
    }

    /// Reads the next message, which must be one whole frame; returns its kind, session, service and payload.
    pub(crate) async fn frame(&mut self) -> (u8, u64, String, Bytes) {
        let Message::Binary(bytes) = self.next().await else {
            panic!("no binary message");
        };
        let [frame] = <[ClientFrame; 1]>::try_from(decoded(&bytes)).expect("one frame a message");
        let header = frame.header;
        (header.kind, header.session_id, frame.service, frame.payload)
    }

    /// Reads the next frame, which must be DATA; returns its payload.
    pub(crate) async fn answer(&mut self) -> Bytes {
        let (kind, _, _, payload) = self.frame().await;
        assert_eq!(kind, Kind::Data as u8);
        payload
    }

    /// Asserts that the next frame is CLOSE and that the WebSocket ends; returns both codes.
    pub(crate) async fn closed(&mut self) -> (u16, u16) {
        let (kind, _, _, payload) = self.frame().await;
        assert_eq!(kind, Kind::Close as u8);
        let code = Notice::decode(&payload, Code::NORMAL).code.0;
        (code, self.ended().await)
    }

    /// Asserts that the WebSocket ends in order; returns its code.
    pub(crate) async fn ended(&mut self) -> u16 {
        let Message::Close(Some(close)) = self.next().await else {
            panic!("no closing frame");
        };
        let end = soon(self.socket.next()).await;
        assert!(end.is_none(), "{end:?}");
        close.code.into()
    }
}
