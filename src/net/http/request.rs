//! The requests that are served, and the refusals of all others.

use std::net::SocketAddr;
use std::str::FromStr;

use actix_http::header::{self, HeaderMap};
use actix_http::{Method, RequestHead, Version};

use super::body::{Mistake, TOO_LARGE};
use super::response::Reply;
use super::upgrade;
use crate::codec::client::is_service_name;
use crate::codec::forwarded;
use crate::net::entry_host::EntryParams;

/// A `Host` that [`is_host`] refuses.
pub(crate) const MALFORMED_HOST: Mistake = Mistake {
    status: 400,
    text: "Host is malformed",
    is_lost: false,
};
/// The path of balancers' health checks.
const HEALTH: &str = "/health";

/// The head of a request, as far as its answer depends on it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) target: Target,
    /// Its `Origin`, which browsers send.
    pub(super) origin: Option<String>,
    /// The client waits for 100 Continue before it sends the body.
    pub(super) expects: bool,
    pub(super) manner: Manner,
}

/// The way in which a response is written, beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// The version of the request is 1.1, not 1.0.
    pub(crate) is_http_11: bool,
    /// The response is to have no body.
    pub(crate) head_only: bool,
    /// The connection ends behind the response.
    pub(crate) closes: bool,
}

impl Manner {
    /// The manner of a response to something that cannot be understood.
    pub(crate) const REFUSAL: Manner = Manner {
        is_http_11: true,
        head_only: false,
        closes: true,
    };

