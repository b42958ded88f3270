//! What the kernel does for connections.
//!
//! Paths that die silently: a cable, a node or a NAT entry is gone, and nobody says FIN or RST. Without this a
//! connection in use is noticed after the kernel's retransmissions, 15 minutes, and an idle one never.
//!
//! Remote ends that do not read: without this the kernel holds for each of them as much as `net.ipv4.tcp_wmem`
//! allows, 4 MiB, and no queue of ours ever fills up.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// The shortest interval of the kernel's probes.
const SECOND: Duration = Duration::from_secs(1);

/// Bytes of a connection that the kernel takes before the network has room for them. What is under way does not
/// count, so a long round trip throttles nobody; with a bound on the send buffer it would.
pub const UNSENT_BYTES: u32 = 32 * 1024;

/// Has the kernel take no more than [`UNSENT_BYTES`], and the rest of a segment, that it cannot send yet.
/// Connections that a listener accepts inherit it.
///
/// # Errors
/// The kernel refuses it.
pub fn bound_unsent(socket: &SockRef<'_>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    Ok(())
}

/// Has the kernel fail a connection whose remote end has acknowledged nothing for `dead_after`, neither data nor
/// probes, or has had no room for data for so long (RFC 5482). Zero: never. Connections that a listener
/// accepts inherit it.
///
/// # Errors
/// The kernel refuses it.
pub fn fail_when_dead(socket: SockRef<'_>, dead_after: Duration) -> io::Result<()> {
    if dead_after.is_zero() {
        return Ok(());
    }
    // Two probes at least are unanswered when the time is over.
    let keepalive = TcpKeepalive::new()
        .with_time((dead_after / 2).max(SECOND))
        .with_interval((dead_after / 4).max(SECOND))
        .with_retries(2);
    socket.set_tcp_keepalive(&keepalive)?;
    // Keep-alive rests while data is under way. This holds for data, and takes the place of the retries.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(dead_after))?;
    Ok(())
}
