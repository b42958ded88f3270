//! Tables and properties of the link codec.

use super::*;
use proptest::prelude::*;

#[test]
fn the_layout_is_that_of_the_document() {
    let mut out = Vec::new();
    encode(&mut out, Kind::Bind, 0x0102_0304_0506_0708, b"xy");
    assert_eq!(
        out,
        [0, 0, 0, 2, 6, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, b'x', b'y']
    );
}

#[test]
fn hello_is_the_json_of_the_document() {
    let hello = Hello {
        protocol: 1,
        gateway_id: "gw-0".into(),
        service_type: "game".into(),
        resume_window_ms: 30_000,
        ping_interval_ms: 5_000,
        token: None,
        trace_threshold: None,
    };
    let json = serde_json::to_string(&hello).unwrap();
    assert_eq!(
        json,
        r#"{"protocol":1,"gateway_id":"gw-0","service_type":"game","resume_window_ms":30000,"ping_interval_ms":5000}"#
    );
    let with_more = json.replace('}', r#","later":[1]}"#);
    assert_eq!(serde_json::from_str::<Hello>(&with_more).unwrap(), hello);
}

#[test]
fn a_payload_over_the_limit_is_known_from_the_header() {
    let bytes = header(Kind::Data, 1, 11);
    assert_eq!(
        decode(&bytes, 10),
        Err(FrameError::PayloadTooLarge { len: 11, limit: 10 })
    );
    assert_eq!(decode(&bytes, 11), Ok(Decoded::Need(27)));
}

#[test]
fn multicast_that_lies_about_its_count() {
    for count in [1_u32, 2, u32::MAX] {
        let mut payload = count.to_be_bytes().to_vec();
        payload.extend([0; 7]);
        assert!(Multicast::decode(&payload).is_err(), "{count}");
    }
    assert!(Multicast::decode(&[0, 0, 0]).is_err());
    let none = Multicast::decode(&[0, 0, 0, 0, 9]).unwrap();
    assert_eq!((none.sessions().count(), none.payload), (0, &[9][..]));
}

#[test]
fn features_are_the_json_of_the_document() {
    let named = |json: &str| Features::decode(json.as_bytes()).map(|features| features.transfer);
    assert_eq!(named(r#"{"features":["transfer"]}"#), Ok(true));
    assert_eq!(
        named(r#"{"features":["later","trans\u0066er"],"more":{}}"#),
        Ok(true)
    );
    assert_eq!(named(r#"{"features":[]}"#), Ok(false));
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"features":"transfer"}"#,
        r#"{"features":[1]}"#,
        "\u{0}",
    ] {
        assert!(named(bad).is_err(), "{bad}");
    }
    for features in [Features { transfer: true }, Features::default()] {
        assert_eq!(Features::decode(&features.encode()), Ok(features));
    }
}

proptest! {
    #[test]
    fn a_frame_cut_at_every_byte(payload in proptest::collection::vec(any::<u8>(), 0..200), session_id in any::<u64>()) {
        let mut bytes = Vec::new();
        encode(&mut bytes, Kind::Data, session_id, &payload);
        let whole = bytes.len();
        bytes.extend_from_slice(b"rest");
        for cut in 0..whole {
            match decode(&bytes[..cut], 1000) {
                Ok(Decoded::Need(n)) => prop_assert!(n > cut && n <= whole),
                other => prop_assert!(false, "{cut}: {other:?}"),
            }
        }
        let frame = Frame { kind: 0, session_id, payload: &payload };
        prop_assert_eq!(decode(&bytes, 1000), Ok(Decoded::Frame(frame, whole)));
    }

    #[test]
    fn payloads_come_back(realm_id in any::<u32>(), user_id in any::<u64>(), transport in any::<u8>(), flags in any::<u8>(),
                          epoch in any::<u32>(), client in ".{0,60}", previous in ".{0,60}",
                          state in proptest::collection::vec(any::<u8>(), 0..20), ids in proptest::collection::vec(any::<u64>(), 0..20)) {
        let transferred = flags & OPEN_TRANSFERRED != 0;
        let state: &[u8] = if transferred { &state } else { &[] };
        let open = Open { realm_id, user_id, transport, flags, epoch, client: &client, previous_gateway: &previous, state };
        let mut bytes = Vec::new();
        open.encode(&mut bytes);
        for cut in 0..bytes.len() - state.len() {
            prop_assert!(Open::decode(&bytes[..cut]).is_err());
        }
        prop_assert_eq!(Open::decode(&bytes), Ok(open));
        let assign = Assign { service: &client[..client.floor_char_boundary(200)], endpoint: &previous[..previous.floor_char_boundary(200)] };
        let mut bytes = Vec::new();
        assign.encode(&mut bytes);
        for cut in 0..bytes.len() {
            prop_assert!(Assign::decode(&bytes[..cut]).is_err());
        }
        prop_assert_eq!(Assign::decode(&bytes), Ok(assign));
        let transfer = Transfer { endpoint: assign.service };
        let mut bytes = Vec::new();
        transfer.encode(&mut bytes);
        for cut in 0..bytes.len() {
            prop_assert!(Transfer::decode(&bytes[..cut]).is_err());
        }
        prop_assert_eq!(Transfer::decode(&bytes), Ok(transfer));
        let bind = Bind { user_id, realm_id };
        prop_assert_eq!(Bind::decode(&bind.encode()), Ok(bind));
        let mut bytes = Vec::new();
        Multicast::encode(&mut bytes, &ids, b"all");
        let multicast = Multicast::decode(&bytes).unwrap();
        prop_assert_eq!(multicast.sessions().collect::<Vec<_>>(), ids);
        prop_assert_eq!(multicast.payload, b"all");
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, 100);
        let _ = Open::decode(&bytes);
        let _ = Bind::decode(&bytes);
        let _ = Features::decode(&bytes);
        let _ = Assign::decode(&bytes);
        let _ = Transfer::decode(&bytes);
        let _ = Multicast::decode(&bytes).map(|m| m.sessions().count());
    }
}
