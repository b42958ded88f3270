//! The requests that are served, and the refusals of all others.

use std::str::FromStr;

use actix_http::header::{self, HeaderMap};
use actix_http::{Method, Payload, RequestHead};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::response::Reply;
use crate::codec::client::is_service_name;
use crate::net::entry_host::EntryParams;

/// The path of balancers' health checks.
const HEALTH: &str = "/health";

/// A message for a service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Post {
    /// The service_type.
    pub(super) service: String,
    /// 0 for none.
    pub(super) realm_id: u32,
    /// 0 for none.
    pub(super) user_id: u64,
}

/// Returns the request's `Origin`, which browsers send.
pub(super) fn origin(head: &RequestHead) -> Option<String> {
    let origin = head.headers().get(header::ORIGIN)?;
    // A value that is not text matches no configured origin.
    Some(origin.to_str().unwrap_or("?").to_owned())
}

fn service(head: &RequestHead) -> Option<&str> {
    let name = head.uri.path().strip_prefix('/')?;
    is_service_name(name.as_bytes()).then_some(name)
}

/// Returns the answer to a request that is refused by its head alone, or none.
pub(super) fn refusal(head: &RequestHead, params: &EntryParams) -> Option<Reply> {
    let http = &params.config.listen.http;
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
    if let Some(refusal) = params.host.refusal() {
        return Some(Reply::refused(&refusal));
    }
    let length = head.headers().get(header::CONTENT_LENGTH);
    let length: Option<u64> = length.and_then(|v| v.to_str().ok()?.trim().parse().ok());
    if length.is_some_and(|length| length > u64::from(params.config.listen.max_payload)) {
        return Some(too_large());
    }
    None
}

fn too_large() -> Reply {
    Reply::refusal(413, "payload over the limit").closing()
}

impl Post {
    /// Reads the head of a request that [`refusal`] lets through; none if it is not a POST.
    ///
    /// # Errors
    /// A header is malformed.
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

/// Parses a decimal number in a header that may occur once; 0 without it.
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

/// Reads the whole body, at most `limit` bytes.
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
