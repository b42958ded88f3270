//! The table of all keys, from which file, environment, defaults and the documents' tests are read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    Attributes, CollectorUrl, Config, HostPort, HostPorts, LogFormat, NamedTokens, Networks,
    Origins, Paths, RedisUrl, RouteSource, Secret, Share,
};

/// One key.
pub struct Key {
    /// For example `listen.max_payload`.
    pub name: &'static str,
    /// The field that it sets.
    pub field: for<'a> fn(&'a mut Config) -> Field<'a>,
    /// A change takes effect while the gateway runs.
    pub is_live: bool,
}

/// A field, by the syntax of its value.
pub enum Field<'a> {
    /// A number other than a size.
    Count(&'a mut usize),
    /// A number up to 255.
    Small(&'a mut u8),
    /// Bytes.
    Size(&'a mut usize),
    /// Bytes, or nothing; empty is nothing.
    OptionalSize(&'a mut Option<usize>),
    /// A number other than a size, or nothing; empty is nothing.
    OptionalCount(&'a mut Option<usize>),
    /// Bytes, at most `u32::MAX`.
    Size32(&'a mut u32),
    /// A duration.
    Duration(&'a mut Duration),
    /// `true` or `false`.
    Flag(&'a mut bool),
    /// Any text.
    Text(&'a mut String),
    /// A file.
    Path(&'a mut PathBuf),
    /// `ip:port`.
    Address(&'a mut SocketAddr),
    /// Text that is never shown.
    Secret(&'a mut Option<Secret>),
    /// Texts that are never shown, with commas.
    Secrets(&'a mut Vec<Secret>),
    /// Text that may be absent; empty is absent.
    OptionalText(&'a mut Option<String>),
    /// An address, or nothing.
    OptionalAddress(&'a mut Option<SocketAddr>),
    /// `host:port`, or nothing.
    OptionalHostPort(&'a mut Option<HostPort>),
    /// `host:port`s, with commas.
    HostPorts(&'a mut HostPorts),
    /// A file that may be absent; empty is absent.
    OptionalPath(&'a mut Option<PathBuf>),
    /// Files, with commas.
    Paths(&'a mut Paths),
    /// A URL whose password is not shown.
    RedisUrl(&'a mut RedisUrl),
    /// `file` or `redis`.
    Source(&'a mut RouteSource),
    /// `text` or `json`.
    Format(&'a mut LogFormat),
    /// Networks, with commas.
    Networks(&'a mut Networks),
    /// Origins, with commas.
    Origins(&'a mut Origins),
    /// The URL of a collector, or nothing.
    OptionalCollector(&'a mut Option<CollectorUrl>),
    /// A number from 0 to 1.
    Share(&'a mut Share),
    /// Names with values, with commas.
    Attributes(&'a mut Attributes),
    /// Tables of tokens, as JSON; shown without the tokens.
    Tokens(&'a mut NamedTokens),
}

const fn sets(name: &'static str, field: for<'a> fn(&'a mut Config) -> Field<'a>) -> Key {
    Key {
        name,
        field,
        is_live: false,
    }
}

const fn live(name: &'static str, field: for<'a> fn(&'a mut Config) -> Field<'a>) -> Key {
    Key {
        name,
        field,
        is_live: true,
    }
}

/// Returns a value without what editors and shells put around it: a byte order mark, and line breaks at the
/// end, which no value ends with.
pub(super) fn unwrapped(text: &str) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_end_matches(['\r', '\n'])
}

/// Keys of earlier versions, and what has taken their place.
pub(super) const GONE: [(&str, &str); 1] = [(
    "session.replay_total",
    "replay rings are a part of limits.memory",
)];

/// All keys, in the order of the documents.
pub const KEYS: [Key; 93] = [
    sets("gateway.id", |c| Field::Text(&mut c.gateway.id)),
    sets("gateway.workers", |c| Field::Count(&mut c.gateway.workers)),
    sets("listen.address", |c| Field::Address(&mut c.listen.address)),
    live("listen.max_connections", |c| {
        Field::Count(&mut c.listen.max_connections)
    }),
    sets("listen.sniff_timeout", |c| {
        Field::Duration(&mut c.listen.sniff_timeout)
    }),
    sets("listen.dead_after", |c| {
        Field::Duration(&mut c.listen.dead_after)
    }),
    sets("listen.max_payload", |c| {
        Field::Size32(&mut c.listen.max_payload)
    }),
    sets("listen.proxy_protocol_from", |c| {
        Field::Networks(&mut c.listen.proxy_protocol_from)
    }),
    sets("listen.tls.certificate", |c| {
        Field::Paths(&mut c.listen.tls.certificate)
    }),
    sets("listen.tls.key", |c| Field::Paths(&mut c.listen.tls.key)),
    sets("listen.tls.client_ca", |c| {
        Field::OptionalPath(&mut c.listen.tls.client_ca)
    }),
    sets("listen.tls.required", |c| {
        Field::Flag(&mut c.listen.tls.required)
    }),
    live("listen.tls.max_handshakes", |c| {
        Field::Count(&mut c.listen.tls.max_handshakes)
    }),
    live("listen.tls.max_handshakes_per_second", |c| {
        Field::Count(&mut c.listen.tls.max_handshakes_per_second)
    }),
    sets("listen.http.timeout", |c| {
        Field::Duration(&mut c.listen.http.timeout)
    }),
    live("listen.http.trusted_proxies", |c| {
        Field::Networks(&mut c.listen.http.trusted_proxies)
    }),
    sets("listen.http.allowed_origins", |c| {
        Field::Origins(&mut c.listen.http.allowed_origins)
    }),
    sets("listen.websocket.allowed_origins", |c| {
        Field::Origins(&mut c.listen.websocket.allowed_origins)
    }),
    sets("routes.source", |c| Field::Source(&mut c.routes.source)),
    sets("routes.file", |c| Field::Path(&mut c.routes.file)),
    sets("redis.url", |c| Field::RedisUrl(&mut c.redis.url)),
    sets("redis.username", |c| {
        Field::OptionalText(&mut c.redis.username)
    }),
    sets("redis.password", |c| Field::Secret(&mut c.redis.password)),
    sets("redis.sentinel_password", |c| {
        Field::Secret(&mut c.redis.sentinel_password)
    }),
    sets("redis.ca", |c| Field::OptionalPath(&mut c.redis.ca)),
    sets("redis.prefix", |c| Field::Text(&mut c.redis.prefix)),
    sets("redis.refresh", |c| Field::Duration(&mut c.redis.refresh)),
    sets("redis.timeout", |c| Field::Duration(&mut c.redis.timeout)),
    sets("redis.max_assignments", |c| {
        Field::Count(&mut c.redis.max_assignments)
    }),
    sets("redis.assignment_ttl", |c| {
        Field::Duration(&mut c.redis.assignment_ttl)
    }),
    sets("redis.assignment_negative_ttl", |c| {
        Field::Duration(&mut c.redis.assignment_negative_ttl)
    }),
    sets("session.idle_timeout", |c| {
        Field::Duration(&mut c.session.idle_timeout)
    }),
    sets("session.resume_window", |c| {
        Field::Duration(&mut c.session.resume_window)
    }),
    sets("session.replay_bytes", |c| {
        Field::Size(&mut c.session.replay_bytes)
    }),
    sets("session.max_suspended", |c| {
        Field::OptionalCount(&mut c.session.max_suspended)
    }),
    sets("session.trust_client_ids", |c| {
        Field::Flag(&mut c.session.trust_client_ids)
    }),
    sets("session.max_services", |c| {
        Field::Small(&mut c.session.max_services)
    }),
    sets("session.token_keys", |c| {
        Field::Secrets(&mut c.session.token_keys)
    }),
    sets("session.token_keys_file", |c| {
        Field::OptionalPath(&mut c.session.token_keys_file)
    }),
    sets("session.outbound_queue", |c| {
        Field::Size(&mut c.session.outbound_queue)
    }),
    sets("backend.links_per_endpoint", |c| {
        Field::Count(&mut c.backend.links_per_endpoint)
    }),
    sets("backend.connect_timeout", |c| {
        Field::Duration(&mut c.backend.connect_timeout)
    }),
    sets("backend.idle_timeout", |c| {
        Field::Duration(&mut c.backend.idle_timeout)
    }),
    sets("backend.ping_interval", |c| {
        Field::Duration(&mut c.backend.ping_interval)
    }),
    sets("backend.max_backoff", |c| {
        Field::Duration(&mut c.backend.max_backoff)
    }),
    sets("backend.probe_interval", |c| {
        Field::Duration(&mut c.backend.probe_interval)
    }),
    sets("backend.max_ejected_percent", |c| {
        Field::Small(&mut c.backend.max_ejected_percent)
    }),
    sets("backend.max_assigned_endpoints", |c| {
        Field::Count(&mut c.backend.max_assigned_endpoints)
    }),
    sets("backend.resolve_interval", |c| {
        Field::Duration(&mut c.backend.resolve_interval)
    }),
    sets("backend.high_watermark", |c| {
        Field::Size(&mut c.backend.high_watermark)
    }),
    sets("backend.max_link_payload", |c| {
        Field::Size32(&mut c.backend.max_link_payload)
    }),
    sets("backend.token", |c| Field::Secret(&mut c.backend.token)),
    sets("backend.tls.enabled", |c| {
        Field::Flag(&mut c.backend.tls.enabled)
    }),
    sets("backend.tls.ca", |c| {
        Field::OptionalPath(&mut c.backend.tls.ca)
    }),
    sets("backend.tls.certificate", |c| {
        Field::OptionalPath(&mut c.backend.tls.certificate)
    }),
    sets("backend.tls.key", |c| {
        Field::OptionalPath(&mut c.backend.tls.key)
    }),
    live("limits.memory", |c| {
        Field::OptionalSize(&mut c.limits.memory)
    }),
    live("limits.connections_per_ip", |c| {
        Field::Count(&mut c.limits.connections_per_ip)
    }),
    live("limits.connections_per_second_per_ip", |c| {
        Field::Count(&mut c.limits.connections_per_second_per_ip)
    }),
    live("limits.ipv6_prefix", |c| {
        Field::Small(&mut c.limits.ipv6_prefix)
    }),
    live("limits.connections_per_second", |c| {
        Field::Count(&mut c.limits.connections_per_second)
    }),
    live("limits.new_sessions_per_second", |c| {
        Field::Count(&mut c.limits.new_sessions_per_second)
    }),
    live("limits.frames_per_second", |c| {
        Field::Count(&mut c.limits.frames_per_second)
    }),
    live("limits.bytes_per_second", |c| {
        Field::Size(&mut c.limits.bytes_per_second)
    }),
    live("limits.patience", |c| {
        Field::Duration(&mut c.limits.patience)
    }),
    live("limits.allow", |c| Field::Networks(&mut c.limits.allow)),
    live("limits.deny", |c| Field::Networks(&mut c.limits.deny)),
    live("limits.max_bans", |c| Field::Count(&mut c.limits.max_bans)),
    sets("peer.address", |c| {
        Field::OptionalAddress(&mut c.peer.address)
    }),
    sets("peer.advertise", |c| {
        Field::OptionalHostPort(&mut c.peer.advertise)
    }),
    sets("peer.gateways", |c| Field::HostPorts(&mut c.peer.gateways)),
    sets("kubernetes.pod_deletion_cost", |c| {
        Field::Flag(&mut c.kubernetes.pod_deletion_cost)
    }),
    sets("kubernetes.service_account", |c| {
        Field::Path(&mut c.kubernetes.service_account)
    }),
    sets("drain.window", |c| Field::Duration(&mut c.drain.window)),
    sets("drain.accept_grace", |c| {
        Field::Duration(&mut c.drain.accept_grace)
    }),
    sets("drain.moves_at_once", |c| {
        Field::Count(&mut c.drain.moves_at_once)
    }),
    sets("admin.address", |c| Field::Address(&mut c.admin.address)),
    sets("admin.token", |c| Field::Secret(&mut c.admin.token)),
    sets("admin.tokens", |c| Field::Tokens(&mut c.admin.tokens)),
    sets("admin.tls.certificate", |c| {
        Field::OptionalPath(&mut c.admin.tls.certificate)
    }),
    sets("admin.tls.key", |c| {
        Field::OptionalPath(&mut c.admin.tls.key)
    }),
    sets("admin.tls.client_ca", |c| {
        Field::OptionalPath(&mut c.admin.tls.client_ca)
    }),
    sets("log.level", |c| Field::Text(&mut c.log.level)),
    sets("log.format", |c| Field::Format(&mut c.log.format)),
    sets("log.access_per_second", |c| {
        Field::Count(&mut c.log.access_per_second)
    }),
    sets("otlp.endpoint", |c| {
        Field::OptionalCollector(&mut c.otlp.endpoint)
    }),
    sets("otlp.sample", |c| Field::Share(&mut c.otlp.sample)),
    sets("otlp.headers", |c| Field::Secrets(&mut c.otlp.headers)),
    sets("otlp.timeout", |c| Field::Duration(&mut c.otlp.timeout)),
    sets("otlp.ca", |c| Field::OptionalPath(&mut c.otlp.ca)),
    sets("otlp.service_name", |c| {
        Field::Text(&mut c.otlp.service_name)
    }),
    sets("otlp.attributes", |c| {
        Field::Attributes(&mut c.otlp.attributes)
    }),
    sets("otlp.tell_backends", |c| {
        Field::Flag(&mut c.otlp.tell_backends)
    }),
];
