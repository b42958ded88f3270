//! Golden vectors, and what a ring promises.

use super::*;
use proptest::prelude::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn numbered(weights: &[u8]) -> Vec<(SocketAddr, u8)> {
    let numbered = |(n, &weight)| (address(&format!("10.0.0.{}:9000", n + 1)), weight);
    weights.iter().enumerate().map(numbered).collect()
}

/// Counts the keys from 1 to `keys` that each endpoint owns.
fn shares(endpoints: &[(SocketAddr, u8)], keys: u64) -> Vec<u64> {
    let ring = Ring::new(endpoints);
    let mut counts = vec![0; endpoints.len()];
    for key in 1..=keys {
        counts[ring.owner(key).unwrap()] += 1;
    }
    counts
}

/// Generates distinct endpoints in any order, with weights.
fn endpoints(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(SocketAddr, u8)>> {
    let weight = prop_oneof![1_u8..=MAX_FINE_WEIGHT, 1_u8..=100];
    prop::collection::hash_map(1_u8..=250, weight, count).prop_map(|endpoints| {
        let endpoint = |(host, weight)| (address(&format!("10.1.0.{host}:9000")), weight);
        endpoints.into_iter().map(endpoint).collect()
    })
}

/// If these change, players of a running deployment move at the upgrade.
#[test]
fn golden_vectors() {
    for (bytes, position) in [
        (&b""[..], GOLDEN[0]),
        (&42_u64.to_be_bytes()[..], GOLDEN[1]),
        (&b"10.0.0.1:9000#\0\0\0\0"[..], GOLDEN[2]),
    ] {
        assert_eq!(position_of(bytes), position, "{:#x}", position_of(bytes));
    }
    let keys = [1, 2, 3, 4, 5, 42, 1_000_000, u64::MAX];
    let owners = |endpoints: &[(SocketAddr, u8)]| {
        let ring = Ring::new(endpoints);
        keys.map(|key| ring.owner(key).unwrap())
    };
    assert_eq!(owners(&numbered(&[1, 1, 1])), OWNERS[0]);
    assert_eq!(owners(&numbered(&[1, 2, 7])), OWNERS[1]);
    assert_eq!(owners(&numbered(&[100, 50, 1])), OWNERS[2]);
    let six = [(address("[::1]:7"), 1), (address("[2001:db8::1]:7"), 1)];
    assert_eq!(owners(&six), OWNERS[3]);
}

/// Made by a second implementation, in another language.
const GOLDEN: [u64; 3] = [
    0xEFD0_1F60_BA99_2926,
    0x641D_EDE4_F097_3E8C,
    0x8580_A46A_925B_4566,
];

const OWNERS: [[usize; 8]; 4] = [
    [0, 2, 2, 0, 1, 0, 0, 2],
    [2, 2, 1, 2, 1, 0, 2, 2],
    [0, 0, 1, 0, 1, 0, 0, 0],
    [0, 0, 1, 1, 1, 1, 1, 0],
];

#[test]
fn equal_endpoints_have_about_equal_shares() {
    for (count, off) in [(2, 0.1), (3, 0.15), (10, 0.25), (100, 0.35)] {
        let fair = 1_000.0;
        for share in shares(&numbered(&vec![1; count]), 1_000 * count as u64) {
            assert!(
                (share as f64 / fair - 1.0).abs() < off,
                "{share} of {count}"
            );
        }
    }
}

#[test]
fn weights_are_honoured() {
    let sets: [&[u8]; 4] = [&[1, 2, 3], &[1, 10], &[100, 50, 25], &[100, 100, 10]];
    for weights in sets {
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let shares = shares(&numbered(weights), 30_000);
        for (&share, &weight) in shares.iter().zip(weights) {
            let fair = 30_000.0 * f64::from(weight) / total;
            assert!(
                (share as f64 / fair - 1.0).abs() < 0.2,
                "{weights:?} {shares:?}"
            );
        }
    }
}

#[test]
fn a_fourth_endpoint_takes_about_a_quarter() {
    let (three, four) = (numbered(&[1; 3]), numbered(&[1; 4]));
    let (before, after) = (Ring::new(&three), Ring::new(&four));
    let moved = (1..=10_000).filter(|&user| before.owner(user) != after.owner(user));
    let moved: Vec<u64> = moved.collect();
    assert!((2_000..3_000).contains(&moved.len()), "{}", moved.len());
    assert!(moved.iter().all(|&user| after.owner(user) == Some(3)));
}

#[test]
fn the_size_is_bounded() {
    let points = |weights: &[u8]| Ring::new(&numbered(weights)).points.vnodes();
    assert_eq!(points(&[1]), 160);
    assert_eq!(points(&[10, 1]), 1_760);
    assert_eq!(points(&[100; 100]), 160_000);
    assert_eq!(points(&[11, 1]), 192);
}

#[test]
fn a_ring_of_nothing() {
    let ring = Ring::new(&[]);
    assert_eq!(ring.owner(1), None);
    assert_eq!(ring.owner_among(1, |_| true), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_is_the_same_ring(sorted in endpoints(1..6), seed in any::<u64>(), key in any::<u64>()) {
        let mut shuffled = sorted.clone();
        shuffled.sort_by_key(|(address, _)| position_of(format!("{address}{seed}").as_bytes()));
        let (a, b) = (Ring::new(&sorted), Ring::new(&shuffled));
        for key in (0..200).map(|n| key.wrapping_add(n)) {
            prop_assert_eq!(sorted[a.owner(key).unwrap()], shuffled[b.owner(key).unwrap()]);
        }
    }

    /// A new endpoint takes keys, and none moves between the others, as long as it does not make
    /// the ring a coarse one.
    #[test]
    fn keys_move_only_to_the_new_one(old in endpoints(1..6), weight in 1_u8..=100) {
        let coarse = old.iter().any(|(_, weight)| *weight > MAX_FINE_WEIGHT);
        let weight = if coarse { weight } else { weight.min(MAX_FINE_WEIGHT) };
        let mut new = old.clone();
        new.push((address("10.2.0.1:9000"), weight));
        let (before, after) = (Ring::new(&old), Ring::new(&new));
        for key in 0..500 {
            let owner = after.owner(key);
            prop_assert!(owner == before.owner(key) || owner == Some(old.len()));
        }
    }

    /// Passing over endpoints is the same as a ring without them: only their keys move.
    #[test]
    fn failover_is_a_ring_without_the_dead(all in endpoints(2..7), mask in any::<u8>()) {
        let ring = Ring::new(&all);
        let coarse = |set: &[(SocketAddr, u8)]| set.iter().any(|(_, w)| *w > MAX_FINE_WEIGHT);
        let alive = |index: usize| mask & (1 << index) != 0;
        let left: Vec<_> = (0..all.len()).filter(|&n| alive(n)).map(|n| all[n]).collect();
        let without = Ring::new(&left);
        for key in 0..300 {
            let owner = ring.owner(key).unwrap();
            let stand_in = ring.owner_among(key, alive);
            prop_assert_eq!(stand_in.is_some(), !left.is_empty());
            if alive(owner) {
                prop_assert_eq!(stand_in, Some(owner));
            }
            if coarse(&all) == coarse(&left) {
                let expected = without.owner(key).map(|index| left[index]);
                prop_assert_eq!(stand_in.map(|index| all[index]), expected);
            }
        }
    }
}
