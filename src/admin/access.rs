//! Access to the admin API.
//!
//! With tokens: every client that has one, for what its role allows. Without any: loopback addresses only. What a browser on this
//! machine sends for any page comes from a loopback address too, under whatever name the page's site has
//! pointed there (DNS rebinding): so a request must be addressed to this machine by name and must not come
//! from another site's page. So does what a proxy on this machine passes on for others, which is refused where
//! the proxy says so.

use std::fmt;
use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError, web};
use subtle::ConstantTimeEq;

use super::Desk;
use super::errors::ApiError;
use super::refused_changes::RefusedChange;
use crate::config::admin::Role;
use crate::store::admin_tokens::AdminToken;

/// Paths that are open to everyone who can reach the address: probes and scrapes.
const OPEN: [&str; 3] = ["/health", "/ready", "/metrics"];
/// Pages that a browser must get before it can send a token. They are the same for every gateway
/// of this version and say nothing about this one.
const PAGES: [&str; 2] = ["/", "/api/openapi.json"];
/// The folders of more such pages.
const PAGES_BELOW: [&str; 2] = ["/api/docs/", "/page/"];

/// The target of the lines about what was changed, and by whom.
pub(super) const AUDIT: &str = "game_gateway::audit";
/// Characters of a request's path in such a line.
const MAX_LOGGED_PATH: usize = 256;

/// Headers by which a proxy says that it asks for somebody else.
const FORWARDED: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
];

/// Who sends a request, for the log and for other gateways.
#[derive(Debug)]
pub(super) struct Caller {
    /// The name of the token that was sent, where one is needed.
    token: Option<Arc<str>>,
    role: Role,
    address: Option<SocketAddr>,
    /// The other gateway that asks for them.
    through: Option<Vouched>,
}

/// The name of the token that a request has shown, and what it allows.
#[derive(Debug, Clone)]
struct Shown(Arc<str>, Role);

/// Somebody whom another gateway of the deployment has let in.
#[derive(Debug, Clone)]
pub(super) struct Vouched {
    /// The gateway_id.
    pub(super) gateway: String,
    /// Who it is.
    pub(super) by: String,
    /// What they may do.
    pub(super) role: Role,
}

impl Caller {
    /// Returns who has sent a request.
    pub(super) fn of(request: &HttpRequest) -> Caller {
        let extensions = request.extensions();
        let through = extensions.get::<Vouched>().cloned();
        let shown = extensions.get::<Shown>();
        let role = through.as_ref().map(|vouched| vouched.role);
        Caller {
            role: role.or(shown.map(|s| s.1)).unwrap_or(Role::Operate),
            token: shown.map(|Shown(name, _)| name.clone()),
            address: request.peer_addr(),
            through,
        }
    }

    /// Returns the name of the token; none where none is needed.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Returns whose share of what is bounded they take: their token's, or their address's where none is needed.
    pub(super) fn holder(&self) -> String {
        match (&self.through, &self.token, self.address) {
            (Some(vouched), ..) => vouched.gateway.clone(),
            (None, Some(token), _) => token.to_string(),
            (None, None, address) => {
                address.map_or_else(String::new, |a| a.ip().to_canonical().to_string())
            }
        }
    }

    /// Returns what they may do.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// Returns true if another gateway asks for them.
    pub(super) fn is_through_a_gateway(&self) -> bool {
        self.through.is_some()
    }
}

/// Whether a request's connection has shown a client certificate that `admin.tls.client_ca` has signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Certified(pub(super) bool);

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Vouched { gateway, by, .. }) = &self.through {
            return write!(f, "{by} through {gateway}");
        }
        match (&self.token, self.address) {
            (Some(token), Some(address)) => write!(f, "{token} at {address}"),
            (None, Some(address)) => write!(f, "{address}"),
            (token, None) => f.write_str(token.as_deref().unwrap_or("unknown")),
        }
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Caller, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Caller::of(request)))
    }
}

/// Returns true if the path is open to everyone: probes and scrapes.
pub(super) fn is_probe(path: &str) -> bool {
    OPEN.contains(&path)
}

/// Refuses requests without access.
pub(super) async fn authorise(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    match refusal(&request) {
        None => Ok(next.call(request).await?.map_into_left_body()),
        Some(error) => {
            let answer = error.error_response();
            Ok(request.into_response(answer).map_into_right_body())
        }
    }
}

