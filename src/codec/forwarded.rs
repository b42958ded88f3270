//! `X-Forwarded-For` and `Forwarded` (RFC 7239): the addresses that proxies have seen, the nearest last.

use std::net::{IpAddr, SocketAddr};

/// Returns the client's address as the nearest proxies name it: from the last entry back, past those that are
/// `trusted`. An entry that is no address ends the search: beyond it nobody is known. None where nothing
/// is named, or the two headers name different clients, which only one of them can have written.
///
/// # Errors
/// They do.
pub fn client(
    x_forwarded_for: &[&str],
    forwarded: &[&str],
    trusted: impl Fn(IpAddr) -> bool,
) -> Result<Option<SocketAddr>, Contradiction> {
    let plain = x_forwarded_for.iter().rev();
    let plain = plain.flat_map(|line| line.rsplit(','));
    let plain = farthest(plain.map(node), &trusted);
    // From the back: a quote that the client has left open must not hide what proxies wrote behind it.
    let elements = forwarded.iter().rev();
    let elements = elements.flat_map(|line| line.rsplit(outside_quotes(',')));
    let described = farthest(elements.map(for_of), &trusted);
    match (plain, described) {
        (Some(one), Some(other)) if one.ip() != other.ip() => Err(Contradiction),
        (one, other) => Ok(one.or(other)),
    }
}

/// The headers name different clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction;

/// The last of the nodes, nearest first, that is reached over trusted ones.
fn farthest(
    nodes: impl Iterator<Item = Option<SocketAddr>>,
    trusted: impl Fn(IpAddr) -> bool,
) -> Option<SocketAddr> {
    let mut found = None;
    for node in nodes {
        let Some(address) = node else { break };
        found = Some(address);
        if !trusted(address.ip()) {
            break;
        }
    }
    found
}

/// A pattern: a separator that is not inside quotes.
fn outside_quotes(separator: char) -> impl FnMut(char) -> bool {
    let mut quoted = false;
    move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    }
}

/// The `for` of an element.
fn for_of(element: &str) -> Option<SocketAddr> {
    let pairs = element.split(outside_quotes(';'));
    let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    node(value.trim().trim_matches('"'))
}

/// An address with or without a port, which is then 0.
fn node(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let alone = || bare.unwrap_or(text).parse().ok().map(|ip: IpAddr| (ip, 0));
    let with_port = || text.parse().ok().map(|at: SocketAddr| (at.ip(), at.port()));
    let (ip, port) = alone().or_else(with_port)?;
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trusted(ip: IpAddr) -> bool {
        ip.to_string().starts_with("10.")
    }

    fn named(plain: &[&str], described: &[&str]) -> Option<String> {
        let client = client(plain, described, trusted).unwrap();
        client.map(|address| address.to_string())
    }

    #[test]
    fn the_nearest_that_is_not_trusted() {
        for (line, expected) in [
            ("192.0.2.1", Some("192.0.2.1:0")),
            // What the client wrote itself is in front.
            ("198.51.100.7, 192.0.2.1", Some("192.0.2.1:0")),
            (
                "198.51.100.7, 192.0.2.1, 10.0.0.1,10.0.0.2",
                Some("192.0.2.1:0"),
            ),
            ("10.0.0.9, 10.0.0.1", Some("10.0.0.9:0")),
            ("192.0.2.1:4711", Some("192.0.2.1:4711")),
            ("2001:db8::1", Some("[2001:db8::1]:0")),
            ("[2001:db8::1]:9", Some("[2001:db8::1]:9")),
            ("::ffff:192.0.2.1", Some("192.0.2.1:0")),
            ("192.0.2.1, unknown", None),
            ("192.0.2.1, unknown, 10.0.0.1", Some("10.0.0.1:0")),
            ("", None),
        ] {
            assert_eq!(named(&[line], &[]).as_deref(), expected, "{line}");
        }
        assert_eq!(
            named(&["198.51.100.7", "192.0.2.1"], &[]).as_deref(),
            Some("192.0.2.1:0")
        );
    }

    #[test]
    fn forwarded_says_it_in_more_words() {
        for (line, expected) in [
            (
                "for=192.0.2.1;proto=http;by=203.0.113.43",
                Some("192.0.2.1:0"),
            ),
            ("For=\"[2001:db8::1]:47\"", Some("[2001:db8::1]:47")),
            (
                "for=198.51.100.7, proto=https; for=192.0.2.1 ,for=10.0.0.1",
                Some("192.0.2.1:0"),
            ),
            ("for=192.0.2.1, for=_hidden", None),
            ("host=\"a,for=6.6.6.6\";for=192.0.2.1", Some("192.0.2.1:0")),
            ("for=192.0.2.1, proto=http", None),
            ("for=\"6.6.6.6, for=192.0.2.1", Some("192.0.2.1:0")),
            (
                "for=6.6.6.6;x=\", for=\"[2001:db8::1]:47\"",
                Some("[2001:db8::1]:47"),
            ),
        ] {
            assert_eq!(named(&[], &[line]).as_deref(), expected, "{line}");
        }
        // One of them may be the client's own.
        let both = |plain| client(&[plain], &["for=192.0.2.1"], trusted);
        assert_eq!(both("198.51.100.7"), Err(Contradiction));
        assert!(both("192.0.2.1:80").unwrap().is_some());
    }

    proptest! {
        #[test]
        fn any_text_never_panics(one in ".{0,60}", other in "[a-z0-9=;,\"\\[\\]:. ]{0,60}") {
            let _ = client(&[&one], &[&other], trusted);
        }
    }
}
