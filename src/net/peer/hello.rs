//! The HELLO of both gateways, and the keys that are derived from them. Values in, values out.

use rand::RngCore;
use ring::digest::{SHA256, digest};

use super::sealed::{Opener, Sealer};
use crate::session::token::{KEY_ID_LEN, Keyring, MAX_KEYS};

/// Version of the peer channel.
pub const VERSION: u8 = 1;
/// The longest HELLO, its own length included, in bytes.
pub const MAX_HELLO_BYTES: usize = 2 + MAGIC.len() + 2 + MAX_KEYS * KEY_ID_LEN + NONCE_LEN + 512;

const MAGIC: &[u8; 6] = b"GGPEER";
const NONCE_LEN: usize = 32;
const MAX_TEXT: usize = 255;

/// The first message of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Newest version that it speaks.
    pub version: u8,
    /// Ids of its keys, newest first.
    pub key_ids: Vec<[u8; KEY_ID_LEN]>,
    /// Nonce, never the same twice.
    pub nonce: [u8; NONCE_LEN],
    /// gateway_id of the sender.
    pub gateway: String,
    /// `host:port` of its own channel.
    pub address: String,
}

/// The reason that a HELLO is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The bytes are not a HELLO.
    #[error("malformed HELLO of the peer channel")]
    Malformed,
    /// The version is not supported.
    #[error("unsupported version {0} of the peer channel, expected {VERSION}")]
    Version(u8),
    /// The gateways have no key in common.
    #[error("no token key in common with the peer gateway")]
    NoCommonKey,
}

/// An end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end that has dialled.
    Caller,
    /// The end that was dialled.
    Callee,
}

impl Hello {
    /// Makes a gateway's HELLO for one connection.
    pub fn new(keys: &Keyring, gateway: &str, address: &str) -> Hello {
        let mut nonce = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        Hello {
            version: VERSION,
            key_ids: keys.ids().collect(),
            nonce,
            gateway: gateway.to_owned(),
            address: address.to_owned(),
        }
    }

    /// Encodes it, behind its length in two bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0, 0];
        out.extend_from_slice(MAGIC);
        out.push(self.version);
        out.push(self.key_ids.len().min(MAX_KEYS) as u8);
        for id in self.key_ids.iter().take(MAX_KEYS) {
            out.extend_from_slice(id);
        }
        out.extend_from_slice(&self.nonce);
        for text in [&self.gateway, &self.address] {
            let bytes = &text.as_bytes()[..text.len().min(MAX_TEXT)];
            out.push(bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
        let len = (out.len() - 2) as u16;
        out[..2].copy_from_slice(&len.to_be_bytes());
        out
    }

    /// Parses the bytes behind the length. A later version may append further fields.
    ///
    /// # Errors
    /// See [`HelloError`].
    pub fn decode(bytes: &[u8]) -> Result<Hello, HelloError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(HelloError::Malformed)?;
        let (&[version, keys], rest) = rest.split_first_chunk().ok_or(HelloError::Malformed)?;
        if version == 0 {
            return Err(HelloError::Version(version));
        }
        if usize::from(keys) > MAX_KEYS {
            return Err(HelloError::Malformed);
        }
        let ids = usize::from(keys) * KEY_ID_LEN;
        let (ids, rest) = rest.split_at_checked(ids).ok_or(HelloError::Malformed)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or(HelloError::Malformed)?;
        let (gateway, rest) = text(rest)?;
        let (address, _later) = text(rest)?;
        Ok(Hello {
            version,
            key_ids: ids.as_chunks().0.to_vec(),
            nonce: *nonce,
            gateway,
            address,
        })
    }
}

fn text(bytes: &[u8]) -> Result<(String, &[u8]), HelloError> {
    let (len, rest) = bytes.split_first().ok_or(HelloError::Malformed)?;
    let (text, rest) = (rest.split_at_checked(usize::from(*len))).ok_or(HelloError::Malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| HelloError::Malformed)?;
    Ok((text.to_owned(), rest))
}

