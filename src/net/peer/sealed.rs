//! Frames of both directions of a connection, in the version that its ends have agreed on.

use std::io;

use tokio::io::AsyncRead;

use super::{noise, version_1};

/// The sending direction.
pub struct Sealer(pub(super) Sealing);

/// The receiving direction.
pub struct Opener(pub(super) Opening);

pub(super) enum Sealing {
    Version1(Box<version_1::Sealer>),
    Noise(noise::Sealer),
}

pub(super) enum Opening {
    Version1(Box<version_1::Opener>),
    Noise(noise::Opener),
}

impl Sealer {
    /// Seals a frame; returns the bytes to send, or nothing if the nonces are used up.
    pub fn seal(&mut self, frame: &[u8]) -> Vec<u8> {
        let (mut all, mut at) = (Vec::new(), 0);
        loop {
            let part = self.seal_part(frame, &mut at);
            if part.is_empty() {
                return part;
            }
            all.extend_from_slice(&part);
            if at == frame.len() {
                return all;
            }
        }
    }

    /// Seals what follows the first `at` bytes of a frame, as much as is sent in one piece, and moves `at` behind that.
    /// Returns the bytes to send, or nothing if the nonces are used up.
    pub fn seal_part(&mut self, frame: &[u8], at: &mut usize) -> Vec<u8> {
        match &mut self.0 {
            Sealing::Version1(sealer) => {
                *at = frame.len();
                sealer.seal(frame)
            }
            Sealing::Noise(sealer) => sealer.seal_part(frame, at),
        }
    }
}

impl Opener {
    /// Reads the next frame.
    ///
    /// # Errors
    /// The connection has failed or ended, or what comes is not the next frame of the other end.
    pub async fn read<R>(&mut self, input: &mut R) -> io::Result<Vec<u8>>
    where
        R: AsyncRead + Unpin,
    {
        match &mut self.0 {
            Opening::Version1(opener) => opener.read(input).await,
            Opening::Noise(opener) => opener.read(input).await,
        }
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}
