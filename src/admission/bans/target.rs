//! The target of a ban: a network or a user. Its id says what it is, so it is the same on every gateway.

use std::fmt;
use std::net::IpAddr;

use crate::config::Network;

/// Prefix of the ids of users' bans.
const USER: &str = "user-";

/// Whom a ban concerns. In the order of listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BanTarget {
    /// Clients whose addresses are in this network.
    Network(Network),
    /// Sessions of this user, bound or claimed; never 0.
    User(u64),
}

impl BanTarget {
    /// Reads an id, or an address or network; `None` if it is none.
    pub fn parse(id: &str) -> Option<BanTarget> {
        if let Some(user) = id.strip_prefix(USER) {
            let plain = user.bytes().all(|b| b.is_ascii_digit()) && !user.starts_with('0');
            let user = plain.then(|| user.parse().ok()).flatten();
            return user.map(BanTarget::User);
        }
        let network = id.replacen('-', "/", 1).parse();
        network.ok().map(BanTarget::Network)
    }

    /// Returns the address or network as people write it; none of a user.
    pub fn address(self) -> Option<String> {
        match self {
            BanTarget::Network(network) if network.is_single() => Some(network.base().to_string()),
            BanTarget::Network(network) => Some(network.to_string()),
            BanTarget::User(_) => None,
        }
    }

    /// Returns the user; none of a network.
    pub fn user(self) -> Option<u64> {
        match self {
            BanTarget::User(user) => Some(user),
            BanTarget::Network(_) => None,
        }
    }

    /// Returns true if everybody whom the other one concerns is concerned.
    pub fn covers(self, other: BanTarget) -> bool {
        match (self, other) {
            (BanTarget::Network(network), BanTarget::Network(other)) => network.covers(other),
            (own, other) => own == other,
        }
    }

    /// Returns true if it concerns a client with this address, and this user; 0: none.
    pub fn concerns(self, address: IpAddr, user_id: u64) -> bool {
        match self {
            BanTarget::Network(network) => network.contains(address),
            BanTarget::User(user) => user == user_id,
        }
    }
}

/// The id: `192.0.2.0-24`, `192.0.2.7`, `2001:db8::-32` or `user-42`.
impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BanTarget::Network(network) if network.is_single() => write!(f, "{}", network.base()),
            BanTarget::Network(network) => write!(f, "{}-{}", network.base(), network.prefix()),
            BanTarget::User(user) => write!(f, "{USER}{user}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        for (text, id, address) in [
            ("192.0.2.0/24", "192.0.2.0-24", Some("192.0.2.0/24")),
            ("192.0.2.7/32", "192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.7", "192.0.2.7", Some("192.0.2.7")),
            ("::ffff:192.0.2.7", "192.0.2.7", Some("192.0.2.7")),
            (
                "2001:DB8:0:1::/64",
                "2001:db8:0:1::-64",
                Some("2001:db8:0:1::/64"),
            ),
            ("0.0.0.0/0", "0.0.0.0-0", Some("0.0.0.0/0")),
            (
                "user-18446744073709551615",
                "user-18446744073709551615",
                None,
            ),
        ] {
            let target = BanTarget::parse(text).expect(text);
            assert_eq!(target.to_string(), id);
            assert_eq!(target.address().as_deref(), address, "{text}");
            assert_eq!(BanTarget::parse(id), Some(target), "{id}");
        }
        for wrong in [
            "",
            "user-",
            "user-0",
            "user-01",
            "user-+1",
            "user-18446744073709551616",
            "4711",
            "192.0.2.1-24",
            "192.0.2.0-33",
            "192.0.2.0-2-4",
            "192.0.2.0 ",
            "example.org",
            "192.0.2.0/24,10.0.0.1",
        ] {
            assert_eq!(BanTarget::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wider_ban_covers_a_narrower_one() {
        let target = |text: &str| BanTarget::parse(text).expect(text);
        assert!(target("10.0.0.0/8").covers(target("10.1.2.3")));
        assert!(target("user-7").covers(target("user-7")));
        assert!(!target("10.1.2.3").covers(target("10.0.0.0/8")));
        assert!(!target("0.0.0.0/0").covers(target("user-7")));
    }
}
