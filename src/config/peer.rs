//! The addresses of the peer channel.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use super::lists::{entries, show};

/// The keys of `peer`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Peer {
    pub address: Option<SocketAddr>,
    pub advertise: Option<HostPort>,
    pub gateways: HostPorts,
    pub channel: PeerChannel,
}

/// What the peer channel may cost, and its newest version (docs/peer.md). These are no keys; tests have others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerChannel {
    /// The newest version to speak; over that of this release: that one.
    pub version: u8,
    /// Connections that are dialled or authenticated.
    pub connections: usize,
    /// Bytes that wait to be written to one gateway, a last frame aside.
    pub queued_bytes: usize,
    /// The same, for all gateways together.
    pub all_queued_bytes: usize,
    /// Time without a call after which the gateway that has dialled closes a connection.
    pub idle: Duration,
    /// Time for another gateway's answer to an operator.
    pub patience: Duration,
}

impl PeerChannel {
    /// The most connections to other gateways.
    pub const MAX_CONNECTIONS: usize = 1024;
}

impl Default for PeerChannel {
    fn default() -> PeerChannel {
        PeerChannel {
            version: u8::MAX,
            connections: Self::MAX_CONNECTIONS,
            queued_bytes: 64 * 1024 * 1024,
            all_queued_bytes: 256 * 1024 * 1024,
            idle: Duration::from_secs(60),
            patience: Duration::from_secs(2),
        }
    }
}

impl Peer {
    /// Returns the address that other gateways are told; a port of 0 is that of `bound`, the listener.
    pub fn advertised(&self, bound: SocketAddr) -> String {
        match &self.advertise {
            None => bound.to_string(),
            Some(HostPort { host, port: 0 }) => format!("{host}:{}", bound.port()),
            Some(advertise) => advertise.to_string(),
        }
    }

    /// Returns the host that other gateways are told if it is an unspecified address, which nobody can
    /// connect to.
    pub(super) fn nowhere(&self) -> Option<String> {
        let host = match (&self.advertise, self.address) {
            (Some(advertise), _) => advertise.host.trim_matches(['[', ']']).to_owned(),
            (None, Some(address)) => address.ip().to_string(),
            (None, None) => return None,
        };
        let ip: IpAddr = host.parse().ok()?;
        ip.to_canonical().is_unspecified().then_some(host)
    }
}

/// A host and a port. An IPv6 address that is written without brackets gets them, because a chart can
/// only write `$POD_IP:7001`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Hosts and ports, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostPorts(Vec<HostPort>);

impl HostPorts {
    /// The most entries.
    pub const MOST: usize = 64;

    /// Returns them.
    pub fn as_slice(&self) -> &[HostPort] {
        &self.0
    }
}

impl FromStr for HostPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPorts, String> {
        let mut all = Vec::new();
        for entry in entries(text) {
            let entry: HostPort = entry.parse()?;
            if entry.port == 0 {
                return Err(format!("port 0 of `{entry}` leads nowhere"));
            }
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
        if all.len() > Self::MOST {
            let (count, most) = (all.len(), Self::MOST);
            return Err(format!("too many entries: {count}, limit {most}"));
        }
        Ok(HostPorts(all))
    }
}

impl fmt::Display for HostPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.0)
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPort, String> {
        let wrong =
            || format!("invalid host and port `{text}`, expected e.g. 10.0.0.1:7001 or [::1]:7001");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let ip6 = bare.unwrap_or(host).parse::<Ipv6Addr>().is_ok();
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let named = !host.is_empty() && host.len() <= 240 && host.chars().all(name);
        match (bare, ip6) {
            (Some(_), true) => Ok(host.to_owned()),
            // A chart cannot know which family a pod will have.
            (Some(bare), false) if bare.parse::<Ipv4Addr>().is_ok() => Ok(bare.to_owned()),
            (None, true) => Ok(format!("[{host}]")),
            (None, false) if named => Ok(host.to_owned()),
            _ => Err(wrong()),
        }
        .map(|host| HostPort { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (text, shown) in [
            ("10.0.0.1:7001", "10.0.0.1:7001"),
            ("gw-0.peers:7001", "gw-0.peers:7001"),
            ("[fd00::1]:7001", "[fd00::1]:7001"),
            ("fd00::1:7001", "[fd00::1]:7001"),
            ("[10.0.0.1]:7001", "10.0.0.1:7001"),
        ] {
            assert_eq!(HostPort::from_str(text).unwrap().to_string(), shown);
        }
        for text in [
            "",
            ":7001",
            "host",
            "host:70000",
            "ho st:1",
            "[x]:1",
            "a/b:1",
        ] {
            let error = HostPort::from_str(text).unwrap_err();
            assert!(error.contains("invalid host and port"), "{error}");
        }
    }

    #[test]
    fn lists_of_gateways() {
        let all: HostPorts = " gw-peers:7001, fd00::1:7001,gw-peers:7001,"
            .parse()
            .unwrap();
        assert_eq!(all.to_string(), "gw-peers:7001,[fd00::1]:7001");
        assert_eq!("".parse(), Ok(HostPorts::default()));
        let many: Vec<String> = (0..65).map(|n| format!("gw-{n}:1")).collect();
        for (text, why) in [
            ("gw-peers".to_owned(), "invalid host and port `gw-peers`"),
            ("gw:0".to_owned(), "port 0 of `gw:0` leads nowhere"),
            (many.join(","), "too many entries: 65, limit 64"),
        ] {
            let error = text.parse::<HostPorts>().unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn what_others_are_told() {
        let bound: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let mut peer = Peer {
            address: Some("0.0.0.0:0".parse().unwrap()),
            ..Peer::default()
        };
        assert_eq!(peer.advertised(bound), "127.0.0.1:9");
        assert_eq!(peer.nowhere().as_deref(), Some("0.0.0.0"));
        peer.advertise = "[::]:0".parse().ok();
        assert_eq!(peer.nowhere().as_deref(), Some("::"));
        peer.advertise = "pod:0".parse().ok();
        assert_eq!(peer.advertised(bound), "pod:9");
        assert_eq!(peer.nowhere(), None);
        peer.advertise = "pod:8".parse().ok();
        assert_eq!(peer.advertised(bound), "pod:8");
    }
}
