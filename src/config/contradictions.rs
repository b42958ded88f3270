//! Refuses values that are well-formed but make no sense, alone or together.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::load::{Loading, MAX_ID, Mistake, Place, is_id_character};
use super::{Config, Secret};
use crate::session::token::Keyring;

/// The largest `listen.max_payload`: the protocol's own limit (protocol 1.1), in bytes.
const MAX_PAYLOAD: u32 = 16 * 1024 * 1024;
/// Room in a client's outbound queue beyond one largest frame, in bytes.
const QUEUE_MARGIN: usize = 4 * 1024;

/// Values of `listen.dead_after` that a kernel can keep: its probes count in seconds.
const DEAD_AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

const MIB: usize = 1024 * 1024;

/// Assignments of users that may be kept: below it nobody is safe from strangers.
const MAX_ASSIGNMENTS: RangeInclusive<usize> = 16..=16_777_216;

/// The longest `redis.prefix`, in bytes.
const MAX_PREFIX: usize = 256;

fn is_empty(secret: &Option<Secret>) -> bool {
    secret.as_ref().is_some_and(|s| s.expose().is_empty())
}

impl Loading {
    /// Checks the configuration as a whole.
    pub(super) fn contradictions(&mut self) {
        let config = self.config.clone();
        self.limits(&config);
        self.bans(&config);
        self.durations(&config);
        self.addresses(&config);
        self.texts(&config);
        self.redis(&config);
        self.resume(&config);
        self.peer(&config);
        self.tls(&config);
        self.otlp(&config);
    }

