//! PROXY protocol, versions 1 and 2: who the client of a load balancer really is. It stands before
//! everything else on a connection, once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Decoded, array};

/// The signature of version 2.
pub const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// First bytes of version 1.
pub const V1_SIGNATURE: &[u8] = b"PROXY ";
/// The longest header of version 1, its CR LF included, in bytes.
const MAX_V1: usize = 107;
/// The fixed part of a header of version 2, in bytes.
const V2_FIXED: usize = 16;
/// The longest header of version 2 that is taken, in bytes. What balancers send, certificates' names
/// included, is far below.
pub const MAX_V2: usize = 4096;
/// The TLV type of a checksum over the whole header.
const TLV_CRC32C: u8 = 0x03;

/// Content of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// The connection was made for this client.
    For(SocketAddr),
    /// The balancer speaks for itself (`LOCAL`), or does not say for whom (`UNKNOWN`): the
    /// connection's own address holds.
    Itself,
}

/// Reason for which a header is refused. Nothing behind it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Version 1: not a line of the documented form.
    #[error("malformed PROXY v1 line")]
    Line,
    /// Version 2: a version, command or family that is not defined.
    #[error("unsupported PROXY v2 version, command or family")]
    Undefined,
    /// Version 2: lengths that contradict each other, or over [`MAX_V2`].
    #[error("inconsistent lengths in PROXY v2 header")]
    Length,
    /// Version 2: the checksum does not match.
    #[error("checksum mismatch in PROXY v2 header")]
    Checksum,
}

/// Decodes the header at the beginning of `buf`, which starts with one of the two signatures or a
/// part of one.
///
/// # Errors
/// The header is wrong; found as early as the bytes allow.
pub fn decode(buf: &[u8]) -> Result<Decoded<Proxied>, ProxyError> {
    if buf.starts_with(b"P") {
        decode_v1(buf)
    } else {
        decode_v2(buf)
    }
}

fn decode_v1(buf: &[u8]) -> Result<Decoded<Proxied>, ProxyError> {
    let head = &buf[..buf.len().min(MAX_V1)];
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        // A CR may be the first half of the end.
        let body = head.strip_suffix(b"\r").unwrap_or(head);
        let possible = buf.len() < MAX_V1 && !body.contains(&b'\r') && !body.contains(&b'\n');
        return if possible {
            Ok(Decoded::Need(buf.len() + 1))
        } else {
            Err(ProxyError::Line)
        };
    };
    let line = &head[..end];
    // Refused here too, so that a header means the same however it is cut into reads.
    if line.contains(&b'\r') || line.contains(&b'\n') {
        return Err(ProxyError::Line);
    }
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Line)?;
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return Err(ProxyError::Line);
    }
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(Decoded::Frame(Proxied::Itself, end + 2));
    }
    let words: Vec<&str> = words.collect();
    let [source, destination, source_port, destination_port] = words[..] else {
        return Err(ProxyError::Line);
    };
    let (source, _) = (address(family, source)?, address(family, destination)?);
    let (source_port, _) = (port(source_port)?, port(destination_port)?);
    let source = SocketAddr::new(source, source_port);
    Ok(Decoded::Frame(Proxied::For(source), end + 2))
}

fn address(family: &str, text: &str) -> Result<IpAddr, ProxyError> {
    let address = match family {
        "TCP4" => text.parse().map(IpAddr::V4),
        "TCP6" => text.parse().map(IpAddr::V6),
        _ => return Err(ProxyError::Line),
    };
    address.map_err(|_| ProxyError::Line)
}

/// Parses decimal digits without leading zeros.
fn port(text: &str) -> Result<u16, ProxyError> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let port = plain.then(|| text.parse().ok()).flatten();
    port.ok_or(ProxyError::Line)
}

fn decode_v2(buf: &[u8]) -> Result<Decoded<Proxied>, ProxyError> {
    let known = buf.len().min(V2_SIGNATURE.len());
    if buf[..known] != V2_SIGNATURE[..known] {
        return Err(ProxyError::Undefined);
    }
    if buf.len() < V2_FIXED {
        return Ok(Decoded::Need(V2_FIXED));
    }
    let (command, family) = (buf[12], buf[13]);
    let block = usize::from(u16::from_be_bytes(array(buf, 14)));
    let end = V2_FIXED + block;
    // Bytes of the addresses; 0 where they are skipped with the rest.
    let addresses = match (command, family) {
        (0x20, _) | (0x21, 0x00) => 0,
        (0x21, 0x11) => 12,
        (0x21, 0x21) => 36,
        (0x21, 0x31) => 216,
        _ => return Err(ProxyError::Undefined),
    };
    if end > MAX_V2 || block < addresses {
        return Err(ProxyError::Length);
    }
    let Some(header) = buf.get(..end) else {
        return Ok(Decoded::Need(end));
    };
    if addresses > 0 {
        check_tlvs(header, V2_FIXED + addresses)?;
    }
    let proxied = match addresses {
        12 => {
            let ip = Ipv4Addr::from(array::<4>(header, 16));
            Proxied::For(SocketAddr::new(
                ip.into(),
                u16::from_be_bytes(array(header, 24)),
            ))
        }
        36 => {
            let ip = Ipv6Addr::from(array::<16>(header, 16));
            Proxied::For(SocketAddr::new(
                ip.into(),
                u16::from_be_bytes(array(header, 48)),
            ))
        }
        // A UNIX socket has no address that could be told to anyone.
        _ => Proxied::Itself,
    };
    Ok(Decoded::Frame(proxied, end))
}

/// Walks the TLVs from `at` on; the checksum must match where there is one, the rest is skipped.
fn check_tlvs(header: &[u8], mut at: usize) -> Result<(), ProxyError> {
    while at < header.len() {
        let value = at + 3;
        let len = usize::from(u16::from_be_bytes(array(header, at + 1)));
        if value > header.len() || len > header.len() - value {
            return Err(ProxyError::Length);
        }
        if header[at] == TLV_CRC32C {
            if len != 4 {
                return Err(ProxyError::Length);
            }
            let stated = u32::from_be_bytes(array(header, value));
            // The sum was made with its own place zeroed.
            let parts = [&header[..value], &[0; 4], &header[value + 4..]];
            if crc32c(&parts) != stated {
                return Err(ProxyError::Checksum);
            }
        }
        at = value + len;
    }
    Ok(())
}

/// Returns the CRC32c (Castagnoli) of the concatenated parts.
fn crc32c(parts: &[&[u8]]) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    let mut crc = !0_u32;
    for &byte in parts.iter().copied().flatten() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
