//! Addresses of pods and Services: all of 127.0.0.0/8 is this machine, so each can have one of its
//! own without a network of its own.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};

/// Returns an address that nothing else in this process has. The process's id is in it, so that two test
/// programs at a time do not meet.
///
/// # Panics
/// All 253 are given.
pub(crate) fn fresh() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let last = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(last < u8::MAX, "no address is left");
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high & 63, low, last)
}
