//! Where the session's frames end in messages: a message holds whole ones (protocol 1.6).
//!
//! Hot path: one look at the header of a frame that comes whole.

use crate::codec::client::{self, HEADER_LEN};

/// Place among the session's frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; HEADER_LEN],
    /// Bytes of the header that have come.
    known: u8,
    /// Bytes of the frame that are missing behind its header.
    missing: usize,
}

impl Frames {
    /// Follows the payload of messages.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.missing > 0 {
                let part = self.missing.min(bytes.len());
                self.missing -= part;
                bytes = &bytes[part..];
                continue;
            }
            let known = usize::from(self.known);
            let part = (HEADER_LEN - known).min(bytes.len());
            self.header[known..known + part].copy_from_slice(&bytes[..part]);
            bytes = &bytes[part..];
            self.known += part as u8;
            if usize::from(self.known) == HEADER_LEN {
                let (len, _) = client::peek(|at| self.header[at]);
                (self.known, self.missing) = (0, len - HEADER_LEN);
            }
        }
    }

    /// Tells whether a frame has begun and not ended. Where what came is no frame, its reader says so first.
    pub(super) fn is_cut(&self) -> bool {
        self.known > 0 || self.missing > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::client::{Header, Kind};

    #[test]
    fn frames_end_where_they_say() {
        let mut bytes = Vec::new();
        for len in [0, 1, 300] {
            let header = Header {
                kind: Kind::Data as u8,
                ..Header::default()
            };
            client::encode(&mut bytes, &header, "game", &vec![7; len]);
        }
        for step in 1..bytes.len() {
            let mut frames = Frames::default();
            for part in bytes.chunks(step) {
                frames.follow(part);
            }
            assert!(!frames.is_cut(), "{step}");
            frames.follow(&bytes[..step.min(HEADER_LEN)]);
            assert!(frames.is_cut(), "{step}");
        }
    }
}