fn refusal(request: &ServiceRequest) -> Option<ApiError> {
    let path = request.path();
    if is_probe(path) {
        return None;
    }
    // Inserted where questions of authenticated gateways are taken, never for what came over HTTP.
    let vouched = request.extensions().get::<Vouched>().cloned();
    if let Some(vouched) = vouched {
        let refused = vouched.role == Role::Read && !request.method().is_safe();
        return refused.then(|| forbid_change(request, &vouched.by));
    }
    let desk = request.app_data::<web::Data<Desk>>()?;
    let is_page =
        PAGES.contains(&path) || PAGES_BELOW.iter().any(|folder| path.starts_with(folder));
    if !is_page && desk.config.admin.tls.client_ca.is_some() && !is_certified(request) {
        let message = "a client certificate of admin.tls.client_ca is needed";
        return Some(ApiError::forbidden(message));
    }
    if !desk.tokens.is_empty() {
        let Some(token) = shown(request.headers(), &desk.tokens) else {
            return (!is_page).then(ApiError::unauthorized);
        };
        let shown = Shown(token.name.clone(), token.role);
        request.extensions_mut().insert(shown);
        return (token.role == Role::Read && !request.method().is_safe())
            .then(|| forbid_change(request, &token.name));
    }
    let local = |ip: IpAddr| ip.to_canonical().is_loopback();
    if !request.peer_addr().is_some_and(|peer| local(peer.ip())) {
        let message = "without admin.token only loopback addresses are answered";
        return Some(ApiError::forbidden(message));
    }
    let headers = request.headers();
    if FORWARDED.iter().any(|name| headers.contains_key(*name)) {
        let message =
            "without admin.token nothing is answered that a proxy passes on: set admin.token";
        return Some(ApiError::forbidden(message));
    }
    if !is_from_here(headers) {
        let message = "without admin.token a request must be addressed to localhost or a loopback \
                       address, and not come from another site's page";
        return Some(ApiError::forbidden(message));
    }
    None
}

/// Returns true if the request's connection has shown a client certificate.
fn is_certified(request: &ServiceRequest) -> bool {
    let certified = request.extensions().get().copied();
    certified.is_some_and(|Certified(is)| is)
}

/// Refuses a change to somebody who may only read, and notes the attempt.
fn forbid_change(request: &ServiceRequest, token: &str) -> ApiError {
    let caller = Caller::of(request.request());
    if let Some(desk) = request.app_data::<web::Data<Desk>>() {
        let refused = RefusedChange {
            by: caller.to_string(),
            method: request.method().to_string(),
            path: logged(request.path()),
        };
        desk.refused_changes.note(&caller.holder(), refused);
    }
    ApiError::forbidden(&format!("the token `{token}` may only read"))
}

/// Returns as much of a path as a log line takes: one that asks for nothing may be as long as a request's head.
fn logged(path: &str) -> String {
    path.chars().take(MAX_LOGGED_PATH).collect()
}

/// Returns the token that a request shows.
fn shown<'a>(headers: &HeaderMap, tokens: &'a [AdminToken]) -> Option<&'a AdminToken> {
    let sent = headers.get(header::AUTHORIZATION);
    let sent = sent.and_then(|value| value.to_str().ok()?.split_once(' '));
    // The scheme's case does not matter (RFC 9110, 11.1).
    let (_, sent) = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
    // All are compared, each in constant time: how long it takes says nothing about where they differ.
    tokens.iter().fold(None, |found, token| {
        let is_it = sent.as_bytes().ct_eq(token.secret.expose().as_bytes());
        if is_it.into() { Some(token) } else { found }
    })
}

/// Returns true unless the request may come from another site's page, for example under a name that
/// the site has pointed at a loopback address.
fn is_from_here(headers: &HeaderMap) -> bool {
    let named = |name| headers.get(name).map(|value| value.to_str().ok());
    let host = named(header::HOST).flatten().is_some_and(is_loopback);
    let origin = match named(header::ORIGIN) {
        None => true,
        Some(origin) => {
            let site = origin.and_then(|origin| origin.split_once("://"));
            let site = site.filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
            let site = site.map(|(_, site)| site);
            // The same host and port: another program's page on this machine is foreign too.
            site.is_some() && site == named(header::HOST).flatten()
        }
    };
    host && origin
}

/// Returns true if a Host header names this machine: `localhost` or a loopback address, with or without a
/// port.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn a_long_path_does_not_fill_the_log() {
        assert_eq!(logged("/api/v1/drain"), "/api/v1/drain");
        assert_eq!(logged(&"/ä".repeat(9_000)), "/ä".repeat(128));
    }

    #[test]
    fn hosts_of_this_machine() {
        for host in [
            "localhost",
            "LOCALHOST:9090",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:9090",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org:9090",
            "10.0.0.1:9090",
            "[::2]:1",
            "x",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_change_comes_from_here() {
        let from_here = |host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            is_from_here(&headers)
        };
        assert!(from_here("localhost:9090", None));
        assert!(from_here("localhost:9090", Some("http://localhost:9090")));
        assert!(!from_here("localhost:9090", Some("http://localhost:8080")));
        assert!(!from_here("localhost:9090", Some("http://example.org")));
        assert!(!from_here("localhost:9090", Some("null")));
        assert!(!from_here("example.org:9090", None));
        assert!(!from_here(
            "example.org:9090",
            Some("http://example.org:9090")
        ));
        assert!(!is_from_here(&HeaderMap::new()));
    }
}
