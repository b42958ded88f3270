//! Which transport the first bytes of a connection announce (protocol 1.6).

use super::client::MAGIC;
use super::proxy::{V1_SIGNATURE, V2_SIGNATURE};

/// A TLS handshake record of any version.
const TLS: [u8; 2] = [0x16, 0x03];
/// The methods that an HTTP/1.1 request may start with here; each is followed by a space.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
];

/// Verdict on the first bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniffed {
    /// Raw GGP/1 frames.
    Frames,
    /// A TLS handshake; what is inside is sniffed again.
    Tls,
    /// A PROXY protocol header of either version; what follows is sniffed again.
    Proxy,
    /// An HTTP/1.1 request, which may upgrade to WebSocket.
    Http,
    /// Too few bytes to tell; each of the above that they could begin is still possible.
    More,
    /// Nothing that is spoken here.
    Unknown,
}

/// Judges a connection's first bytes. Needs at most 12 of them.
pub fn sniff(bytes: &[u8]) -> Sniffed {
    let signatures: [(&[u8], Sniffed); 4] = [
        (&MAGIC, Sniffed::Frames),
        (&TLS, Sniffed::Tls),
        (V1_SIGNATURE, Sniffed::Proxy),
        (&V2_SIGNATURE, Sniffed::Proxy),
    ];
    let methods = METHODS.iter().map(|&method| (method, Sniffed::Http));
    let mut verdict = Sniffed::Unknown;
    for (signature, sniffed) in signatures.into_iter().chain(methods) {
        if bytes.starts_with(signature) {
            return sniffed;
        }
        if signature.starts_with(bytes) {
            verdict = Sniffed::More;
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_transport_cut_at_every_offset() {
        let check = |bytes: &[u8], signature: usize, expected: Sniffed| {
            for cut in 0..bytes.len() {
                let wanted = if cut < signature {
                    Sniffed::More
                } else {
                    expected
                };
                assert_eq!(sniff(&bytes[..cut]), wanted, "{bytes:?} cut at {cut}");
            }
        };
        check(&[0xA7, 0x47, 1, 0], 2, Sniffed::Frames);
        check(&[0x16, 0x03, 1, 2], 2, Sniffed::Tls);
        check(b"PROXY TCP4 1.2.3.4", 6, Sniffed::Proxy);
        check(b"\r\n\r\n\0\r\nQUIT\n\x21\x11", 12, Sniffed::Proxy);
        check(b"GET / HTTP/1.1", 4, Sniffed::Http);
        check(b"POST /game HTTP/1.1", 5, Sniffed::Http);
        check(b"OPTIONS * HTTP/1.1", 8, Sniffed::Http);
    }

    #[test]
    fn anything_else_is_unknown_at_once() {
        for bytes in [
            &b"\0"[..],
            b"x",
            b"SSH-2.0",
            b"\xA7\x48",
            b"\x16\x04",
            b"GETX",
            b"\r\n\r\nx",
        ] {
            assert_eq!(sniff(bytes), Sniffed::Unknown, "{bytes:?}");
        }
    }
}
