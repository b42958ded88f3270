//! The handshake of a WebSocket (RFC 6455, 4.2). A request to upgrade to anything else is answered as
//! if it had not asked (RFC 9110, 7.8).

use actix_http::header::{self, HeaderMap};
use actix_http::{Method, RequestHead, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::request::listed;
use super::response::Reply;
use crate::net::entry_host::EntryParams;

/// The subprotocol, chosen where a client offers it.
const SUBPROTOCOL: &str = "ggp.v1";
/// The version of RFC 6455.
const VERSION: &str = "13";
/// Characters of a key: 16 bytes in base64, of which the last two are padding.
const KEY_CHARS: usize = 24;

/// The answer to a good handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Accept {
    key: String,
    chooses_subprotocol: bool,
}

impl Accept {
    /// Makes the response, which has no body.
    pub(super) fn response(&self) -> String {
        let subprotocol = match self.chooses_subprotocol {
            true => format!("sec-websocket-protocol: {SUBPROTOCOL}\r\n"),
            false => String::new(),
        };
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {}\r\n{subprotocol}\r\n",
            self.key
        )
    }
}

/// Returns true if the request is a WebSocket's handshake, be it a good one or not. Upgrade without
/// Connection, from HTTP/1.0 or of another method asks for nothing (RFC 9110, 7.8).
pub(super) fn is_handshake(head: &RequestHead) -> bool {
    let lists =
        |name, wanted: &str| listed(head.headers(), name, |one| one.eq_ignore_ascii_case(wanted));
    head.method == Method::GET
        && head.version == Version::HTTP_11
        && lists(header::CONNECTION, "upgrade")
        && lists(header::UPGRADE, "websocket")
}

/// Returns the answer to a good handshake.
///
/// # Errors
/// The refusal of one with a mistake.
pub(super) fn accept(head: &RequestHead, params: &EntryParams) -> Result<Accept, Reply> {
    let headers = head.headers();
    let bodiless = single(headers, header::CONTENT_LENGTH).is_none_or(|length| length == "0")
        && !headers.contains_key(header::TRANSFER_ENCODING);
    if !bodiless {
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
    let origins = &params.config.listen.websocket.allowed_origins;
    let origin = headers.get(header::ORIGIN);
    // A value that is not text matches no configured origin.
    let origin = origin.map(|origin| origin.to_str().unwrap_or("?"));
    if !origins.is_empty() && origin.is_some_and(|origin| !origins.contains(origin)) {
        return Err(Reply::refusal(403, "this origin is not allowed"));
    }
    if let Some(refusal) = params.host.upgrade_refusal() {
        return Err(Reply::refused(&refusal));
    }
    Ok(Accept {
        key: derive_accept_key(key.as_bytes()),
        chooses_subprotocol: listed(headers, header::SEC_WEBSOCKET_PROTOCOL, |p| {
            p == SUBPROTOCOL
        }),
    })
}

/// Returns the value of a header that occurs exactly once.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?.trim();
    values.next().is_none().then_some(value)
}

/// Returns true if the key is 16 bytes in base64.
fn is_key(key: &str) -> bool {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let digits = key.strip_suffix("==");
    key.len() == KEY_CHARS && digits.is_some_and(|digits| digits.bytes().all(base64))
}
