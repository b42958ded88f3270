//! `host:port` as it is written in a rule, before any name is looked up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The longest host name of DNS, in bytes.
const MAX_HOST_LEN: usize = 253;
/// The longest part of a host name between two dots, in bytes.
const MAX_LABEL_LEN: usize = 63;

/// A host and a port: `game-1.internal:9000`, `10.0.0.1:9000`, `[::1]:9000`.
///
/// [`FromStr`] normalises: host names to lower case and IPv6 addresses to their short form, so that two
/// spellings of one endpoint are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName {
    /// A host name or an IP address, the latter without brackets.
    pub host: String,
    /// 1 to 65,535.
    pub port: u16,
}

/// The reason that a text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointNameError {
    /// Nothing behind a colon, or no colon.
    #[error("missing port, expected host:port")]
    NoPort,
    /// The port is not 1 to 65,535.
    #[error("invalid port {0:?}, expected 1 to 65535")]
    Port(String),
    /// Nothing in front of the colon.
    #[error("missing host, expected host:port")]
    NoHost,
    /// Colons in the host, but no brackets around it.
    #[error("IPv6 address without brackets, expected e.g. [::1]:9000")]
    Brackets,
    /// Brackets around a text that is not an IPv6 address.
    #[error("invalid IPv6 address {0:?}")]
    Ipv6(String),
    /// Ends in a number as only IPv4 addresses do, but is not one.
    #[error("invalid IPv4 address {0:?}")]
    Ipv4(String),
    /// Not a name that DNS could know.
    #[error("invalid host name {0:?}")]
    Host(String),
}

impl EndpointName {
    /// Returns the address if the host is an IP address, which needs no look-up.
    pub fn literal(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }
}

impl FromStr for EndpointName {
    type Err = EndpointNameError;

    fn from_str(text: &str) -> Result<EndpointName, EndpointNameError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (ip, port) = rest
                    .split_once(']')
                    .ok_or_else(|| EndpointNameError::Ipv6(rest.to_owned()))?;
                let ip: Ipv6Addr = ip
                    .parse()
                    .map_err(|_| EndpointNameError::Ipv6(ip.to_owned()))?;
                let port = port.strip_prefix(':').ok_or(EndpointNameError::NoPort)?;
                // An IPv4-mapped address is that IPv4 address.
                (IpAddr::V6(ip).to_canonical().to_string(), port)
            }
            None => {
                let (host, port) = text.rsplit_once(':').ok_or(EndpointNameError::NoPort)?;
                (normal_host(host)?, port)
            }
        };
        let port = parse_port(port)?;
        Ok(EndpointName { host, port })
    }
}

fn parse_port(text: &str) -> Result<u16, EndpointNameError> {
    if text.is_empty() {
        return Err(EndpointNameError::NoPort);
    }
    // `parse` alone would take a leading plus.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(EndpointNameError::Port(text.to_owned())),
    }
}

fn normal_host(host: &str) -> Result<String, EndpointNameError> {
    if host.is_empty() {
        return Err(EndpointNameError::NoHost);
    }
    if host.contains(':') {
        return Err(EndpointNameError::Brackets);
    }
    // One dot at the end is DNS's way to say that the name is complete.
    let mut labels = host.strip_suffix('.').unwrap_or(host).split('.');
    if host.len() > MAX_HOST_LEN || !labels.clone().all(is_label) {
        return Err(EndpointNameError::Host(host.to_owned()));
    }
    let number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    if labels.next_back().is_some_and(number) && host.parse::<Ipv4Addr>().is_err() {
        return Err(EndpointNameError::Ipv4(host.to_owned()));
    }
    Ok(host.to_ascii_lowercase())
}

/// Returns true for a label of a host name. Underscores are not DNS's, but container networks use them.
fn is_label(label: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=MAX_LABEL_LEN).contains(&label.len())
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for EndpointName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints_and_how_they_are_printed() {
        for (text, printed, literal) in [
            ("host:1", "host:1", false),
            (
                "Game-1.EU.example.:65535",
                "game-1.eu.example.:65535",
                false,
            ),
            ("chat_1:9", "chat_1:9", false),
            ("10.0.0.1:9", "10.0.0.1:9", true),
            ("[::1]:7", "[::1]:7", true),
            ("[0:0:0:0:0:0:0:1]:7", "[::1]:7", true),
            ("[::ffff:10.0.0.1]:9", "10.0.0.1:9", true),
            ("1e100.net:80", "1e100.net:80", false),
        ] {
            let name: EndpointName = text.parse().unwrap();
            assert_eq!(name.to_string(), printed);
            assert_eq!(name.literal().is_some(), literal, "{text}");
            assert_eq!(printed.parse(), Ok(name));
        }
        let name: EndpointName = "[::1]:7".parse().unwrap();
        assert_eq!(name.literal(), Some("[::1]:7".parse().unwrap()));
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        use EndpointNameError as E;
        let port = |text: &str| E::Port(text.to_owned());
        let host = |text: &str| E::Host(text.to_owned());
        for (text, expected) in [
            ("", E::NoPort),
            ("host", E::NoPort),
            ("host:", E::NoPort),
            ("[::1]", E::NoPort),
            ("[::1]7", E::NoPort),
            ("host:0", port("0")),
            ("host:65536", port("65536")),
            ("host:+7", port("+7")),
            ("host: 7", port(" 7")),
            ("host:http", port("http")),
            (":7", E::NoHost),
            ("::1:7", E::Brackets),
            ("http://host:7", E::Brackets),
            ("[::1:7", E::Ipv6("::1:7".to_owned())),
            ("[host]:7", E::Ipv6("host".to_owned())),
            ("[fe80::1%eth0]:7", E::Ipv6("fe80::1%eth0".to_owned())),
            ("10.0.0.256:7", E::Ipv4("10.0.0.256".to_owned())),
            ("7:7", E::Ipv4("7".to_owned())),
            ("a b:7", host("a b")),
            ("a..b:7", host("a..b")),
            (".:7", host(".")),
            ("-a:7", host("-a")),
            ("é:7", host("é")),
        ] {
            assert_eq!(text.parse::<EndpointName>(), Err(expected), "{text}");
        }
        let long = format!("{}:7", "a.".repeat(150));
        assert!(long.parse::<EndpointName>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_never_panics_and_prints_what_it_reads(text in "[\\[\\]:.a-zA-Z0-9é%-]{0,30}") {
            if let Ok(name) = text.parse::<EndpointName>() {
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
        }
    }
}
