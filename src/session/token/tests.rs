use proptest::prelude::*;

use super::*;
use crate::codec::link::Bind;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8] = b"fedcba9876543210fedcba9876543210";

fn body() -> TokenBody {
    TokenBody {
        session_id: 0x0102_0304_0506_0708,
        epoch: 3,
        bound: Bind {
            user_id: 42,
            realm_id: 7,
        },
        newest: Bind {
            user_id: 0,
            realm_id: 9,
        },
        bindings: vec![Binding {
            service: "game".into(),
            endpoint: "10.0.0.7:9300".parse().unwrap(),
        }],
        assigned: Vec::new(),
        owner: "gw-0".into(),
        peer: "10.0.0.1:7001".into(),
        expires: 1_000_000,
    }
}

fn ring(secrets: &[&[u8]]) -> Keyring {
    Keyring::new(secrets).unwrap()
}

/// Neighbours of two releases must understand each other: this changes only with the version.
#[test]
fn a_token_of_version_1_stays_as_it_is() {
    let token = ring(&[SECRET]).seal_with_salt(&body(), *b"0123456789abcdef");
    let hex: String = token.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, include_str!("version_1.hex").trim());
}

#[test]
fn all_keys_open_and_the_newest_makes() {
    let (old, both) = (ring(&[SECRET]), ring(&[OTHER, SECRET]));
    let token = old.seal(&body());
    assert_eq!(both.open(&token, 0), Ok(body()));
    let token = both.seal(&body());
    assert_eq!(old.open(&token, 0), Err(TokenError::UnknownKey));
    assert_eq!(ring(&[OTHER]).open(&token, 0), Ok(body()));
    let own = Keyring::of_this_process();
    assert_eq!(own.open(&own.seal(&body()), 0), Ok(body()));
}

#[test]
fn what_is_not_a_good_token_is_refused() {
    let ring = ring(&[SECRET]);
    let token = ring.seal(&body());
    assert_eq!(ring.open(&token, 999_999), Ok(body()));
    assert_eq!(ring.open(&token, 1_000_000), Err(TokenError::Expired));
    assert_eq!(ring.open(&[], 0), Err(TokenError::Malformed));
    assert_eq!(ring.open(&[1; 3000], 0), Err(TokenError::Malformed));
    let mut other = token.clone();
    other[0] = 2;
    assert_eq!(ring.open(&other, 0), Err(TokenError::UnknownVersion(2)));
    for cut in 0..token.len() {
        assert!(ring.open(&token[..cut], 0).is_err(), "{cut}");
    }
    for bit in 0..token.len() * 8 {
        let mut other = token.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(ring.open(&other, 0).is_err(), "bit {bit}");
    }
}

#[test]
fn secrets_are_checked_and_never_shown() {
    let refused = |secrets: &[&[u8]]| Keyring::new(secrets).unwrap_err();
    assert_eq!(refused(&[]), KeyError::None);
    assert_eq!(refused(&[SECRET, b"short"]), KeyError::Short(2, 5));
    assert_eq!(refused(&[SECRET, OTHER, SECRET]), KeyError::Twice(1, 3));
    assert_eq!(refused(&[SECRET; 17]), KeyError::TooMany(17));
    assert_eq!(format!("{:?}", ring(&[SECRET])), "Keyring of 1");
}

#[test]
fn the_largest_body_fits() {
    let mut large = body();
    let binding = Binding {
        service: "s".repeat(64),
        endpoint: "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535"
            .parse()
            .unwrap(),
    };
    large.bindings = vec![binding; 8];
    large.owner = "h".repeat(253);
    large.peer = format!("{}:65535", "p".repeat(240));
    let ring = ring(&[SECRET]);
    let token = ring.seal(&large);
    assert!(token.len() <= MAX_TOKEN_LEN);
    assert_eq!(ring.open(&token, 0), Ok(large.clone()));
    // Assignments give way.
    large.assigned = vec![large.bindings[0].clone(); 64];
    let token = ring.seal(&large);
    assert!((1..=MAX_TOKEN_LEN).contains(&token.len()));
    let opened = ring.open(&token, 0).unwrap();
    assert_eq!(opened.bindings, large.bindings);
    assert_eq!(opened.assigned, large.assigned[..4]);
}

proptest! {
    #[test]
    fn whatever_is_sealed_is_opened_as_it_was(
        session_id: u64, epoch: u32, ids: [u64; 2], realms: [u32; 2], expires in 1_u64..,
        services in proptest::collection::vec(("[a-z][a-z0-9.-]{0,20}", any::<std::net::SocketAddr>()), 0..8),
        owner in "[a-z0-9-]{1,40}", peer in "[a-z0-9.:]{0,40}",
    ) {
        let bind = |n: usize| Bind { user_id: ids[n], realm_id: realms[n] };
        // A scope is not written out, and no player's backend has one.
        let plain = |mut a: std::net::SocketAddr| {
            if let std::net::SocketAddr::V6(v6) = &mut a {
                v6.set_scope_id(0);
                v6.set_flowinfo(0);
            }
            a
        };
        let bindings = services.into_iter().map(|(service, endpoint)| Binding { service, endpoint: plain(endpoint) });
        let mut bindings: Vec<Binding> = bindings.collect();
        let assigned = bindings.split_off(bindings.len() / 2);
        let body = TokenBody {
            session_id, epoch, bound: bind(0), newest: bind(1), bindings, assigned, owner, peer, expires,
        };
        let ring = ring(&[SECRET]);
        prop_assert_eq!(ring.open(&ring.seal(&body), 0), Ok(body));
    }

    #[test]
    fn rubbish_is_refused(mut token in proptest::collection::vec(any::<u8>(), 0..300), known: bool) {
        let ring = ring(&[SECRET]);
        if known && token.len() > 5 {
            token[..5].copy_from_slice(&ring.seal(&body())[..5]);
        }
        prop_assert!(ring.open(&token, 0).is_err());
    }
}
