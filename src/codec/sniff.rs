//! Which transport the first bytes of a connection announce (protocol 1.6).

use super::client::MAGIC;
use super::proxy::{V1_SIGNATURE, V2_SIGNATURE};

/// A TLS handshake record of any version.
const TLS: [u8; 2] = [0x16, 0x03];
/// Bytes of empty lines that may come before a request line (RFC 9112, 2.2).
const MAX_BLANK: usize = 8;
/// Bytes of the longest word that is taken for a method. The longest one registered has 17.
const MAX_METHOD: usize = 20;
/// Begins a connection of HTTP/2, and no request (RFC 9113, 11.6).
const HTTP_2_LINE: &[u8] = b"PRI ";
/// Bytes after which [`sniff`] has a verdict.
pub const MAX_SNIFFED: usize = MAX_BLANK + MAX_METHOD + 1;

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

/// Judges a connection's first bytes. Needs at most [`MAX_SNIFFED`] of them.
pub fn sniff(bytes: &[u8]) -> Sniffed {
    let signatures: [(&[u8], Sniffed); 4] = [
        (&MAGIC, Sniffed::Frames),
        (&TLS, Sniffed::Tls),
        (V1_SIGNATURE, Sniffed::Proxy),
        (&V2_SIGNATURE, Sniffed::Proxy),
    ];
    let mut begun = false;
    for (signature, sniffed) in signatures {
        if bytes.starts_with(signature) {
            return sniffed;
        }
        begun |= signature.starts_with(bytes);
    }
    match sniff_request(bytes) {
        // The signature of PROXY version 2 begins with two empty lines.
        Sniffed::Unknown if begun => Sniffed::More,
        verdict => verdict,
    }
}

/// Judges whether a request begins, with whatever method: one that is not known has an answer too.
fn sniff_request(bytes: &[u8]) -> Sniffed {
    let of_method = |b: &&u8| b.is_ascii_uppercase() || **b == b'-';
    let blank = |b: &&u8| matches!(b, b'\r' | b'\n');
    let blanks = bytes.iter().take_while(blank).count();
    let method = bytes[blanks..].iter().take_while(of_method).count();
    if blanks > MAX_BLANK || method > MAX_METHOD {
        return Sniffed::Unknown;
    }
    match bytes.get(blanks + method) {
        None => Sniffed::More,
        Some(b' ') if method > 0 && !bytes[blanks..].starts_with(HTTP_2_LINE) => Sniffed::Http,
        Some(_) => Sniffed::Unknown,
    }
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
        check(b"PRINT / HTTP/1.1", 6, Sniffed::Http);
        check(b"VERSION-CONTROL / HTTP/1.1", 16, Sniffed::Http);
        check(b"\r\n\r\nGET / HTTP/1.1", 8, Sniffed::Http);
        check(b"\nGET / HTTP/1.1", 5, Sniffed::Http);
    }

    #[test]
    fn anything_else_is_unknown_at_once() {
        for bytes in [
            &b"\0"[..],
            b"x",
            b"SSH-2.0",
            b"\xA7\x48",
            b"\x16\x04",
            b"GET\t",
            b"PRI * HTTP/2.0",
            b"ABCDEFGHIJKLMNOPQRSTU",
            b" GET",
            b"\r\n\r\nx",
            b"\r\n\r\n\r\n\r\n\r",
        ] {
            assert_eq!(sniff(bytes), Sniffed::Unknown, "{bytes:?}");
        }
    }
}
