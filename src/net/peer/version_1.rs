//! Version 1 of the channel, for gateways of the release before: keys of both directions are derived from the common
//! key and both HELLOs; each record is sealed by itself, numbered by its order. It goes with the next release.

use std::io;

use bytes::BufMut;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::handshake::HandshakeError;
use super::hello::{HelloError, Role};
use super::room::Room;
use crate::codec::peer::wire::MAX_FRAME_BYTES;
use crate::session::token::{KEY_ID_LEN, Keyring};

/// The first sealed record of each end, which proves that it has the key.
const PROOF: &[u8] = b"game-gateway";
/// Bytes that sealing adds, the record's length of four bytes aside.
const TAG_LEN: usize = 16;

/// A record was not made by the other end, or not at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record authentication failed: not sealed by the peer gateway")]
struct Unreadable;

/// Derives the keys of both directions from the two HELLOs as they were `sent`, the caller's first.
///
/// # Errors
/// The key is not among `keys`.
fn derive(
    keys: &Keyring,
    id: &[u8; KEY_ID_LEN],
    role: Role,
    sent: [&[u8]; 2],
) -> Result<(Sealer, Opener), HelloError> {
    let transcript = digest(&SHA256, &sent.concat());
    let key = |from: &[u8]| {
        let info = [b"peer channel 1 ", from, transcript.as_ref()];
        keys.derive(id, &info).ok_or(HelloError::NoCommonKey)
    };
    let (forth, back) = (key(b"caller")?, key(b"callee")?);
    let (own, other) = match role {
        Role::Caller => (forth, back),
        Role::Callee => (back, forth),
    };
    Ok((Sealer::new(own), Opener::new(other)))
}

/// Proves to each other that both ends have the key.
///
/// # Errors
/// See [`HandshakeError`].
pub(super) async fn prove<S>(
    stream: &mut S,
    keys: &Keyring,
    id: &[u8; KEY_ID_LEN],
    role: Role,
    sent: [&[u8]; 2],
) -> Result<(Sealer, Opener), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sealer, mut opener) = derive(keys, id, role, sent)?;
    if role == Role::Caller {
        stream.write_all(&sealer.seal(PROOF)).await?;
    }
    let mut record = [0; PROOF.len() + TAG_LEN];
    let len = stream.read_u32().await? as usize;
    if len != record.len() {
        return Err(HandshakeError::NoProof);
    }
    stream.read_exact(&mut record).await?;
    let proof = opener.open(record.to_vec());
    if proof.map_err(|_| HandshakeError::NoProof)? != PROOF {
        return Err(HandshakeError::NoProof);
    }
    if role == Role::Callee {
        stream.write_all(&sealer.seal(PROOF)).await?;
    }
    Ok((sealer, opener))
}

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
pub(super) struct Sealer(Direction);

/// The receiving direction.
pub(super) struct Opener(Direction);

impl Sealer {
    fn new(key: [u8; 32]) -> Sealer {
        Sealer(Direction::new(key))
    }

    /// Seals a record, behind its length in four bytes; empty if the nonces are used up.
    pub(super) fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
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
    fn new(key: [u8; 32]) -> Opener {
        Opener(Direction::new(key))
    }

    /// Reads the next record, whose bytes are counted in `room` as they come.
    ///
    /// # Errors
    /// The connection has failed or ended, or what comes is not the next record of the other end.
    pub(super) async fn read<R>(&mut self, input: &mut R, room: &mut Room) -> io::Result<Vec<u8>>
    where
        R: AsyncRead + Unpin,
    {
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let len = input.read_u32().await? as usize;
        if len > MAX_FRAME_BYTES + TAG_LEN {
            return Err(wrong(format!(
                "record too large: {len} bytes, limit {MAX_FRAME_BYTES}"
            )));
        }
        let mut record = Vec::new();
        while record.len() < len {
            if record.len() == record.capacity() {
                room.extend(&mut record, len).await?;
            }
            let left = record.capacity().min(len) - record.len();
            let mut part = (&mut record).limit(left);
            if input.read_buf(&mut part).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.open(record).map_err(|error| wrong(error.to_string()))
    }

    /// Opens a record without its length.
    ///
    /// # Errors
    /// The record is not the next one of the other end.
    fn open(&mut self, mut record: Vec<u8>) -> Result<Vec<u8>, Unreadable> {
        let (key, nonce) = self.0.next().ok_or(Unreadable)?;
        let len = key
            .open_in_place(nonce, Aad::empty(), &mut record)
            .map_err(|_| Unreadable)?
            .len();
        record.truncate(len);
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Hello;
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

    /// Releases must understand each other, so the bytes of HELLO and of each end's first record are
    /// fixed. They come from a second implementation, in another language.
    #[test]
    fn the_handshake_stays_as_it_is() {
        let keys = Keyring::new(&["k".repeat(32)]).unwrap();
        let hello = |gateway: &str, fill| Hello {
            version: 1,
            nonce: [fill; 32],
            ..Hello::new(&keys, gateway, "10.0.0.1:7001")
        };
        let sent = [hello("a", 1).encode(), hello("b", 2).encode()];
        let sent = [&*sent[0], &*sent[1]];
        let id = keys.ids().next().unwrap();
        let first = |role| derive(&keys, &id, role, sent).unwrap().0.seal(PROOF);
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(
            hex(sent[0]),
            "003c4747504545520101ed9b3a93010101010101010101010101010101010101010101010101010101010101010101610d31302e302e302e313a37303031"
        );
        assert_eq!(
            hex(&first(Role::Caller)),
            "0000001c699d1a644e0924588947f2619e6c5c0113b61e1fe3d0b3fae5d2c892"
        );
        assert_eq!(
            hex(&first(Role::Callee)),
            "0000001c1e2ba828ad6dac8704399f132c640bac037205af476bdf165f61ab82"
        );
    }
}
