//! Room for what comes from another gateway, counted as it comes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::memory::{self, Held, Part};

/// A frame may take so many bytes unasked while memory is not scarce.
const UNASKED: usize = 64 * 1024;
/// Time between two looks at whether there is room.
const PAUSE: Duration = Duration::from_millis(50);
/// Time in which others may give back what a large frame needs.
const PATIENCE: Duration = Duration::from_secs(2);

/// A buffer grows by at least so many bytes, where so many are to come.
const STEP: usize = 64 * 1024;

/// There has been no room for a large frame for long.
#[derive(Debug, thiserror::Error)]
#[error("memory is short, and there is no room for what it sends")]
pub struct NoRoom;

/// The memory that a connection's input takes.
pub(super) struct Room {
    held: Held,
    /// The same, for whoever decides which connection has to go.
    shown: Arc<AtomicUsize>,
}

impl Room {
    pub(super) fn new() -> Room {
        Room {
            held: Held::new(Part::Peers, 0),
            shown: Arc::default(),
        }
    }

    /// Returns where the bytes are shown.
    pub(super) fn shown(&self) -> &Arc<AtomicUsize> {
        &self.shown
    }

    /// Counts `bytes` in place of what was counted before, once there is room for what is new.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(super) async fn grow(&mut self, bytes: usize) -> io::Result<()> {
        let more = bytes.saturating_sub(self.held.bytes());
        let since = Instant::now();
        while (more > UNASKED || memory::is_scarce()) && !memory::admits(more) {
            if more > UNASKED && since.elapsed() >= PATIENCE {
                return Err(io::Error::other(NoRoom));
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.set(bytes);
        Ok(())
    }

    /// Lets `buffer`, which is to have `len` bytes, grow for those that come next: by half of what has come, whatever
    /// length was claimed.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(super) async fn extend(&mut self, buffer: &mut Vec<u8>, len: usize) -> io::Result<()> {
        let more = (buffer.len() / 2).max(STEP).min(len - buffer.len());
        self.grow(buffer.len() + more).await?;
        buffer.reserve_exact(more);
        Ok(())
    }

    /// Counts `bytes` in place of what was counted before.
    pub(super) fn set(&mut self, bytes: usize) {
        self.held.set(bytes);
        self.show();
    }

    /// Makes so many of the bytes another holder's.
    pub(super) fn split(&mut self, bytes: usize) -> Held {
        let held = self.held.split(bytes);
        self.show();
        held
    }

    fn show(&self) {
        self.shown.store(self.held.bytes(), Relaxed);
    }
}
