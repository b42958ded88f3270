//! Addresses that no other test is at.

use std::net::{Ipv4Addr, SocketAddr};
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
