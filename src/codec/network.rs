//! Networks as text: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A set of networks such as `10.0.0.0/8`, `2001:db8::/32` or `192.0.2.7`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// A network, or a single address. Its host bits are zero, and IPv4-mapped addresses are IPv4 ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// Returns an address as a number, and its length in bits.
fn bits(ip: IpAddr) -> (u128, u8) {
    match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    }
}

/// Length of `::ffff:0:0/96`, which holds the IPv4-mapped IPv6 addresses.
const MAPPED_PREFIX: u8 = 96;
/// Shorter networks of IPv6 that hold those addresses, such as `::/0`, mean IPv6 alone.
const SHORTEST_AMBIGUOUS: u8 = 81;

impl Network {
    /// Returns the IPv4 network that a network of IPv4-mapped addresses means.
    ///
    /// # Errors
    /// It is neither within those addresses nor clear of them.
    fn canonical(self, text: &str) -> Result<Network, String> {
        let IpAddr::V6(base) = self.base else {
            return Ok(self);
        };
        let mapped = Ipv6Addr::from_bits(0xFFFF_0000_0000);
        match base.to_ipv4_mapped() {
            Some(base) if self.prefix >= MAPPED_PREFIX => Ok(Network {
                base: base.into(),
                prefix: self.prefix - MAPPED_PREFIX,
            }),
            _ if self.prefix >= SHORTEST_AMBIGUOUS && self.contains(mapped.into()) => Err(format!(
                "invalid network `{text}`: holds all of IPv4 and more, expected 0.0.0.0/0 for IPv4"
            )),
            _ => Ok(self),
        }
    }

    /// Returns the network of so many bits around an address; none if the address has fewer.
    pub fn around(ip: IpAddr, prefix: u8) -> Option<Network> {
        let ip = ip.to_canonical();
        let (number, width) = bits(ip);
        let host_bits = u32::from(width.checked_sub(prefix)?);
        let kept = number.checked_shr(host_bits).unwrap_or(0);
        let kept = kept.checked_shl(host_bits).unwrap_or(0);
        let base = match ip {
            IpAddr::V4(_) => Ipv4Addr::from_bits(kept as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(kept).into(),
        };
        Some(Network { base, prefix })
    }

    /// Returns the first address.
    pub fn base(self) -> IpAddr {
        self.base
    }

    /// Returns the number of bits that all its addresses have in common.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Returns true if it is a single address.
    pub fn is_single(self) -> bool {
        self.prefix == bits(self.base).1
    }

    /// Returns true if all addresses of the other one are in it.
    pub fn covers(self, other: Network) -> bool {
        self.prefix <= other.prefix && self.contains(other.base)
    }

    /// Returns true if the address, which is not an IPv4-mapped one, is in it.
    pub fn contains(self, ip: IpAddr) -> bool {
        let ((base, width), (ip, same)) = (bits(self.base), bits(ip));
        // A shift by all 128 bits would be none.
        let differing = (base ^ ip).checked_shr(u32::from(width - self.prefix));
        width == same && differing.unwrap_or(0) == 0
    }
}

impl Networks {
    /// Returns true if the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the networks, as they were written.
    pub fn iter(&self) -> impl Iterator<Item = &Network> {
        self.0.iter()
    }

    /// Returns true if one of them contains this address. An IPv4-mapped IPv6 address is an IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(ip))
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let wrong =
            || format!("invalid network `{text}`, expected e.g. 10.0.0.0/8 or 2001:db8::/32");
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let (number, width) = bits(base);
        let prefix = prefix.map_or(Ok(width), |p| p.parse().map_err(|_| wrong()))?;
        if prefix > width {
            return Err(wrong());
        }
        let host = number
            .checked_shl(u32::from(128 - width) + u32::from(prefix))
            .unwrap_or(0);
        if host != 0 {
            return Err(format!(
                "invalid network `{text}`: host bits set, expected zeros after the prefix"
            ));
        }
        Network { base, prefix }.canonical(text)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Networks, String> {
        let entries = text.split(',').map(str::trim).filter(|e| !e.is_empty());
        entries.map(str::parse).collect()
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Networks {
        Networks(networks.into_iter().collect())
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, network) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{network}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses_only() {
        let networks: Networks = "10.0.0.0/8, 192.0.2.7,2001:db8::/32".parse().unwrap();
        let check = |ip: &str, inside| {
            assert_eq!(networks.contains(ip.parse().unwrap()), inside, "{ip}");
        };
        check("10.0.0.0", true);
        check("10.255.255.255", true);
        check("::ffff:10.1.2.3", true);
        check("11.0.0.0", false);
        check("192.0.2.7", true);
        check("192.0.2.6", false);
        check("2001:db8:ffff::1", true);
        check("2001:db9::1", false);
        check("::a00:0", false);
        assert_eq!(
            networks.to_string(),
            "10.0.0.0/8,192.0.2.7/32,2001:db8::/32"
        );
        let all: Networks = "0.0.0.0/0,::/0".parse().unwrap();
        assert!(all.contains("8.8.8.8".parse().unwrap()) && all.contains("::1".parse().unwrap()));
        assert!("".parse::<Networks>().unwrap().is_empty());
        // Addresses of a dual-stack socket are IPv4 as soon as they are compared, so these must be too.
        let mapped: Networks = "::ffff:10.0.0.0/104,::ffff:192.0.2.7,::ffff:c633:6400/120"
            .parse()
            .unwrap();
        assert_eq!(
            mapped.to_string(),
            "10.0.0.0/8,192.0.2.7/32,198.51.100.0/24"
        );
        for inside in ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "198.51.100.9"] {
            assert!(mapped.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "::10.1.2.3", "192.0.2.8"] {
            assert!(!mapped.contains(outside.parse().unwrap()), "{outside}");
        }
        let v4: Networks = "::ffff:0.0.0.0/96".parse().unwrap();
        assert_eq!(v4.to_string(), "0.0.0.0/0");
        for bad in [
            "::ffff:10.0.0.1/104",
            "::fffe:0:0/95",
            "::8000:0:0/81",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/127",
            "::/129",
            "10.0.0/8",
            "x",
            "10.0.0.0/-1",
        ] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_network_around_an_address() {
        for (ip, prefix, network) in [
            ("192.0.2.77", 24, "192.0.2.0/24"),
            ("192.0.2.77", 32, "192.0.2.77/32"),
            ("192.0.2.77", 0, "0.0.0.0/0"),
            ("::ffff:192.0.2.77", 24, "192.0.2.0/24"),
            ("2001:db8:0:1::7", 64, "2001:db8:0:1::/64"),
            ("2001:db8::7", 128, "2001:db8::7/128"),
            ("2001:db8::7", 0, "::/0"),
        ] {
            let around = Network::around(ip.parse().unwrap(), prefix).unwrap();
            assert_eq!(around, network.parse().unwrap(), "{ip}");
            assert!(around.contains(ip.parse::<IpAddr>().unwrap().to_canonical()));
        }
        assert_eq!(Network::around("192.0.2.7".parse().unwrap(), 33), None);
        let network = |text: &str| text.parse::<Network>().unwrap();
        assert!(network("10.0.0.0/8").covers(network("10.1.0.0/16")));
        assert!(network("10.1.0.0/16").covers(network("10.1.0.0/16")));
        assert!(!network("10.1.0.0/16").covers(network("10.0.0.0/8")));
        assert!(!network("::/0").covers(network("10.0.0.0/8")));
        assert!(network("10.0.0.1").is_single() && !network("10.0.0.0/31").is_single());
    }
}
