//! Records that are sealed with a key for one direction of one connection, numbered by their order.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

/// Bytes that sealing adds, the record's length of four bytes aside.
pub(super) const TAG_LEN: usize = 16;

/// A record was not made by the other end, or not at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record authentication failed: not sealed by the peer gateway")]
pub struct Unreadable;

struct Direction {
    key: Option<LessSafeKey>,
    records: u64,
}

impl Direction {
    fn new(key: [u8; 32]) -> Direction {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).ok();
        Direction {
            key: key.map(LessSafeKey::new),
            records: 0,
        }
    }

    /// Returns the key and a nonce that never repeats with it; none after 2^64 records.
    fn next(&mut self) -> Option<(&LessSafeKey, Nonce)> {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.records.to_be_bytes());
        self.records = self.records.checked_add(1)?;
        Some((self.key.as_ref()?, Nonce::assume_unique_for_key(nonce)))
    }
}

/// The sending direction.
pub struct Sealer(Direction);

/// The receiving direction.
pub struct Opener(Direction);

impl Sealer {
    pub(super) fn new(key: [u8; 32]) -> Sealer {
        Sealer(Direction::new(key))
    }

    /// Seals a record, behind its length in four bytes; empty if the nonces are used up.
    pub fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut record = plain.to_vec();
        let sealed = self.0.next().and_then(|(key, nonce)| {
            key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record)
                .ok()
        });
        if sealed.is_none() {
            return Vec::new();
        }
        let mut out = (record.len() as u32).to_be_bytes().to_vec();
        out.append(&mut record);
        out
    }
}

impl Opener {
    pub(super) fn new(key: [u8; 32]) -> Opener {
        Opener(Direction::new(key))
    }

    /// Opens a record without its length.
    ///
    /// # Errors
    /// The record is not the next one of the other end.
    pub fn open(&mut self, mut record: Vec<u8>) -> Result<Vec<u8>, Unreadable> {
        let (key, nonce) = self.0.next().ok_or(Unreadable)?;
        let len = key
            .open_in_place(nonce, Aad::empty(), &mut record)
            .map_err(|_| Unreadable)?
            .len();
        record.truncate(len);
        Ok(record)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_in_order_or_not_at_all() {
        let (mut seal, mut open) = (Sealer::new([7; 32]), Opener::new([7; 32]));
        let (first, second) = (seal.seal(b"first"), seal.seal(b""));
        assert_eq!(open.open(first[4..].to_vec()).unwrap(), b"first");
        // Once more, and one that was touched.
        assert_eq!(open.open(first[4..].to_vec()), Err(Unreadable));
        let mut open = Opener::new([7; 32]);
        assert_eq!(open.open(second[4..].to_vec()), Err(Unreadable));
        for at in 4..first.len() {
            let mut touched = first.clone();
            touched[at] ^= 1;
            let mut open = Opener::new([7; 32]);
            assert_eq!(open.open(touched[4..].to_vec()), Err(Unreadable), "{at}");
        }
        assert_eq!(Opener::new([7; 32]).open(Vec::new()), Err(Unreadable));
    }

    #[test]
    fn a_record_stays_as_it_is() {
        let record = Sealer::new([7; 32]).seal(b"first");
        let hex: String = record.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "0000001551ed5b7f144c48638dd54a225f8ecbf9d894693210");
    }
}
