//! The bounds, and the check.

use std::collections::BTreeMap;
use std::io::Write;

use crate::player::Transport;

/// Measurements of a transport by their name.
pub(crate) type Measured = BTreeMap<String, u64>;

/// The most of each, of [`TCP`](crate::player::TCP), WebSocket, TLS, and WebSocket in TLS, with one worker in the profile
/// that tests are built in; what is not here must not be. Measured: whoever makes one smaller lowers it.
const BOUNDS: [(&str, [u64; 4]); 9] = [
    ("a round trip: allocations", [4, 4, 6, 6]),
    ("a round trip: epoll_wait", [2, 2, 2, 2]),
    ("a round trip: recvfrom", [2, 2, 2, 2]),
    ("a round trip: sendto", [2, 2, 2, 2]),
    ("a burst of 64 frames: allocations", [4, 4, 6, 6]),
    ("a burst of 64 frames: epoll_wait", [2, 2, 2, 2]),
    ("a burst of 64 frames: recvfrom", [2, 2, 2, 2]),
    ("a burst of 64 frames: sendto", [2, 2, 2, 2]),
    ("an idle session: bytes", [1464, 1736, 4872, 5144]),
];

/// Checks everything that was measured of a transport. A number above its bound fails. One below is said, although the
/// test passes.
pub(crate) fn check(transport: Transport, measured: &Measured) {
    let bounds = BOUNDS.map(|(name, bounds)| (name, bounds[transport.column]));
    let bounds = BTreeMap::from(bounds);
    let mut above = String::new();
    for (name, &number) in measured {
        let bound = bounds.get(name.as_str()).copied().unwrap_or(0);
        if number > bound {
            above += &format!("\n{name}: {number}, at most {bound}");
        }
    }
    for (name, bound) in bounds {
        let number = measured.get(name).copied().unwrap_or(0);
        if number < bound {
            say(&format!(
                "{}, {name}: {number}, so the bound of {bound} may fall",
                transport.name
            ));
        }
    }
    assert!(above.is_empty(), "{above}");
}

/// Says something that a test which passes would keep to itself.
fn say(line: &str) {
    // No test fails because nobody hears it.
    let _ = writeln!(std::io::stderr(), "cost: {line}");
}
