//! Frames of both directions of a connection, in the version that its ends have agreed on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::io::AsyncRead;

use super::room::Room;
use super::{noise, version_1};
use crate::memory::Held;

/// The sending direction.
pub struct Sealer(pub(super) Sealing);

/// The receiving direction.
pub struct Opener {
    opening: Opening,
    room: Room,
}

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
    pub(super) fn new(opening: Opening) -> Opener {
        let room = Room::new();
        Opener { opening, room }
    }

    /// Reads the next frame. Its memory is counted as it comes, and that of a copy, until the next one is read.
    ///
    /// # Errors
    /// The connection has failed or ended, what comes is not the next frame of the other end, or there has been no
    /// room for it for long ([`NoRoom`](super::NoRoom)).
    pub async fn read<R>(&mut self, input: &mut R) -> io::Result<Vec<u8>>
    where
        R: AsyncRead + Unpin,
    {
        let room = &mut self.room;
        room.set(0);
        let frame = match &mut self.opening {
            Opening::Version1(opener) => opener.read(input, room).await?,
            Opening::Noise(opener) => opener.read(input, room).await?,
        };
        // It is copied when it is decoded.
        room.grow(frame.capacity() + frame.len()).await?;
        Ok(frame)
    }

    /// Makes so many of the bytes that are counted for the last frame another holder's.
    pub fn split(&mut self, bytes: usize) -> Held {
        self.room.split(bytes)
    }

    /// Returns where the bytes are shown that are counted for the frame under way.
    pub fn shown(&self) -> &Arc<AtomicUsize> {
        self.room.shown()
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
