//! The handshake of a WebSocket (RFC 6455, 4.2).

use std::io;

use actix_codec::Framed;
use actix_http::body::{BodySize, MessageBody};
use actix_http::header::{self, HeaderMap};
use actix_http::{ConnectionType, Method, Request, RequestHead, Response, StatusCode, Version, h1};
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::connection::Connection;
use super::replay::Replay;
use super::request;
use super::response::Reply;
use crate::net::socket::Socket;
use crate::net::websocket::WebSocket;

/// The subprotocol, chosen where a client offers it.
const SUBPROTOCOL: &str = "ggp.v1";
/// The version of RFC 6455.
const VERSION: &str = "13";
/// Characters of a key: 16 bytes in base64, of which the last two are padding.
const KEY_CHARS: usize = 24;

type Io = Framed<Replay, h1::Codec>;

/// Answers a request to upgrade with 101, which makes the connection a WebSocket, or with a refusal.
///
/// # Errors
/// The connection failed.
pub(super) async fn upgrade(
    connection: &Connection,
    request: &Request,
    mut io: Io,
) -> io::Result<()> {
    let listen = &connection.params.config.listen;
    let key = match accept_key(request.head(), connection) {
        Ok(key) => key,
        Err(reply) => {
            let origin = request::origin(request.head());
            let response = reply
                .closing()
                .into_response(origin.as_deref(), &listen.http);
            return refuse(connection.finish(response), io).await;
        }
    };
    let mut response = Response::build(StatusCode::SWITCHING_PROTOCOLS);
    response
        .upgrade("websocket")
        .insert_header((header::SEC_WEBSOCKET_ACCEPT, key));
    if listed(
        request.head().headers(),
        header::SEC_WEBSOCKET_PROTOCOL,
        |p| p == SUBPROTOCOL,
    ) {
        response.insert_header((header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL));
    }
    let response = response.finish().drop_body();
    connection.params.host.answered(101);
    io.send(h1::Message::Item((response, BodySize::None)))
        .await?;
    let parts = io.into_parts();
    let (rest, socket) = parts.io.into_parts();
    let read = [&parts.read_buf[..], &rest].concat();
    let socket = WebSocket::new(socket, read, listen.max_payload).await;
    *connection.upgraded.borrow_mut() = Some(Socket::WebSocket(Box::new(socket)));
    Ok(())
}

async fn refuse<B: MessageBody>(response: Response<B>, mut io: Io) -> io::Result<()> {
    let (response, body) = response.into_parts();
    let body = body.try_into_bytes().unwrap_or_default();
    let size = BodySize::Sized(body.len() as u64);
    io.feed(h1::Message::Item((response, size))).await?;
    io.send(h1::Message::Chunk(Some(body))).await
}

/// Returns the `Sec-WebSocket-Accept` of the response, or the refusal of the handshake.
fn accept_key(head: &RequestHead, connection: &Connection) -> Result<String, Reply> {
    let headers = head.headers();
    if head.method != Method::GET {
        return Err(Reply::method_not_allowed("GET"));
    }
    let upgrades = head.connection_type() == ConnectionType::Upgrade;
    let websocket = listed(headers, header::UPGRADE, |p| {
        p.eq_ignore_ascii_case("websocket")
    });
    let bodiless = single(headers, header::CONTENT_LENGTH).is_none_or(|length| length == "0");
    if head.version != Version::HTTP_11 || !upgrades || !websocket || !bodiless {
        return Err(Reply::refusal(400, "not a WebSocket handshake"));
    }
    if single(headers, header::SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        let reply = Reply::refusal(426, "only version 13 of WebSocket is spoken here");
        return Err(reply.with(header::SEC_WEBSOCKET_VERSION, VERSION));
    }
    let key = single(headers, header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
    let Some(key) = key else {
        return Err(Reply::refusal(
            400,
            "Sec-WebSocket-Key is not 16 bytes in base64",
        ));
    };
    let origins = &connection.params.config.listen.websocket.allowed_origins;
    let origin = request::origin(head);
    if !origins.is_empty() && origin.is_some_and(|origin| !origins.contains(&origin)) {
        return Err(Reply::refusal(403, "this origin is not allowed"));
    }
    match connection.params.host.refusal() {
        Some(refusal) => Err(Reply::refused(&refusal)),
        None => Ok(derive_accept_key(key.as_bytes())),
    }
}

/// Returns the value of a header that occurs exactly once.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?.trim();
    values.next().is_none().then_some(value)
}

/// Returns true if a header's list, over all its lines, has such an entry.
fn listed(headers: &HeaderMap, name: header::HeaderName, wanted: impl Fn(&str) -> bool) -> bool {
    let lines = headers
        .get_all(name)
        .filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .any(|entry| wanted(entry.trim()))
}

/// Returns true if the key is 16 bytes in base64.
fn is_key(key: &str) -> bool {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let digits = key.strip_suffix("==");
    key.len() == KEY_CHARS && digits.is_some_and(|digits| digits.bytes().all(base64))
}
