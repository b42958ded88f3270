//! Addresses that no other test is at.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

/// Returns a loopback address that was not returned before, with port 0.
///
/// A gateway goes on dialling an endpoint that is gone. If all backends were at 127.0.0.1, the port might be another
/// test's backend by then, which would meet a link that it knows nothing of.
pub(crate) fn own() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let network = Ipv4Addr::new(127, 64, 0, 0);
    (Ipv4Addr::from_bits(network.to_bits() + number), 0).into()
}

/// Returns a loopback address with a port, for something that others must know before it listens: no other test of
/// this process gets it, and no other process that runs.
#[allow(dead_code, reason = "each test crate uses its own part of this")]
pub(crate) fn fixed() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(7001);
    // Process ids have 22 bits.
    let base = Ipv4Addr::new(127, 128, 0, 0).to_bits();
    let ip = Ipv4Addr::from_bits(base + (std::process::id() & 0x7F_FFFF));
    let port = NEXT.fetch_add(1, Ordering::Relaxed) as u16;
    SocketAddr::new(IpAddr::V4(ip), port)
}
