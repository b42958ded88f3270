//! Room for what comes from another gateway, counted as it comes.

use std::io;
use std::time::{Duration, Instant};

use crate::memory::{self, Held, Part};

/// A frame may take so many bytes unasked while memory is not scarce.
const UNASKED: usize = 64 * 1024;
/// Time between two looks at whether there is room.
const PAUSE: Duration = Duration::from_millis(50);
/// Time in which others may give back what a large frame needs.
const PATIENCE: Duration = Duration::from_secs(2);

/// The memory that a connection's input takes.
pub(super) struct Room(Held);

impl Room {
    pub(super) fn new() -> Room {
        Room(Held::new(Part::Peers, 0))
    }

    /// Counts `bytes` in place of what was counted before, once there is room for twice what is new: a frame is copied
    /// when it is decoded.
    ///
    /// # Errors
    /// There has been no room for a large frame for long.
    pub(super) async fn grow(&mut self, bytes: usize) -> io::Result<()> {
        let more = bytes.saturating_sub(self.0.bytes());
        let since = Instant::now();
        while (more > UNASKED || memory::is_scarce()) && !memory::admits(2 * more) {
            if more > UNASKED && since.elapsed() >= PATIENCE {
                return Err(io::Error::other(
                    "memory is short, and there is no room for what it hands over",
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.set(bytes);
        Ok(())
    }

    /// Counts `bytes` in place of what was counted before.
    pub(super) fn set(&mut self, bytes: usize) {
        self.0.set(bytes);
    }
}
