//! Good and bad PROXY headers, cut everywhere.

use super::*;
use proptest::prelude::*;

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut header = V2_SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend((block.len() as u16).to_be_bytes());
    header.extend(block);
    header
}

/// Makes a TCP4 block from 192.0.2.7:4711 with these TLVs.
fn tcp4(tlvs: &[u8]) -> Vec<u8> {
    let mut block = vec![192, 0, 2, 7, 127, 0, 0, 1];
    block.extend(4711_u16.to_be_bytes());
    block.extend(7000_u16.to_be_bytes());
    block.extend(tlvs);
    v2(0x21, 0x11, &block)
}

/// Fills the last four bytes with the header's checksum.
fn summed(mut header: Vec<u8>) -> Vec<u8> {
    let sum = crc32c(&[&header]);
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

fn client(text: &str) -> Proxied {
    Proxied::For(text.parse().unwrap())
}

#[test]
fn good_headers_cut_at_every_offset() {
    let mut tcp6 = vec![0; 36];
    tcp6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
    tcp6[32..34].copy_from_slice(&4711_u16.to_be_bytes());
    let unique_id = [0x05, 0, 3, b'a', b'b', b'c'];
    let sum = [TLV_CRC32C, 0, 4, 0, 0, 0, 0];
    let v4 = client("192.0.2.7:4711");
    let cases: Vec<(Vec<u8>, Proxied)> = vec![
        (b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 7000\r\n".to_vec(), v4),
        (
            b"PROXY TCP6 2001:db8::7 ::1 4711 7000\r\n".to_vec(),
            client("[2001:db8::7]:4711"),
        ),
        (
            b"PROXY TCP4 192.0.2.7 127.0.0.1 0 65535\r\n".to_vec(),
            client("192.0.2.7:0"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), Proxied::Itself),
        (
            b"PROXY UNKNOWN ffff::1 whatever\r\n".to_vec(),
            Proxied::Itself,
        ),
        (tcp4(&[]), v4),
        (tcp4(&unique_id), v4),
        (summed(tcp4(&[&unique_id[..], &sum].concat())), v4),
        (v2(0x21, 0x21, &tcp6), client("[2001:db8::7]:4711")),
        (v2(0x21, 0x31, &[1; 216]), Proxied::Itself),
        (v2(0x21, 0x00, b"anything"), Proxied::Itself),
        (v2(0x20, 0x00, b""), Proxied::Itself),
        (v2(0x20, 0x11, &[9; 12]), Proxied::Itself),
        (v2(0x20, 0xFF, b"x"), Proxied::Itself),
    ];
    for (header, expected) in cases {
        for cut in 0..header.len() {
            let decoded = decode(&header[..cut]);
            assert!(
                matches!(decoded, Ok(Decoded::Need(n)) if n > cut),
                "{header:?} cut at {cut}"
            );
        }
        let followed = [&header[..], b"\xA7\x47 and more\r\n"].concat();
        assert_eq!(
            decode(&followed),
            Ok(Decoded::Frame(expected, header.len())),
            "{header:?}"
        );
    }
}

#[test]
fn bad_lines() {
    for line in [
        "PROXY",
        "PROXY ",
        "PROXY TCP4",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2",
        "PROXY TCP4 1.2.3.04 1.2.3.4 1 2",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2",
        "PROXY TCP4 ::1 ::1 1 2",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 ",
        "PROXY TCP4 1.2.3.4 1.2.3.4\t1 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx",
        // Where the rest of the line is to be ignored, it is one line all the same.
        "PROXY UNKNOWN 7\r",
        "PROXY UNKNOWN 7\rx",
        "PROXY UNKNOWN 7\nx",
    ] {
        assert_eq!(
            decode(format!("{line}\r\n").as_bytes()),
            Err(ProxyError::Line),
            "{line:?}"
        );
    }
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; MAX_V1]].concat();
    for len in 14..MAX_V1 {
        assert_eq!(decode(&long[..len]), Ok(Decoded::Need(len + 1)));
    }
    assert_eq!(decode(&long[..MAX_V1]), Err(ProxyError::Line));
}

#[test]
fn bad_blocks() {
    let check = |header: Vec<u8>, error| assert_eq!(decode(&header), Err(error), "{header:?}");
    check(v2(0x11, 0x11, &[0; 12]), ProxyError::Undefined);
    check(v2(0x22, 0x11, &[0; 12]), ProxyError::Undefined);
    check(v2(0x21, 0x12, &[0; 12]), ProxyError::Undefined);
    check(v2(0x21, 0x41, &[0; 12]), ProxyError::Undefined);
    check(v2(0x21, 0x11, &[0; 11]), ProxyError::Length);
    check(v2(0x21, 0x21, &[0; 12]), ProxyError::Length);
    check(v2(0x21, 0x11, &[0; MAX_V2]), ProxyError::Length);
    check(tcp4(&[0x04]), ProxyError::Length);
    check(tcp4(&[0x04, 0]), ProxyError::Length);
    check(tcp4(&[0x04, 0, 1]), ProxyError::Length);
    check(tcp4(&[0x04, 255, 255, 0]), ProxyError::Length);
    check(tcp4(&[TLV_CRC32C, 0, 3, 0, 0, 0]), ProxyError::Length);
    check(tcp4(&[TLV_CRC32C, 0, 4, 0, 0, 0, 0]), ProxyError::Checksum);
    let good = summed(tcp4(&[TLV_CRC32C, 0, 4, 0, 0, 0, 0]));
    // All but the type of the TLV itself: an unknown one is skipped.
    for at in (16..good.len()).filter(|at| *at != 28) {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        assert!(decode(&bad).is_err(), "byte {at} changed");
    }
}

#[test]
fn the_checksum_is_castagnolis() {
    // The check value of the catalogues.
    assert_eq!(crc32c(&[b"123", b"456789"]), 0xE306_9283);
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), v1: bool) {
        let signature: &[u8] = if v1 { V1_SIGNATURE } else { &V2_SIGNATURE };
        let wire = [signature, &bytes].concat();
        match decode(&wire) {
            Ok(Decoded::Frame(_, used)) => prop_assert!(used <= wire.len()),
            Ok(Decoded::Need(n)) => prop_assert!(n > wire.len()),
            Err(_) => {}
        }
        let _ = decode(&bytes);
    }
}
