//! What waits in a session for links that are being opened, and for moves.

use super::state::{OPENING_QUEUE_BYTES, Service, Session, State};

impl<L> Session<L> {
    /// Number of frames that wait for links.
    pub fn waiting(&self) -> u32 {
        let frames = |s: &Service<L>| match &s.state {
            State::Opening(opening) => opening.frames,
            State::Moving(moving) => moving.waiting.frames,
            State::Open(_) | State::Assigned(_) | State::Unbound => 0,
        };
        self.services.iter().map(frames).sum()
    }

    /// Bytes of the buffers that wait for links.
    #[inline]
    pub fn waiting_bytes(&self) -> usize {
        let bytes = |s: &Service<L>| match &s.state {
            State::Opening(opening) => opening.queue.capacity(),
            State::Moving(moving) => moving.waiting.queue.capacity(),
            State::Open(_) | State::Assigned(_) | State::Unbound => 0,
        };
        self.services.iter().map(bytes).sum()
    }

    /// Tells whether so much waits for links that the client should not be read for now.
    pub fn must_wait(&self) -> bool {
        self.services.iter().any(|s| match &s.state {
            State::Opening(opening) => opening.queue.len() >= OPENING_QUEUE_BYTES,
            State::Moving(moving) => moving.waiting.queue.len() >= OPENING_QUEUE_BYTES,
            State::Open(_) | State::Assigned(_) | State::Unbound => false,
        })
    }
}