    /// Returns the manner of the response to a request.
    pub(crate) fn of(head: &RequestHead) -> Manner {
        Manner {
            is_http_11: head.version == Version::HTTP_11,
            head_only: head.method == Method::HEAD,
            closes: !keeps_alive(head),
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub(super) enum Target {
    /// Nothing that is served.
    Refused(Reply),
    /// A browser's permission.
    Preflight,
    /// A balancer's health check.
    Health,
    Post(Post),
    WebSocket(upgrade::Accept),
}

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

impl Asked {
    /// Reads a request's head.
    pub(super) fn new(head: &RequestHead, params: &EntryParams) -> Asked {
        let refusal = match client(head, params) {
            Ok(None) => None,
            Ok(Some(client)) => {
                let refusal = params.host.forwarded(client);
                refusal.map(|refusal| Reply::refused(&refusal))
            }
            Err(reply) => Some(reply),
        };
        let target = match refusal {
            Some(reply) => Target::Refused(reply),
            None => Target::new(head, params).unwrap_or_else(Target::Refused),
        };
        Asked {
            target,
            origin: origin(head),
            expects: RequestHead::expect(head),
            manner: Manner {
                closes: !keeps_alive(head) || leaves_http(head),
                ..Manner::of(head)
            },
        }
    }
}

/// Returns the player whom a trusted proxy names; none where there is no such proxy, or it asks for itself.
fn client(head: &RequestHead, params: &EntryParams) -> Result<Option<SocketAddr>, Reply> {
    let host = &params.host;
    // A health check is the proxy's own, whatever it names.
    if !host.is_trusted_proxy(None) || is_health_check(head) {
        return Ok(None);
    }
    let lines = |name| {
        let values = head.headers().get_all(name);
        values.filter_map(|v| v.to_str().ok()).collect::<Vec<_>>()
    };
    let (plain, described) = (lines(header::X_FORWARDED_FOR), lines(header::FORWARDED));
    forwarded::client(&plain, &described, |ip| host.is_trusted_proxy(Some(ip)))
        .map_err(|_| Reply::refusal(400, "X-Forwarded-For and Forwarded name different clients"))
}

fn is_health_check(head: &RequestHead) -> bool {
    let asks = matches!(head.method, Method::GET | Method::HEAD);
    asks && head.uri.path() == HEALTH && !upgrade::is_handshake(head)
}

/// Returns true if what follows the request may be no HTTP. Where it is refused, the connection ends: a proxy that
/// opens its tunnel without looking at the status would let its client send requests in the proxy's name.
fn leaves_http(head: &RequestHead) -> bool {
    head.method == Method::CONNECT || upgrade::is_handshake(head)
}

/// Returns the request's `Origin`, which browsers send.
fn origin(head: &RequestHead) -> Option<String> {
    let origin = head.headers().get(header::ORIGIN)?;
    // A value that is not text matches no configured origin.
    Some(origin.to_str().unwrap_or("?").to_owned())
}

/// Returns true if the connection goes on behind the response, as far as the client is concerned
/// (RFC 9112, 9.3).
fn keeps_alive(head: &RequestHead) -> bool {
    let option = |name| {
        listed(head.headers(), header::CONNECTION, |option| {
            option.eq_ignore_ascii_case(name)
        })
    };
    !option("close") && (head.version == Version::HTTP_11 || option("keep-alive"))
}

/// Returns true if a header's list, over all its lines, has such an entry.
pub(super) fn listed(
    headers: &HeaderMap,
    name: header::HeaderName,
    wanted: impl Fn(&str) -> bool,
) -> bool {
    let lines = headers
        .get_all(name)
        .filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .any(|entry| wanted(entry.trim()))
}

fn service(head: &RequestHead) -> Option<&str> {
    let name = head.uri.path().strip_prefix('/')?;
    is_service_name(name.as_bytes()).then_some(name)
}

impl Target {
    /// Reads what a request asks for, or the answer to one that is refused by its head alone.
    fn new(head: &RequestHead, params: &EntryParams) -> Result<Target, Reply> {
        if !is_host(head.headers()) {
            return Err(MALFORMED_HOST.into());
        }
        if upgrade::is_handshake(head) {
            return upgrade::accept(head, params).map(Target::WebSocket);
        }
        let http = &params.config.listen.http;
        if is_health_check(head) {
            return Ok(Target::Health);
        }
        if !is_known(&head.method) {
            return Err(Reply::refusal(501, "this method is not known here"));
        }
        if head.method == Method::CONNECT {
            return Err(Reply::method_not_allowed("POST, OPTIONS"));
        }
        if origin(head).is_some_and(|origin| !http.allowed_origins.contains(&origin)) {
            return Err(Reply::refusal(403, "this origin is not allowed"));
        }
        if head.uri.path() == "*" && head.method == Method::OPTIONS {
            return Ok(Target::Preflight);
        }
        let Some(service) = service(head) else {
            return Err(Reply::refusal(404, "the path is not the name of a service"));
        };
        match head.method {
            Method::OPTIONS => return Ok(Target::Preflight),
            Method::POST => {}
            _ if head.uri.path() == HEALTH => {
                return Err(Reply::method_not_allowed("GET, HEAD, POST, OPTIONS"));
            }
            _ => return Err(Reply::method_not_allowed("POST, OPTIONS")),
        }
        let host = &params.host;
        if let Some(refusal) = host.refusal() {
            return Err(Reply::refused(&refusal));
        }
        let length = head.headers().get(header::CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let length = length.unwrap_or(0);
        if length > u64::from(params.config.listen.max_payload) {
            return Err(TOO_LARGE.into());
        }
        if let Some(refusal) = host.over_rate(length) {
            return Err(Reply::refused(&refusal));
        }
        Ok(Target::Post(Post {
            service: service.to_owned(),
            realm_id: number(head.headers(), "x-realm-id")?,
            user_id: number(head.headers(), "x-user-id")?,
        }))
    }
}

/// Returns true if the method is one of RFC 9110 or RFC 5789.
fn is_known(method: &Method) -> bool {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    known.contains(method)
}

/// Returns true if `Host` has no byte that neither a host nor a port has (RFC 9110, 7.2). The codec
/// has checked that there is one at most, and in HTTP/1.1 exactly one.
pub(crate) fn is_host(headers: &HeaderMap) -> bool {
    let of_host = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(b);
    let host = headers.get(header::HOST);
    host.is_none_or(|host| host.as_bytes().trim_ascii().iter().all(of_host))
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
