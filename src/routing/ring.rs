//! The ring of `consistent_hash`: crate `consistent_hash_ring` with positions of our own.
//!
//! Every gateway of every release must place keys and endpoints alike, or players move. So what is
//! hashed are explicit bytes with a fixed function, the ring does not depend on the order of the
//! rule, and golden vectors in the tests hold all of that in place. An endpoint's points depend on
//! nothing but itself (see [`COARSE_POINTS_PER_WEIGHT`] for the one exception), so a new endpoint
//! takes keys from the others, and no key moves between those.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::SocketAddr;

use consistent_hash_ring::RingBuilder;

/// Points on the ring for each unit of weight. With 160, equal endpoints get shares that differ
/// by a few percent.
pub const POINTS_PER_WEIGHT: u32 = 160;
/// The largest weight with that many points. A ring with a heavier endpoint has
/// [`COARSE_POINTS_PER_WEIGHT`] for each of its endpoints.
pub const MAX_FINE_WEIGHT: u8 = 10;
/// Points for each unit of weight in such a ring: it bounds an endpoint to 1,600 points.
pub const COARSE_POINTS_PER_WEIGHT: u32 = 16;

/// The endpoint that each key belongs to. Endpoints are known by their index in the slice that the ring
/// was made of.
pub struct Ring {
    points: consistent_hash_ring::Ring<Point, PlaceBuilder>,
}

impl Ring {
    /// Makes the ring of these endpoints and their weights, 1 to 100. Their order decides only the
    /// indices of the answers.
    pub fn new(endpoints: &[(SocketAddr, u8)]) -> Ring {
        let heaviest = endpoints.iter().map(|(_, weight)| *weight).max();
        let points_per_weight = match heaviest {
            Some(weight) if weight > MAX_FINE_WEIGHT => COARSE_POINTS_PER_WEIGHT,
            _ => POINTS_PER_WEIGHT,
        };
        let mut points = Vec::new();
        for (owner, (address, weight)) in endpoints.iter().enumerate() {
            let mut label = address.to_string().into_bytes();
            label.push(b'#');
            let name_len = label.len();
            for point in 0..u32::from(*weight) * points_per_weight {
                label.truncate(name_len);
                label.extend_from_slice(&point.to_be_bytes());
                let position = position_of(&label);
                points.push(Point { position, owner });
            }
        }
        // In order of position the crate only appends; in any other it would shift its whole list
        // for each point. Where two points meet, the address decides, not the order of the rule.
        points.sort_unstable_by_key(|p| (p.position, endpoints[p.owner].0));
        points.dedup_by_key(|p| p.position);
        let points = RingBuilder::new(PlaceBuilder)
            .vnodes(1)
            .nodes_iter(points)
            .build();
        Ring { points }
    }

    /// Returns the owner of a key; none if the ring is empty.
    pub fn owner(&self, key: u64) -> Option<usize> {
        self.points.try_get(Key(key)).map(|point| point.owner)
    }

    /// Returns the owner of a key on a ring of only those endpoints that `accept` takes: the first
    /// accepted one from the key's position on. The keys of accepted endpoints stay where they are.
    ///
    /// The cost is a look-up for each point passed over, so it grows as few are accepted.
    pub fn owner_among(&self, key: u64, accept: impl Fn(usize) -> bool) -> Option<usize> {
        let mut point = self.points.try_get(Key(key))?;
        for _ in 0..self.points.vnodes() {
            if accept(point.owner) {
                return Some(point.owner);
            }
            let next = Position(point.position.wrapping_add(1));
            point = self.points.try_get(next)?;
        }
        None
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring of {} points", self.points.vnodes())
    }
}

/// A node of the crate's ring with weight 1. It carries its position, which its hash repeats.
#[derive(Clone, PartialEq, Eq)]
struct Point {
    position: u64,
    owner: usize,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Position(self.position).hash(state);
    }
}

/// A position on the ring, as hashed value.
struct Position(u64);

impl Hash for Position {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from(self.0));
    }
}

/// A user, session or realm id.
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0.to_be_bytes());
    }
}

/// Returns the position of bytes on the ring: FNV-1a because it is simple in every language, then the
/// finaliser of MurmurHash3 because FNV alone leaves consecutive ids close together.
fn position_of(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

/// Makes [`Place`]s.
#[derive(Clone)]
struct PlaceBuilder;

impl BuildHasher for PlaceBuilder {
    type Hasher = Place;

    fn build_hasher(&self) -> Place {
        Place(0)
    }
}

/// The crate asks for positions through this. Each of the types above writes once.
struct Place(u64);

impl Hasher for Place {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = position_of(bytes);
    }

    /// Only [`Position`] writes this.
    fn write_u128(&mut self, position: u128) {
        self.0 = position as u64;
    }

    /// Only the crate writes this, to find further points of a node; ours have one each.
    fn write_u64(&mut self, position: u64) {
        self.write(&position.to_be_bytes());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
