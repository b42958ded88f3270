//! Which frames are timed: one in [`SAMPLED`]. For the others no clock is asked.
//!
//! Hot path.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::labels::labels;

/// Frames of one way of a worker of which one is timed.
pub const SAMPLED: u64 = 1024;

/// After so long another frame may be timed in the place of one that is not written.
const LOST: Duration = Duration::from_secs(30);

/// Way of a frame through the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names suffice")]
pub enum Way {
    ToBackend,
    ToClient,
}

labels!(Way { ToBackend => "to_backend", ToClient => "to_client", });

/// Says when a frame is due to be timed.
#[derive(Debug, Default)]
pub struct Sampler(Cell<u64>);

impl Sampler {
    /// Returns the time where a frame is due, `frames` having come so far.
    #[inline]
    pub fn due(&self, frames: u64) -> Option<Instant> {
        let round = frames / SAMPLED;
        (round != self.0.get()).then(|| self.begin(round))
    }

    #[cold]
    fn begin(&self, round: u64) -> Instant {
        self.0.set(round);
        Instant::now()
    }
}

/// A frame that is timed and still to be written, with what is written before it.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    read_at: Instant,
    bytes: usize,
}

impl Sample {
    /// The frame came at `read_at` and is the last of `bytes` that wait.
    pub fn new(read_at: Instant, bytes: usize) -> Sample {
        Sample { read_at, bytes }
    }

    /// Tells whether it waits for so long that it may never be written: its connection may be gone.
    pub fn is_lost(&self) -> bool {
        self.read_at.elapsed() > LOST
    }

    /// Bytes were written. Returns when the frame came, if it is among them.
    pub fn written(&mut self, bytes: usize) -> Option<Instant> {
        self.bytes = self.bytes.saturating_sub(bytes);
        (self.bytes == 0).then_some(self.read_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_in_so_many_is_due() {
        let sampler = Sampler::default();
        let due = |frames| sampler.due(frames).is_some();
        assert!(!due(0) && !due(SAMPLED - 1));
        assert!(due(SAMPLED) && !due(SAMPLED) && !due(2 * SAMPLED - 1));
        // A large read has passed several rounds.
        assert!(due(5 * SAMPLED + 7) && !due(5 * SAMPLED + 8));
    }

    #[test]
    fn a_sample_is_written_with_its_last_byte() {
        let at = Instant::now();
        let mut sample = Sample::new(at, 10);
        assert_eq!(
            (sample.written(0), sample.written(9), sample.written(4)),
            (None, None, Some(at))
        );
    }
}
