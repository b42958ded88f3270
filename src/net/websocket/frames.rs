//! Where the session's frames end in what is written.

use std::io;

use crate::codec::Decoded;
use crate::codec::client;

/// Returns the length of the frame that these bytes begin, or of its header while that is incomplete.
pub(super) fn frame_len(bytes: &[u8]) -> io::Result<usize> {
    match client::decode(bytes, u32::MAX) {
        Ok(Decoded::Frame(_, len) | Decoded::Need(len)) => Ok(len),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
    }
}

/// Returns the bytes that are missing until [`frame_len`] is reached.
pub(super) fn missing(bytes: &[u8]) -> io::Result<usize> {
    Ok(frame_len(bytes)?.saturating_sub(bytes.len()))
}
