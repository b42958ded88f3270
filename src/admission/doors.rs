//! The limits that a connection meets before it is served, all of which can be changed at run time. Shared
//! by all workers; nothing here is asked for a frame.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};

use super::addresses::{AddressLimits, AddressSeat, Addresses};
use super::bans::{BanOrder, BanTarget, Banned, Bans, Ends, TooManyBans};
use crate::config::Config;
use crate::labels::labels;
use crate::session::rate::{Nanos, SharedBucket};

/// The limits in force, and what has been used of them.
#[derive(Debug)]
pub struct Doors {
    /// The configuration with all that has been reloaded since the start.
    config: ArcSwap<Config>,
    addresses: Arc<Addresses>,
    connections: SharedBucket,
    sessions: SharedBucket,
    bans: Bans,
    begun: Instant,
}

/// The origin of an address that is a connection's or a request's, which says what it may still be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AddressSource {
    /// The connection's own: a player's or any proxy's.
    #[default]
    Socket,
    /// Named in a PROXY header: a player's, or a proxy's that names players in HTTP.
    ProxyHeader,
    /// Named in `X-Forwarded-For` or `Forwarded`: a player's.
    HttpHeader,
}

labels!(AddressSource {
    Socket => "connection",
    ProxyHeader => "PROXY header",
    HttpHeader => "HTTP header",
});

/// The verdict about a connection, by its remote address.
#[derive(Debug)]
pub enum Verdict {
    /// It may be served, and counts for its address where that is limited.
    Welcome(Option<AddressSeat>),
    /// Nothing is sent to it.
    Denied,
    /// An operator has banned it at run time.
    Banned,
    /// Its address has too many, or has had too many of late.
    TooMany,
}

impl Doors {
    /// The limits of a configuration.
    pub fn new(config: Arc<Config>) -> Doors {
        Doors {
            config: ArcSwap::new(config),
            addresses: Arc::default(),
            connections: SharedBucket::default(),
            sessions: SharedBucket::default(),
            bans: Bans::default(),
            begun: Instant::now(),
        }
    }

    /// Returns the configuration in force.
    pub fn config(&self) -> Guard<Arc<Config>> {
        self.config.load()
    }

    /// Puts another configuration in force; what was used of rates stays used.
    pub fn reload(&self, config: Arc<Config>) {
        self.config.store(config);
    }

    /// Returns the time on the clock of all rates.
    pub fn now(&self) -> Nanos {
        self.begun.elapsed().as_nanos() as Nanos
    }

    /// Returns true if this address is a proxy's, whose players are named later.
    pub fn is_relay(&self, address: IpAddr, source: AddressSource) -> bool {
        let listen = &self.config.load().listen;
        let by_http = || listen.http.trusted_proxies.contains(address);
        match source {
            AddressSource::Socket => listen.proxy_protocol_from.contains(address) || by_http(),
            AddressSource::ProxyHeader => by_http(),
            AddressSource::HttpHeader => false,
        }
    }

    /// Returns the bans.
    pub fn bans(&self) -> &Bans {
        &self.bans
    }

    /// Bans somebody for a time, or until the ban is removed.
    ///
    /// # Errors
    /// There are as many bans as `limits.max_bans` allows.
    pub fn ban(
        &self,
        target: BanTarget,
        time: Option<Duration>,
        reason: String,
        by: String,
    ) -> Result<Banned, TooManyBans> {
        let (now, unix) = (self.now(), unix_seconds());
        let ends = time.map(|time| Ends {
            at: now.saturating_add(time.as_nanos() as Nanos),
            unix_seconds: unix.saturating_add(time.as_secs()),
        });
        let order = BanOrder {
            target,
            ends,
            reason,
            by,
        };
        let most = self.config.load().limits.max_bans;
        self.bans.set(order, most, now, unix)
    }

    /// Returns true if a connection that is there, or an HTTP request, is of a banned address. A proxy's own
    /// address is not looked at: its players' are.
    pub fn bans_address(&self, address: IpAddr, source: AddressSource) -> bool {
        !self.bans.is_empty()
            && !self.is_relay(address, source)
            && self.bans.refuses_address(address, || self.now())
    }

    /// Returns true if this user is banned.
    pub fn bans_user(&self, user_id: u64) -> bool {
        self.bans.refuses_user(user_id, || self.now())
    }

    /// Looks at the address of a new connection, or of a request that a proxy passes on. A proxy's own is
    /// welcome: its players' are looked at.
    pub fn look_at(&self, address: IpAddr, source: AddressSource) -> Verdict {
        if self.is_relay(address, source) {
            return Verdict::Welcome(None);
        }
        let config = self.config.load();
        let limits = &config.limits;
        if limits.deny.contains(address)
            || !(limits.allow.is_empty() || limits.allow.contains(address))
        {
            return Verdict::Denied;
        }
        if self.bans.refuses_address(address, || self.now()) {
            return Verdict::Banned;
        }
        let of_address = AddressLimits {
            connections: limits.connections_per_ip,
            per_second: limits.connections_per_second_per_ip as u64,
            ipv6_prefix: limits.ipv6_prefix,
        };
        let entered = self.addresses.enter(address, of_address, self.now());
        entered.map_or(Verdict::TooMany, Verdict::Welcome)
    }

