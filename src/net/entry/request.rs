//! What an HTTP request asks for, and whether it may.

use std::str::FromStr;

use actix_http::header::{self, HeaderMap};
use actix_http::{Method, Payload, RequestHead};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::Terms;
use super::response::Reply;
use crate::codec::client::is_service_name;

/// Where balancers probe.
const HEALTH: &str = "/health";

/// A message for a service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Post {
    /// The service_type.
    pub(super) service: String,
    /// 0: none.
    pub(super) realm_id: u32,
    /// 0: none.
    pub(super) user_id: u64,
}

/// The request's `Origin`, if a browser has sent one.
pub(super) fn origin(head: &RequestHead) -> Option<String> {
    let origin = head.headers().get(header::ORIGIN)?;
    // What is no text is no origin of anyone's list.
    Some(origin.to_str().unwrap_or("?").to_owned())
}

fn service(head: &RequestHead) -> Option<&str> {
    let name = head.uri.path().strip_prefix('/')?;
    is_service_name(name.as_bytes()).then_some(name)
}

/// The answer to a request that is refused by its head alone.
pub(super) fn refusal(head: &RequestHead, terms: &Terms) -> Option<Reply> {
    let http = &terms.config.listen.http;
    let probes = head.uri.path() == HEALTH && matches!(head.method, Method::GET | Method::HEAD);
    if probes {
        return None;
    }
    if origin(head).is_some_and(|origin| !http.allowed_origins.contains(&origin)) {
        return Some(Reply::refusal(403, "this origin is not allowed"));
    }
    if head.uri.path() == "*" && head.method == Method::OPTIONS {
        return None;
    }
    if service(head).is_none() {
        return Some(Reply::refusal(404, "the path is not the name of a service"));
    }
    match head.method {
        Method::OPTIONS => return None,
        Method::POST => {}
        _ if head.uri.path() == HEALTH => {
            return Some(Reply::method_not_allowed("GET, HEAD, POST, OPTIONS"));
        }
        _ => return Some(Reply::method_not_allowed("POST, OPTIONS")),
    }
    if let Some(refusal) = terms.reception.refusal() {
        return Some(Reply::refused(&refusal));
    }
    let length = head.headers().get(header::CONTENT_LENGTH);
    let length: Option<u64> = length.and_then(|v| v.to_str().ok()?.trim().parse().ok());
    if length.is_some_and(|length| length > u64::from(terms.config.listen.max_payload)) {
        return Some(too_large());
    }
    None
}

fn too_large() -> Reply {
    Reply::refusal(413, "payload over the limit").closing()
}

impl Post {
    /// The message that a request which is not refused is for; `None`: it is no POST.
    pub(super) fn of(head: &RequestHead) -> Result<Option<Post>, Reply> {
        let Some(service) = service(head).filter(|_| head.method == Method::POST) else {
            return Ok(None);
        };
        Ok(Some(Post {
            service: service.to_owned(),
            realm_id: number(head.headers(), "x-realm-id")?,
            user_id: number(head.headers(), "x-user-id")?,
        }))
    }
}

/// A decimal number in a header that stands there at most once; 0 without it.
fn number<T: FromStr + Default>(headers: &HeaderMap, name: &str) -> Result<T, Reply> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else {
        return Ok(T::default());
    };
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = value
        .to_str()
        .ok()
        .filter(digits)
        .and_then(|t| t.parse().ok());
    let number = number.filter(|_| values.next().is_none());
    number.ok_or_else(|| Reply::refusal(400, &format!("{name} is not one decimal number")))
}

/// The whole body, of at most `limit` bytes.
pub(super) async fn body(mut payload: Payload, limit: usize) -> Result<Bytes, Reply> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let broken = |_| Reply::refusal(400, "the body is malformed").closing();
        let chunk = chunk.map_err(broken)?;
        if chunk.len() > limit - body.len() {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
