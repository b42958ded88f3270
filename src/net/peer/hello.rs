//! The HELLO of both gateways. Values in, values out.

use rand::RngCore;

use crate::codec::foreign;
use crate::session::token::{KEY_ID_LEN, Keyring, MAX_KEYS};

/// The newest version of the peer channel. Version 3 is version 2 with questions for operators; version 1 is still
/// spoken with gateways of the release before.
pub const VERSION: u8 = 3;
/// The first version whose gateways answer questions.
pub const FIRST_WITH_QUESTIONS: u8 = 3;
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
    /// They are those of another protocol.
    #[error("looks like {0}, expected the peer channel")]
    Foreign(&'static str),
    /// The version is not supported.
    #[error("unsupported version {0} of the peer channel, expected 1 to {VERSION}")]
    Version(u8),
    /// The gateways have no key in common.
    #[error("no token key in common with the peer gateway")]
    NoCommonKey,
}

/// An end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
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

/// Bytes of a HELLO that tell it from anything else: its length and the magic.
pub(super) const FIRST_LEN: usize = 2 + MAGIC.len();

/// Checks the first bytes of a HELLO, as many as have come.
///
/// # Errors
/// They are something else's. A protocol that can be named is named as soon as four bytes show it.
pub(super) fn check_first(first: &[u8]) -> Result<(), HelloError> {
    let magic = first.get(2..).unwrap_or_default();
    if MAGIC.starts_with(magic) || first.len() < 4 {
        return Ok(());
    }
    match foreign::looks_like(first) {
        // Kind and flags of a link's HELLO are the next bytes.
        None if first.len() < FIRST_LEN => Ok(()),
        _ => Err(unlike(first)),
    }
}

/// Says what it looks like instead of a HELLO.
pub(super) fn unlike(first: &[u8]) -> HelloError {
    let link = first.len() == FIRST_LEN && first[0] == 0 && first[4..] == [1, 0, 0, 0];
    match foreign::looks_like(first) {
        Some(what) => HelloError::Foreign(what),
        None if link => HelloError::Foreign("the link protocol"),
        None => HelloError::Malformed,
    }
}

/// What both ends go by once they know both HELLOs.
pub(super) struct Agreed {
    /// The newest version that both speak.
    pub(super) version: u8,
    /// Id of the caller's newest key that the callee has too.
    pub(super) key: [u8; KEY_ID_LEN],
}

/// Reads from both HELLOs what is spoken, and with which key.
///
/// # Errors
/// There is no key in common.
pub(super) fn agree(caller: &Hello, callee: &Hello) -> Result<Agreed, HelloError> {
    let common = caller.key_ids.iter().find(|id| callee.key_ids.contains(id));
    Ok(Agreed {
        version: caller.version.min(callee.version),
        key: *common.ok_or(HelloError::NoCommonKey)?,
    })
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
    fn both_ends_agree_while_keys_and_versions_change() {
        for (one, other, common) in [
            (&["a"][..], &["a"][..], "a"),
            (&["new", "a"], &["a"], "a"),
            (&["a"], &["new", "a"], "a"),
            (&["b", "a"], &["a", "b"], "b"),
        ] {
            for (version, other_version) in [(2, 2), (1, 2), (2, 1), (2, 3)] {
                let mut caller = Hello::new(&keys(one), "a", "a:1");
                let mut callee = Hello::new(&keys(other), "b", "b:1");
                (caller.version, callee.version) = (version, other_version);
                let agreed = agree(&caller, &callee).unwrap();
                assert_eq!(agreed.version, version.min(other_version));
                assert_eq!(Some(agreed.key), keys(&[common]).ids().next());
            }
        }
    }

    #[test]
    fn strangers_have_nothing_in_common() {
        let (one, other) = (keys(&["a"]), keys(&["b"]));
        let (caller, callee) = (Hello::new(&one, "a", "a:1"), Hello::new(&other, "b", "b:1"));
        assert_eq!(agree(&caller, &callee).err(), Some(HelloError::NoCommonKey));
    }
}