    /// Takes one of `limits.connections_per_second`; false: they are used up.
    pub fn admit_connection(&self) -> bool {
        let rate = self.config.load().limits.connections_per_second;
        rate == 0 || self.connections.take(self.now(), rate as u64)
    }

    /// Takes one of `limits.new_sessions_per_second`; false: they are used up.
    pub fn admit_session(&self) -> bool {
        let rate = self.config.load().limits.new_sessions_per_second;
        rate == 0 || self.sessions.take(self.now(), rate as u64)
    }
}

/// Returns the time in seconds since 1970.
pub fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(change: impl FnOnce(&mut Config)) -> Doors {
        let mut config = Config::default();
        change(&mut config);
        Doors::new(Arc::new(config))
    }

    fn is_denied(doors: &Doors, address: &str) -> bool {
        let verdict = doors.look_at(address.parse().unwrap(), AddressSource::Socket);
        matches!(verdict, Verdict::Denied)
    }

    #[test]
    fn deny_goes_before_allow_and_without_allow_everybody_is() {
        let doors = doors(|c| c.limits.deny = "192.0.2.0/24".parse().unwrap());
        assert!(is_denied(&doors, "192.0.2.9") && is_denied(&doors, "::ffff:192.0.2.9"));
        assert!(!is_denied(&doors, "198.51.100.1"));
        let mut config = Config::clone(&doors.config());
        config.limits.allow = "192.0.0.0/16,2001:db8::/32".parse().unwrap();
        doors.reload(Arc::new(config));
        assert!(is_denied(&doors, "192.0.2.9") && is_denied(&doors, "198.51.100.1"));
        assert!(!is_denied(&doors, "192.0.3.1") && !is_denied(&doors, "2001:db8::1"));
    }

    #[test]
    fn a_proxys_own_address_is_not_banned_with_its_network() {
        let doors = doors(|c| c.listen.http.trusted_proxies = "10.0.0.5".parse().unwrap());
        let target = BanTarget::parse("10.0.0.0/8").unwrap();
        let bans = |ip: &str| doors.bans_address(ip.parse().unwrap(), AddressSource::Socket);
        assert!(!bans("10.0.0.6"));
        let hour = Some(Duration::from_secs(3600));
        let set = doors
            .ban(target, hour, String::new(), String::new())
            .unwrap();
        assert!(bans("10.0.0.6") && !bans("10.0.0.5") && !bans("11.0.0.6"));
        let ends = set.ban.order.ends.unwrap();
        assert_eq!(ends.unix_seconds, set.ban.since + 3600);
        let mapped = "::ffff:10.0.0.6".parse().unwrap();
        let look = doors.look_at(mapped, AddressSource::Socket);
        assert!(matches!(look, Verdict::Banned));
    }

    #[test]
    fn an_address_is_a_proxys_as_long_as_it_may_name_another_one() {
        use AddressSource::{HttpHeader, ProxyHeader, Socket};
        let doors = doors(|c| {
            c.listen.proxy_protocol_from = "10.0.0.0/24".parse().unwrap();
            c.listen.http.trusted_proxies = "10.0.1.0/24".parse().unwrap();
            c.limits.deny = "10.0.0.0/8".parse().unwrap();
        });
        for (address, source, is_welcome) in [
            ("10.0.0.1", Socket, true),
            ("10.0.1.1", Socket, true),
            ("10.0.2.1", Socket, false),
            ("10.0.0.1", ProxyHeader, false),
            ("10.0.1.1", ProxyHeader, true),
            ("10.0.0.1", HttpHeader, false),
            ("10.0.1.1", HttpHeader, false),
        ] {
            let verdict = doors.look_at(address.parse().unwrap(), source);
            let welcome = matches!(verdict, Verdict::Welcome(None));
            assert_eq!(welcome, is_welcome, "{address} {source:?}");
        }
    }

    #[test]
    fn rates_of_all_are_counted_together() {
        let doors = doors(|c| {
            c.limits.connections_per_second = 3;
            c.limits.new_sessions_per_second = 2;
        });
        assert_eq!((0..9).filter(|_| doors.admit_connection()).count(), 3);
        assert_eq!((0..9).filter(|_| doors.admit_session()).count(), 2);
        doors.reload(Arc::new(Config::default()));
        assert!((0..9).all(|_| doors.admit_connection() && doors.admit_session()));
    }
}