/// Derives the keys of both directions from the two HELLOs and their bytes as they were `sent`, the
/// caller's first.
///
/// # Errors
/// There is no key in common.
pub(super) fn agree(
    keys: &Keyring,
    role: Role,
    (caller, callee): (&Hello, &Hello),
    sent: [&[u8]; 2],
) -> Result<(Sealer, Opener), HelloError> {
    // The caller's newest key that the callee has too.
    let common = caller.key_ids.iter().find(|id| callee.key_ids.contains(id));
    let id = common.ok_or(HelloError::NoCommonKey)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(of: &[&str]) -> Keyring {
        let secrets: Vec<String> = of.iter().map(|name| name.repeat(32)).collect();
        Keyring::new(&secrets).unwrap()
    }

    #[test]
    fn a_hello_is_read_as_it_was_written() {
        let hello = Hello::new(&keys(&["a", "b"]), "gw-1", "10.0.0.1:7001");
        let mut bytes = hello.encode();
        assert!(bytes.len() <= MAX_HELLO_BYTES);
        assert_eq!(Hello::decode(&bytes[2..]), Ok(hello.clone()));
        for cut in 2..bytes.len() {
            assert!(Hello::decode(&bytes[2..cut]).is_err(), "{cut}");
        }
        bytes.extend_from_slice(b"of a later version");
        assert_eq!(Hello::decode(&bytes[2..]), Ok(hello));
    }

    #[test]
    fn both_ends_agree_while_keys_rotate() {
        for (one, other) in [
            (&["a"][..], &["a"][..]),
            (&["new", "a"], &["a"]),
            (&["a"], &["new", "a"]),
            (&["b", "a"], &["a", "b"]),
        ] {
            let (one, other) = (keys(one), keys(other));
            let (caller, callee) = (Hello::new(&one, "a", "a:1"), Hello::new(&other, "b", "b:1"));
            let both = (&caller, &callee);
            let sent = [caller.encode(), callee.encode()];
            let sent = [&*sent[0], &*sent[1]];
            let (mut seal, mut open) = agree(&one, Role::Caller, both, sent).unwrap();
            let (mut seal_back, mut open_back) = agree(&other, Role::Callee, both, sent).unwrap();
            let there = seal.seal(b"there");
            assert_eq!(open_back.open(there[4..].to_vec()).unwrap(), b"there");
            let back = seal_back.seal(b"back");
            assert_eq!(open.open(back[4..].to_vec()).unwrap(), b"back");
            // A record of one side must not open as one of the other side.
            let again = seal.seal(b"there");
            assert!(open.open(again[4..].to_vec()).is_err());
        }
    }

    #[test]
    fn strangers_have_nothing_in_common() {
        let (one, other) = (keys(&["a"]), keys(&["b"]));
        let (caller, callee) = (Hello::new(&one, "a", "a:1"), Hello::new(&other, "b", "b:1"));
        let agreed = agree(&one, Role::Caller, (&caller, &callee), [b"", b""]);
        assert_eq!(agreed.err(), Some(HelloError::NoCommonKey));
        // Naming a key is not having it.
        let mut liar = callee.clone();
        liar.key_ids = caller.key_ids.clone();
        let agreed = agree(&other, Role::Callee, (&caller, &liar), [b"", b""]);
        assert_eq!(agreed.err(), Some(HelloError::NoCommonKey));
    }
    /// Releases must understand each other, so the bytes of HELLO and of each end's first record are
    /// fixed. They come from a second implementation, in another language.
    #[test]
    fn the_handshake_stays_as_it_is() {
        let keys = keys(&["k"]);
        let fixed = |gateway: &str, fill| Hello {
            nonce: [fill; NONCE_LEN],
            ..Hello::new(&keys, gateway, "10.0.0.1:7001")
        };
        let (caller, callee) = (fixed("a", 1), fixed("b", 2));
        let sent = [caller.encode(), callee.encode()];
        let sent = [&*sent[0], &*sent[1]];
        let both = (&caller, &callee);
        let (mut forth, _) = agree(&keys, Role::Caller, both, sent).unwrap();
        let (mut back, _) = agree(&keys, Role::Callee, both, sent).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(
            hex(sent[0]),
            "003c4747504545520101ed9b3a93010101010101010101010101010101010101010101010101010101010101010101610d31302e302e302e313a37303031"
        );
        assert_eq!(
            hex(&forth.seal(b"game-gateway")),
            "0000001c699d1a644e0924588947f2619e6c5c0113b61e1fe3d0b3fae5d2c892"
        );
        assert_eq!(
            hex(&back.seal(b"game-gateway")),
            "0000001c1e2ba828ad6dac8704399f132c640bac037205af476bdf165f61ab82"
        );
    }
}
