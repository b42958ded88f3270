use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::{DuplexStream, duplex};

use super::*;

type Result2 = (
    Result<Secured, HandshakeError>,
    Result<Secured, HandshakeError>,
);

const KEY: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";

fn keys(secret: &str) -> Keyring {
    Keyring::new(&[secret]).unwrap()
}

fn hello(keys: &Keyring, gateway: &str, version: u8) -> Hello {
    Hello {
        version,
        ..Hello::new(keys, gateway, "10.0.0.1:7001")
    }
}

/// Has both ends shake hands over the streams; an end that fails closes its stream.
async fn shake(
    mut near: DuplexStream,
    mut far: DuplexStream,
    (version, other_version): (u8, u8),
) -> Result2 {
    let keys = keys(KEY);
    let (keys, own, other) = (
        &keys,
        hello(&keys, "a", version),
        hello(&keys, "b", other_version),
    );
    tokio::join!(
        async move { call(&mut near, keys, own).await },
        async move { answer(&mut far, keys, other).await },
    )
}

async fn joined(versions: (u8, u8)) -> (Secured, Secured) {
    let (near, far) = duplex(1024);
    let (caller, callee) = shake(near, far, versions).await;
    (caller.unwrap(), callee.unwrap())
}

/// Passes bytes on, with those at `at` changed by `change`, until one end is closed.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    at: usize,
    change: u8,
) {
    let mut passed = 0;
    let mut bytes = [0; 256];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if let Some(byte) = at
            .checked_sub(passed)
            .and_then(|at| bytes[..read].get_mut(at))
        {
            *byte ^= change;
        }
        passed += read;
        if to.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Shakes hands through somebody who changes one byte in each direction.
async fn shake_through(versions: (u8, u8), forth: (usize, u8), back: (usize, u8)) -> Result2 {
    let ((near, middle), (middle_far, far)) = (duplex(1024), duplex(1024));
    let (from_near, to_near) = tokio::io::split(middle);
    let (from_far, to_far) = tokio::io::split(middle_far);
    let (both, (), ()) = tokio::join!(
        shake(near, far, versions),
        pass(from_near, to_far, forth.0, forth.1),
        pass(from_far, to_near, back.0, back.1),
    );
    both
}

const NOTHING: (usize, u8) = (0, 0);
/// Place of the version in a HELLO.
const VERSION_AT: usize = 8;

#[tokio::test]
async fn every_two_releases_understand_each_other() {
    for (versions, spoken) in [
        ((2, 2), 2),
        ((1, 2), 1),
        ((2, 1), 1),
        ((1, 1), 1),
        ((2, 3), 2),
    ] {
        let (mut caller, mut callee) = joined(versions).await;
        assert_eq!((caller.version, callee.version), (spoken, spoken));
        assert_eq!((&*caller.other.gateway, &*callee.other.gateway), ("b", "a"));
        assert_eq!(caller.key, callee.key);
        for frame in [
            &b"there"[..],
            b"",
            &[7; 65_515],
            &[7; 65_516],
            &[8; 300_000],
        ] {
            let there = caller.sealer.seal(frame);
            assert_eq!(callee.opener.read(&mut &*there).await.unwrap(), frame);
            let back = callee.sealer.seal(frame);
            assert_eq!(caller.opener.read(&mut &*back).await.unwrap(), frame);
        }
    }
}

#[tokio::test]
async fn nobody_in_between_brings_an_older_version_about() {
    let lower = (VERSION_AT, 2 ^ 1);
    for (forth, back) in [(lower, NOTHING), (NOTHING, lower), (lower, lower)] {
        let (caller, callee) = shake_through((2, 2), forth, back).await;
        assert!(caller.is_err(), "{caller:?}");
        assert!(callee.is_err(), "{callee:?}");
    }
    // The one in between is no hindrance by itself.
    let (caller, callee) = shake_through((2, 2), NOTHING, NOTHING).await;
    assert_eq!((caller.unwrap().version, callee.unwrap().version), (2, 2));
}

#[tokio::test]
async fn no_byte_of_the_handshake_can_be_changed() {
    for version in [1, 2] {
        let own = hello(&keys(KEY), "a", version).encode().len();
        let whole = own + if version == 1 { 4 + 28 } else { 2 + 48 };
        for at in 0..whole {
            for (forth, back) in [((at, 1), NOTHING), (NOTHING, (at, 1))] {
                let changed = shake_through((version, version), forth, back);
                // A longer length has one end wait for more; nobody speaks behind the other's end.
                let wait = std::time::Duration::from_millis(200);
                if let Ok((caller, _)) = tokio::time::timeout(wait, changed).await {
                    assert!(caller.is_err(), "version {version}, byte {at}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_echo_is_no_gateway() {
    for version in [1, 2] {
        let (mut near, echo) = duplex(1024);
        let (mut from, mut to) = tokio::io::split(echo);
        let keys = keys(KEY);
        let own = hello(&keys, "a", version);
        let called = tokio::select! {
            called = call(&mut near, &keys, own) => called,
            _ = tokio::io::copy(&mut from, &mut to) => unreachable!(),
        };
        assert!(matches!(called, Err(HandshakeError::NoProof)), "{called:?}");
    }
}

#[tokio::test]
async fn naming_a_key_is_not_having_it() {
    for version in [1, 2] {
        let (mut near, mut far) = duplex(1024);
        let (keys, others) = (keys(KEY), keys("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
        let mut liar = hello(&others, "b", version);
        liar.key_ids.extend(keys.ids());
        // It answers with a key of its own under the name of theirs.
        let (called, ()) = tokio::join!(
            async { call(&mut near, &keys, hello(&keys, "a", version)).await },
            async {
                let (other, forth) = read_hello(&mut far).await.unwrap();
                let back = liar.encode();
                far.write_all(&back).await.unwrap();
                let key = others.ids().next().unwrap();
                let agreed = hello::Agreed { version, key };
                let sent = [&*forth, &*back];
                let secured = secure(&mut far, &others, agreed, Role::Callee, other, sent).await;
                assert!(
                    matches!(secured, Err(HandshakeError::NoProof)),
                    "{secured:?}"
                );
                far.shutdown().await.unwrap();
            },
        );
        assert!(called.is_err(), "{called:?}");
    }
}

#[tokio::test]
async fn frames_come_whole_and_in_order_or_not_at_all() {
    for version in [1, 2] {
        let sealed = |frames: [Vec<u8>; 2]| async move {
            let (mut caller, callee) = joined((version, version)).await;
            (frames.map(|frame| caller.sealer.seal(&frame)), callee)
        };
        let frames = || [vec![1; 100_000], vec![2; 100]];
        // Cut anywhere.
        for cut in [0, 1, 2, 3, 100, 65_537, 65_538, 99_000] {
            let ([first, _], mut callee) = sealed(frames()).await;
            let read = callee.opener.read(&mut &first[..cut]).await;
            let error = read.unwrap_err().kind();
            assert_eq!(error, io::ErrorKind::UnexpectedEof, "{version}: {cut}");
        }
        // Left out, said twice, or touched.
        let ([_, second], mut callee) = sealed(frames()).await;
        assert!(callee.opener.read(&mut &*second).await.is_err());
        let ([first, _], mut callee) = sealed(frames()).await;
        assert!(callee.opener.read(&mut &*first).await.is_ok());
        assert!(callee.opener.read(&mut &*first).await.is_err());
        for at in [4, 50, 70_000] {
            let ([mut first, _], mut callee) = sealed(frames()).await;
            first[at] ^= 1;
            assert!(callee.opener.read(&mut &*first).await.is_err(), "{at}");
        }
        // Said back, and said on another connection of the same gateways.
        let (mut caller, _) = joined((version, version)).await;
        let own = caller.sealer.seal(b"own");
        assert!(caller.opener.read(&mut &*own).await.is_err());
        let (_, mut callee) = joined((version, version)).await;
        assert!(callee.opener.read(&mut &*own).await.is_err());
    }
}

/// Whatever length is claimed: no more is taken than has come, and half as much again.
#[tokio::test]
async fn a_frame_is_counted_as_it_comes() {
    const COME: usize = 500_000;
    for version in [1, 2] {
        let (mut caller, mut callee) = joined((version, version)).await;
        let shown = Arc::clone(callee.opener.shown());
        let shown = || shown.load(Relaxed);
        let sealed = caller.sealer.seal(&[7; 8_000_000]);
        let mut input = AsyncReadExt::chain(&sealed[..COME], duplex(1).0);
        // The other end of the rest is gone, and so the frame ends before it is whole.
        assert!(callee.opener.read(&mut input).await.is_err());
        let most = COME * 3 / 2 + 2 * 65_536;
        assert!((COME..=most).contains(&shown()), "{version}: {}", shown());

        let (mut caller, mut callee) = joined((version, version)).await;
        let input_of = Arc::clone(callee.opener.shown());
        let shown = || input_of.load(Relaxed);
        let sealed = caller.sealer.seal(&[7; COME]);
        let frame = callee.opener.read(&mut &*sealed).await.unwrap();
        // With the copy that decoding makes.
        assert!(shown() >= frame.capacity() + COME, "{version}: {}", shown());
        let before = shown();
        assert_eq!(callee.opener.split(COME).bytes(), COME);
        assert_eq!(shown(), before - COME);
        // One that waits for the next frame holds nothing of the last.
        assert!(callee.opener.read(&mut tokio::io::empty()).await.is_err());
        assert_eq!(shown(), 0);
    }
}

#[tokio::test]
async fn what_speaks_something_else_is_named() {
    let link = b"\0\0\0\x40\x01\0\0\0\0\0\0\0";
    for (said, named) in [
        (&b"GET / HTTP/1.1\r\n"[..], Some("HTTP")),
        (b"HTTP/1.1 400 Bad Request\r\n", Some("HTTP")),
        (b"\x16\x03\x01\x02\0\x01\0", Some("TLS")),
        (b"\x15\x03\x01\0\x02\x02\x32", Some("TLS")),
        (b"\xA7\x47\x01\0", Some("the client protocol")),
        (link, Some("the link protocol")),
        (b"SSH-2.0", Some("SSH")),
        (b"\0\x3cGGPEEP\x01", None),
        (b"\xff\xffGGPEER\x01", None),
        (b"\0\x01GGPEER\x01", None),
        (b"rub", None),
    ] {
        let (mut near, mut far) = duplex(1024);
        near.write_all(said).await.unwrap();
        near.shutdown().await.unwrap();
        let error = read_hello(&mut far).await.unwrap_err();
        let expected = named.map_or(HelloError::Malformed, HelloError::Foreign);
        assert!(
            matches!(&error, HandshakeError::Hello(error) if *error == expected),
            "{said:?}: {error:?}"
        );
    }
    // Who says nothing is nothing.
    let (mut near, mut far) = duplex(1024);
    near.shutdown().await.unwrap();
    let error = read_hello(&mut far).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Io(_)), "{error:?}");
}

proptest::proptest! {
    /// Whatever a stranger says, behind a HELLO or instead of it, it learns one at most.
    #[test]
    fn rubbish_is_refused(
        greets in proptest::bool::ANY,
        version in 0_u8..4,
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
    ) {
        let keys = keys(KEY);
        let mut said = if greets { hello(&keys, "b", version).encode() } else { Vec::new() };
        said.extend_from_slice(&bytes);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let own = hello(&keys, "a", 2);
        let len = own.encode().len();
        let mut stream = tokio::io::join(&*said, Vec::new());
        let answered = runtime.block_on(answer(&mut stream, &keys, own));
        assert!(answered.is_err());
        let (_, learned) = stream.into_inner();
        assert!(learned.is_empty() || learned.len() == len);
    }
}