    /// Records a contradiction between these keys, unless one of them has a mistake of its own.
    fn require(&mut self, keys: &[&'static str], holds: bool, message: impl Into<String>) {
        if !holds && !keys.iter().any(|key| self.wrong.contains(key)) {
            let place = Place::Keys(keys.join(" and "));
            let message = message.into();
            self.mistakes.push(Mistake { place, message });
        }
    }

    fn limits(&mut self, c: &Config) {
        let id = &c.gateway.id;
        let good_id = !id.is_empty() && id.len() <= MAX_ID && id.chars().all(is_id_character);
        self.require(
            &["gateway.id"],
            good_id,
            "must be 1 to 255 printable ASCII characters without spaces and colons",
        );
        self.require(
            &["gateway.workers"],
            c.gateway.workers <= 1024,
            "must be at most 1024",
        );
        self.require(
            &["listen.max_connections"],
            c.listen.max_connections > 0,
            "must be at least 1",
        );
        let payload = c.listen.max_payload;
        self.require(
            &["listen.max_payload"],
            (1..=MAX_PAYLOAD).contains(&payload),
            "must be 1 byte to 16MiB",
        );
        self.require(&["backend.max_link_payload", "listen.max_payload"], c.backend.max_link_payload >= payload,
            "the first must be at least the second: a link must be able to carry any payload of a client");
        let least = payload as usize + QUEUE_MARGIN;
        self.require(
            &["session.outbound_queue", "listen.max_payload"],
            c.session.outbound_queue >= least,
            "the first must be at least the second plus 4KiB: the queue must hold one frame of maximum size",
        );
        let least = (8 * MIB).max(4 * payload as usize);
        self.require(
            &["limits.memory", "listen.max_payload"],
            c.limits.memory.is_none_or(|memory| memory >= least),
            "the first must be at least 8MiB and four times the second",
        );
        self.require(
            &["drain.moves_at_once"],
            c.drain.moves_at_once > 0,
            "must be at least 1",
        );
        self.require(
            &["session.max_services"],
            c.session.max_services > 0,
            "must be at least 1",
        );
        self.require(
            &["limits.ipv6_prefix"],
            (1..=128).contains(&c.limits.ipv6_prefix),
            "must be 1 to 128",
        );
        self.require(
            &["backend.links_per_endpoint"],
            (1..=64).contains(&c.backend.links_per_endpoint),
            "must be 1 to 64",
        );
        self.require(
            &["backend.max_ejected_percent"],
            c.backend.max_ejected_percent <= 100,
            "must be 0 to 100",
        );
        self.require(
            &["backend.high_watermark"],
            c.backend.high_watermark >= 4096,
            "must be at least 4KiB",
        );
    }

    fn bans(&mut self, c: &Config) {
        self.require(
            &["limits.max_bans"],
            c.limits.max_bans <= 65_536,
            "must be at most 65536",
        );
    }

    fn durations(&mut self, c: &Config) {
        let positive = [
            ("listen.sniff_timeout", c.listen.sniff_timeout),
            ("listen.http.timeout", c.listen.http.timeout),
            ("session.idle_timeout", c.session.idle_timeout),
            ("backend.connect_timeout", c.backend.connect_timeout),
            ("backend.idle_timeout", c.backend.idle_timeout),
            ("backend.ping_interval", c.backend.ping_interval),
            ("backend.max_backoff", c.backend.max_backoff),
            ("backend.resolve_interval", c.backend.resolve_interval),
            ("redis.refresh", c.redis.refresh),
            ("redis.timeout", c.redis.timeout),
            ("otlp.timeout", c.otlp.timeout),
        ];
        for (key, value) in positive {
            self.require(&[key], !value.is_zero(), "must be longer than 0");
        }
        let dead_after = c.listen.dead_after;
        self.require(
            &["listen.dead_after"],
            dead_after.is_zero() || DEAD_AFTER.contains(&dead_after),
            "must be 0 (off), or 1s to 1h",
        );
    }

    fn redis(&mut self, c: &Config) {
        let redis = &c.redis;
        for (key, secret) in [
            ("redis.password", &redis.password),
            ("redis.sentinel_password", &redis.sentinel_password),
        ] {
            self.require(
                &[key],
                !is_empty(secret),
                "must not be empty; omit the key instead",
            );
        }
        let printable = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        self.require(
            &["redis.prefix"],
            printable(&redis.prefix) && redis.prefix.len() <= MAX_PREFIX,
            format!("must be at most {MAX_PREFIX} printable ASCII characters without spaces"),
        );
        self.require(
            &["redis.max_assignments"],
            MAX_ASSIGNMENTS.contains(&redis.max_assignments),
            format!(
                "must be {} to {}",
                MAX_ASSIGNMENTS.start(),
                MAX_ASSIGNMENTS.end()
            ),
        );
    }

    fn resume(&mut self, c: &Config) {
        let session = &c.session;
        self.require(
            &["session.replay_bytes", "session.outbound_queue"],
            session.replay_bytes <= session.outbound_queue,
            "the first must be at most the second: the replay buffer must fit in the queue",
        );
        let both = !session.token_keys.is_empty() && session.token_keys_file.is_some();
        self.require(
            &["session.token_keys", "session.token_keys_file"],
            !both,
            "mutually exclusive: set only one of them",
        );
        if !session.token_keys.is_empty() {
            let secrets: Vec<_> = session.token_keys.iter().map(Secret::expose).collect();
            if let Err(error) = Keyring::new(&secrets) {
                self.require(&["session.token_keys"], false, error.to_string());
            }
        }
    }

    fn peer(&mut self, c: &Config) {
        let (peer, session) = (&c.peer, &c.session);
        if let Some(host) = peer.address.and_then(|_| peer.nowhere()) {
            self.require(
                &["peer.advertise", "peer.address"],
                false,
                format!(
                    "{host} is not reachable from other gateways; set the first to an address of this gateway"
                ),
            );
        }
        self.require(
            &["peer.advertise", "peer.address"],
            peer.address.is_some() || peer.advertise.is_none(),
            "the first requires the second, the address to listen on",
        );
        self.require(
            &["peer.gateways", "peer.address"],
            peer.address.is_some() || peer.gateways.as_slice().is_empty(),
            "the first requires the second, the address at which those gateways reach this one",
        );
        let shared = !session.token_keys.is_empty() || session.token_keys_file.is_some();
        self.require(
            &["peer.address", "session.token_keys"],
            peer.address.is_none() || shared,
            "the first requires the second or session.token_keys_file: gateways authenticate each other with shared keys",
        );
    }

    fn tls(&mut self, c: &Config) {
        let (players, backend) = (&c.listen.tls, &c.backend.tls);
        self.require(
            &["listen.tls.certificate", "listen.tls.key"],
            players.certificate.len() == players.key.len(),
            "there must be one key for each certificate, in the same order",
        );
        for (key, set) in [
            ("listen.tls.client_ca", players.client_ca.is_some()),
            ("listen.tls.required", players.required),
        ] {
            self.require(
                &[key, "listen.tls.certificate"],
                !set || !players.certificate.is_empty(),
                "the first requires the second: TLS is disabled without a certificate",
            );
        }
        self.require(
            &["listen.tls.max_handshakes"],
            players.max_handshakes > 0,
            "must be at least 1",
        );
        let admin = &c.admin.tls;
        self.require(
            &["admin.tls.certificate", "admin.tls.key"],
            admin.certificate.is_some() == admin.key.is_some(),
            "must be set together",
        );
        self.require(
            &["admin.tls.client_ca", "admin.tls.certificate"],
            admin.client_ca.is_none() || admin.certificate.is_some(),
            "the first requires the second: TLS is disabled without a certificate",
        );
        self.require(
            &["backend.tls.certificate", "backend.tls.key"],
            backend.certificate.is_some() == backend.key.is_some(),
            "must be set together",
        );
        for (key, file) in [
            ("backend.tls.ca", &backend.ca),
            ("backend.tls.certificate", &backend.certificate),
        ] {
            self.require(
                &[key, "backend.tls.enabled"],
                file.is_none() || backend.enabled,
                "the first requires the second to be true",
            );
        }
    }

    fn otlp(&mut self, c: &Config) {
        let otlp = &c.otlp;
        self.require(
            &["otlp.headers"],
            otlp.has_good_headers(),
            "expected name=value, with commas, in printable ASCII",
        );
        self.require(
            &["otlp.service_name"],
            !otlp.service_name.is_empty(),
            "must not be empty; omit the key instead",
        );
        self.require(
            &["otlp.tell_backends", "otlp.endpoint"],
            !otlp.tell_backends || otlp.endpoint.is_some(),
            "the first requires the second: without a collector nothing is sampled",
        );
    }

    fn addresses(&mut self, c: &Config) {
        let (players, admin) = (c.listen.address, c.admin.address);
        let (one, other) = (players.ip().to_canonical(), admin.ip().to_canonical());
        let overlap = one == other || one.is_unspecified() || other.is_unspecified();
        let same = players.port() == admin.port() && players.port() != 0 && overlap;
        self.require(
            &["listen.address", "admin.address"],
            !same,
            "must not use the same port",
        );
    }

    fn texts(&mut self, c: &Config) {
        self.require(
            &["admin.token"],
            !is_empty(&c.admin.token),
            "must not be empty; omit the key instead",
        );
        let sendable = |token: &Secret| token.expose().bytes().all(|b| b.is_ascii_graphic());
        self.require(
            &["admin.token"],
            c.admin.token.as_ref().is_none_or(sendable),
            "cannot be sent in an HTTP header, expected printable ASCII without spaces",
        );
        self.require(
            &["backend.token"],
            !is_empty(&c.backend.token),
            "must not be empty; omit the key instead",
        );
        let level = &c.log.level;
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(level) {
            self.require(
                &["log.level"],
                false,
                format!("invalid filter `{level}`: {error}"),
            );
        }
        // A filter takes any word for a module, and would log all of it.
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        let bare = |word: &&str| !word.contains(['=', ':']) && !levels.contains(&word.trim());
        if let Some(word) = level.split(',').find(bare) {
            let message = format!("invalid level `{word}`, expected {}", levels.join(", "));
            self.require(&["log.level"], false, message);
        }
    }
}
