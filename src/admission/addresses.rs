//! Connections of each address, and how often new ones come. Asked once a connection, and only where a
//! limit for addresses is configured.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::source_key;
use crate::session::rate::{Bucket, Nanos};

/// Parts of the table, so that workers rarely wait for each other.
const SHARDS: usize = 16;
/// Addresses without a connection that a shard remembers: 65,536 in all, some 4 MiB.
const MOST_IDLE: usize = 4096;

/// The limits of one address; 0: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AddressLimits {
    pub(super) connections: usize,
    pub(super) per_second: u64,
    /// IPv6 addresses count together that have so many bits in common.
    pub(super) ipv6_prefix: u8,
}

/// All addresses. Hashed with a key of its own, because remote ends choose addresses.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<u128, Entry>,
    /// When it has so many entries, idle ones are looked for.
    sweep_at: usize,
}

#[derive(Debug, Default)]
struct Entry {
    connections: u32,
    newcomers: Bucket,
}

/// Guard of a connection that counts for its address.
#[derive(Debug)]
pub struct AddressSeat {
    addresses: Arc<Addresses>,
    key: u128,
}

impl Drop for AddressSeat {
    fn drop(&mut self) {
        let mut shard = self.addresses.shard(self.key);
        if let Some(entry) = shard.entries.get_mut(&self.key) {
            entry.connections = entry.connections.saturating_sub(1);
        }
    }
}

impl AddressLimits {
    fn are_none(self) -> bool {
        self.connections == 0 && self.per_second == 0
    }

    fn key(self, address: IpAddr) -> u128 {
        source_key(address, self.ipv6_prefix)
    }
}

impl Addresses {
    fn shard(&self, key: u128) -> MutexGuard<'_, Shard> {
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        let shard = self.shards[shard].lock();
        shard.unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a new connection, unless its address has too many, or had too many of late.
    ///
    /// # Errors
    /// It has.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        limits: AddressLimits,
        now: Nanos,
    ) -> Result<Option<AddressSeat>, ()> {
        if limits.are_none() {
            return Ok(None);
        }
        let key = limits.key(address);
        let mut shard = self.shard(key);
        shard.sweep(now);
        let entry = shard.entries.entry(key).or_default();
        if limits.connections != 0 && entry.connections as usize >= limits.connections {
            return Err(());
        }
        if limits.per_second != 0 {
            let after = entry.newcomers.after(now, 1, limits.per_second);
            entry.newcomers = after.map_err(drop)?;
        }
        entry.connections += 1;
        Ok(Some(AddressSeat {
            addresses: Arc::clone(self),
            key,
        }))
    }
}

impl Shard {
    /// Forgets addresses without a connection when there may be too many: first those that nothing is known
    /// of, then all of them. It costs a step for each entry that has come since the last time.
    fn sweep(&mut self, now: Nanos) {
        if self.entries.len() < self.sweep_at.max(MOST_IDLE / 2) {
            return;
        }
        self.entries
            .retain(|_, e| e.connections > 0 || !e.newcomers.is_full(now));
        let connected = |e: &&Entry| e.connections > 0;
        let idle = self.entries.len() - self.entries.values().filter(connected).count();
        if idle > MOST_IDLE / 2 {
            self.entries.retain(|_, e| e.connections > 0);
        }
        self.entries.shrink_to(2 * self.entries.len());
        self.sweep_at = self.entries.len() + MOST_IDLE / 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv6Addr;

    const SECOND: Nanos = 1_000_000_000;

    fn limits(connections: usize, per_second: u64) -> AddressLimits {
        AddressLimits {
            connections,
            per_second,
            ipv6_prefix: 64,
        }
    }

    fn held(addresses: &Addresses) -> usize {
        let shards = addresses.shards.iter();
        shards.map(|s| s.lock().unwrap().entries.len()).sum()
    }

    #[test]
    fn ipv6_addresses_of_one_network_count_together() {
        let addresses = Arc::<Addresses>::default();
        let enter = |ip: &str| addresses.enter(ip.parse().unwrap(), limits(1, 0), 0);
        let first = enter("2001:db8::1").unwrap();
        assert!(enter("2001:db8::ffff:2").is_err());
        let other = enter("2001:db8:0:1::1").unwrap();
        let mapped = enter("::ffff:192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_err());
        assert!(enter("192.0.2.2").is_ok());
        drop((first, other, mapped));
        assert!(enter("2001:db8::ffff:2").is_ok());
    }

    #[test]
    fn the_table_stays_small_whoever_comes() {
        let addresses = Arc::<Addresses>::default();
        let mut seats = Vec::new();
        for n in 0..400_000_u128 {
            let ip = IpAddr::V6(Ipv6Addr::from_bits(n << 64));
            // All of them within a moment, so that each has something to be remembered.
            let seat = addresses.enter(ip, limits(9, 1), n as Nanos).unwrap();
            if n % 1000 == 0 {
                seats.push((ip, seat));
            }
        }
        assert!(held(&addresses) <= seats.len() + SHARDS * MOST_IDLE);
        // Those with a connection are never forgotten.
        for (ip, _) in &seats {
            assert!(addresses.enter(*ip, limits(1, 0), SECOND).is_err());
        }
    }

    #[test]
    fn without_a_limit_nothing_is_kept() {
        let addresses = Arc::<Addresses>::default();
        let seat = addresses.enter("192.0.2.1".parse().unwrap(), limits(0, 0), 0);
        assert!(seat.unwrap().is_none());
        assert_eq!(held(&addresses), 0);
    }

    proptest! {
        #[test]
        fn no_address_ever_has_more_than_its_limit(
            most in 1_usize..4,
            steps in prop::collection::vec((0_u8..4, any::<bool>(), 0_usize..8), 1..200),
        ) {
            let addresses = Arc::<Addresses>::default();
            let mut seats: Vec<(u8, AddressSeat)> = Vec::new();
            for (n, comes, which) in steps {
                let has = seats.iter().filter(|(of, _)| *of == n).count();
                if comes {
                    let seat = addresses.enter(IpAddr::from([192, 0, 2, n]), limits(most, 0), 0);
                    prop_assert_eq!(seat.is_ok(), has < most);
                    seats.extend(seat.ok().flatten().map(|seat| (n, seat)));
                } else if which < seats.len() {
                    seats.swap_remove(which);
                }
            }
        }
    }
}
