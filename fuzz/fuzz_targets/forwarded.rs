//! `X-Forwarded-For` and `Forwarded`: whatever a client writes in front, the address that its proxy has added is
//! the one that counts, proxies that are trusted are passed over, and headers that name different clients are
//! refused.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use game_gateway::codec::forwarded::{Contradiction, client};
use libfuzzer_sys::fuzz_target;

const PROXY: &str = "10.1.2.3";
/// What a proxy adds, in both headers, and what that says.
const ADDED: [(&str, &str, &str); 3] = [
    ("192.0.2.1", "for=192.0.2.1", "192.0.2.1:0"),
    ("192.0.2.1:80", "proto=http;For=\"192.0.2.1:80\"", "192.0.2.1:80"),
    ("[2001:db8::1]:9", "for=\"[2001:db8::1]:9\";by=_x", "[2001:db8::1]:9"),
];

fn trusted(ip: IpAddr) -> bool {
    ip.to_string().starts_with("10.")
}

fn plain(lines: &[&str]) -> Option<SocketAddr> {
    client(lines, &[], trusted).expect("one header agrees with itself")
}

fn described(lines: &[&str]) -> Option<SocketAddr> {
    client(&[], lines, trusted).expect("one header agrees with itself")
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (one, other) = text.split_at(text.floor_char_boundary(text.len() / 2));
    let (by_one, by_other) = (plain(&[one]), described(&[other]));
    match client(&[one], &[other], trusted) {
        Ok(found) => assert_eq!(found, by_one.or(by_other)),
        Err(Contradiction) => assert_ne!(by_one.map(|at| at.ip()), by_other.map(|at| at.ip())),
    }
    for (entry, element, said) in ADDED {
        let said = Some(said.parse().expect("an address"));
        assert_eq!(plain(&[text, entry]), said);
        assert_eq!(described(&[text, element]), said);
        let (mut entries, mut elements) = (format!("{text}, {entry}"), format!("{text}, {element}"));
        assert_eq!(plain(&[&entries]), said);
        assert_eq!(described(&[&elements]), said);
        entries.push_str(&format!(",{PROXY}"));
        elements.push_str(&format!(",for={PROXY}"));
        assert_eq!(plain(&[&entries]), said);
        assert_eq!(described(&[&elements]), said);
    }
});
