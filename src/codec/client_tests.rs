//! Tables and properties of the client codec.

use super::*;
use proptest::prelude::*;

const LIMIT: u32 = 65_536;

fn header() -> Header {
    Header {
        kind: Kind::Data as u8,
        flags: FLAG_RESUMABLE,
        realm_id: 7,
        user_id: 0x0102_0304_0506_0708,
        session_id: 0x1112_1314_1516_1718,
    }
}

#[test]
fn the_layout_is_that_of_the_document() {
    let mut out = Vec::new();
    encode(&mut out, &header(), "game", b"hi");
    let expected: [u8; 38] = [
        0xA7, 0x47, 1, 0, 0, 0, 0, 2, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14,
        0x15, 0x16, 0x17, 0x18, 4, 1, 0, 0, b'g', b'a', b'm', b'e', b'h', b'i',
    ];
    assert_eq!(out, expected);
}

#[test]
fn mistakes_are_found_as_early_as_the_bytes_allow() {
    let good = {
        let mut out = Vec::new();
        encode(&mut out, &header(), "game", b"hi");
        out
    };
    let check = |change: &dyn Fn(&mut Vec<u8>), shown: usize, expected: FrameError| {
        let mut bytes = good.clone();
        change(&mut bytes);
        assert_eq!(decode(&bytes[..shown], LIMIT), Err(expected), "{shown}");
        assert!(matches!(
            decode(&bytes[..shown - 1], LIMIT),
            Ok(Decoded::Need(_))
        ));
    };
    check(&|b| b[0] = 0, 1, FrameError::Magic);
    check(&|b| b[1] = 0, 2, FrameError::Magic);
    check(&|b| b[2] = 2, 3, FrameError::Version(2));
    check(&|b| b[28] = 65, 32, FrameError::ServiceLength(65));
    let too_large = FrameError::PayloadTooLarge {
        len: LIMIT + 1,
        limit: LIMIT,
    };
    check(
        &|b| b[4..8].copy_from_slice(&(LIMIT + 1).to_be_bytes()),
        32,
        too_large,
    );
    check(&|b| b[33] = b'A', 36, FrameError::ServiceName);
    check(&|b| b[32] = b'-', 36, FrameError::ServiceName);
    check(&|b| b[35] = 0xC3, 36, FrameError::ServiceName);
    assert_eq!(too_large.code(), Code::TOO_LARGE);
    assert_eq!(FrameError::Magic.code(), Code::MALFORMED);
}

#[test]
fn service_names() {
    for good in ["a", "0", "game", "game.eu-1_b", &"x".repeat(64)] {
        assert!(is_service_name(good.as_bytes()), "{good}");
    }
    for bad in [
        "",
        ".a",
        "-a",
        "_a",
        "A",
        "aB",
        "a b",
        "a/b",
        "é",
        &"x".repeat(65),
    ] {
        assert!(!is_service_name(bad.as_bytes()), "{bad}");
    }
}

#[test]
fn opened_payload() {
    let opened = Opened {
        received: 1,
        idle_timeout_ms: 300_000,
        token: b"t",
    };
    let mut out = Vec::new();
    opened.encode(&mut out);
    assert_eq!(Opened::decode(&out), Some(opened));
    assert_eq!(Opened::decode(&out[..11]), None);
}

proptest! {
    /// Whatever the cut, a prefix asks for more and never for fewer bytes than it was shown.
    #[test]
    fn a_frame_cut_at_every_byte(payload in proptest::collection::vec(any::<u8>(), 0..200),
                                 service in "([a-z0-9][a-z0-9._-]{0,63})?",
                                 kind in any::<u8>(), flags in any::<u8>(), realm_id in any::<u32>(),
                                 user_id in any::<u64>(), session_id in any::<u64>()) {
        let header = Header { kind, flags, realm_id, user_id, session_id };
        let mut bytes = Vec::new();
        encode(&mut bytes, &header, &service, &payload);
        let whole = bytes.len();
        bytes.extend_from_slice(b"rest");
        for cut in 0..whole {
            match decode(&bytes[..cut], LIMIT) {
                Ok(Decoded::Need(n)) => prop_assert!(n > cut && n <= whole),
                other => prop_assert!(false, "{cut}: {other:?}"),
            }
        }
        let frame = Frame { header, service: &service, payload: &payload };
        prop_assert_eq!(decode(&bytes, LIMIT), Ok(Decoded::Frame(frame, whole)));
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, 100);
        let mut started = MAGIC.to_vec();
        started.push(VERSION);
        started.extend(bytes);
        let _ = decode(&started, 100);
    }
}
