//! What else may talk to a port, by its first bytes: for error texts.

/// First bytes, and whose they are.
const FIRST: [(&[u8], &str); 24] = [
    (b"HTTP", "HTTP"),
    (b"GET ", "HTTP"),
    (b"HEAD", "HTTP"),
    (b"POST", "HTTP"),
    (b"PUT ", "HTTP"),
    (b"DELE", "HTTP"),
    (b"OPTI", "HTTP"),
    (b"PATC", "HTTP"),
    (b"CONN", "HTTP"),
    (b"PRI ", "HTTP/2"),
    (b"\x15\x03", "TLS"),
    (b"\x16\x03", "TLS"),
    (b"\xA7\x47", "the client protocol"),
    (b"PROX", "a PROXY header"),
    (b"\r\n\r\n\0\r\nQ", "a PROXY header"),
    (b"SSH-", "SSH"),
    (b"-ERR", "Redis"),
    (b"-NOA", "Redis"),
    (b"-DEN", "Redis"),
    (b"+PON", "Redis"),
    (b"*1\r\n", "Redis"),
    (b"*2\r\n", "Redis"),
    (b"*3\r\n", "Redis"),
    (b"220 ", "SMTP or FTP"),
];

/// Names the protocol that begins with these bytes, if it is a common one.
pub fn looks_like(first: &[u8]) -> Option<&'static str> {
    let mut known = FIRST.iter();
    known
        .find(|(bytes, _)| first.starts_with(bytes))
        .map(|(_, what)| *what)
}
