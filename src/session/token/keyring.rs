//! The keys that the gateways of a deployment share.

use rand::RngCore;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use super::{MAX_TOKEN_LEN, TokenBody, TokenError, VERSION};

/// The shortest secret, in bytes.
pub const MIN_SECRET_BYTES: usize = 32;
/// The most keys that open tokens.
pub const MAX_KEYS: usize = 16;

/// Bytes of the id of a key.
pub const KEY_ID_LEN: usize = 4;
const ID_LEN: usize = KEY_ID_LEN;
const SALT_LEN: usize = 16;
const HEAD_LEN: usize = 1 + ID_LEN + SALT_LEN;
const TAG_LEN: usize = 16;
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;

/// Why secrets are not taken. It never names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Too short.
    #[error(
        "key {0} too short: {1} bytes, expected at least {MIN_SECRET_BYTES}; generate one with `openssl rand -base64 32`"
    )]
    Short(usize, usize),
    /// Too many.
    #[error("too many keys: {0}, limit {MAX_KEYS}")]
    TooMany(usize),
    /// None at all.
    #[error("no key found, expected at least one")]
    None,
    /// The same one twice.
    #[error("duplicate key: {0} and {1} are the same")]
    Twice(usize, usize),
}

/// The keys: the newest makes tokens, all of them open them.
pub struct Keyring {
    keys: Vec<Key>,
}

struct Key {
    id: [u8; ID_LEN],
    prk: Prk,
}

/// Length of HKDF's output, in bytes.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// Fills `out` from `prk`. Fails only where `out` is longer than HKDF can fill, which none here is.
fn expand(prk: &Prk, info: &[&[u8]], out: &mut [u8]) -> Result<(), TokenError> {
    prk.expand(info, Bytes(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| TokenError::Malformed)
}

impl Key {
    fn new(secret: &[u8]) -> Result<Key, TokenError> {
        let prk = Salt::new(HKDF_SHA256, b"game-gateway resume token").extract(secret);
        let mut id = [0; ID_LEN];
        expand(&prk, &[b"key id"], &mut id)?;
        Ok(Key { id, prk })
    }

    /// The one key that seals the token with this salt, and its nonce.
    fn sealing(&self, salt: &[u8]) -> Result<(LessSafeKey, Nonce), TokenError> {
        let mut bytes = [0; KEY_LEN + NONCE_LEN];
        expand(&self.prk, &[b"token", salt], &mut bytes)?;
        let (key, nonce) = bytes.split_at(KEY_LEN);
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| TokenError::Malformed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| TokenError::Malformed)?;
        Ok((LessSafeKey::new(key), nonce))
    }
}

impl Keyring {
    /// The keys that these secrets make, newest first.
    ///
    /// # Errors
    /// A key is too short or a duplicate, or there are none or too many.
    pub fn new<S: AsRef<[u8]>>(secrets: &[S]) -> Result<Keyring, KeyError> {
        if secrets.is_empty() {
            return Err(KeyError::None);
        }
        if secrets.len() > MAX_KEYS {
            return Err(KeyError::TooMany(secrets.len()));
        }
        let mut keys: Vec<Key> = Vec::new();
        for (index, secret) in secrets.iter().enumerate() {
            let secret = secret.as_ref();
            let short = KeyError::Short(index + 1, secret.len());
            if secret.len() < MIN_SECRET_BYTES {
                return Err(short);
            }
            let key = Key::new(secret).map_err(|_| short)?;
            if let Some(same) = keys.iter().position(|k| k.id == key.id) {
                return Err(KeyError::Twice(same + 1, index + 1));
            }
            keys.push(key);
        }
        Ok(Keyring { keys })
    }

    /// A key of this process alone: its tokens are good here and nowhere else.
    pub fn of_this_process() -> Keyring {
        let mut secret = [0; MIN_SECRET_BYTES];
        rand::rng().fill_bytes(&mut secret);
        let keys = Key::new(&secret).into_iter().collect();
        Keyring { keys }
    }

    /// The ids of the keys, the newest first. They say nothing of the keys.
    pub fn ids(&self) -> impl Iterator<Item = [u8; KEY_ID_LEN]> {
        self.keys.iter().map(|key| key.id)
    }

    /// A key for another purpose, which `info` names, made from the one with this id; `None`: there is
    /// none.
    pub fn derive(&self, id: &[u8; KEY_ID_LEN], info: &[&[u8]]) -> Option<[u8; 32]> {
        let key = self.keys.iter().find(|key| key.id == *id)?;
        let mut out = [0; 32];
        expand(&key.prk, info, &mut out).ok()?;
        Some(out)
    }

    /// Makes a token.
    pub fn seal(&self, body: &TokenBody) -> Vec<u8> {
        let mut salt = [0; SALT_LEN];
        rand::rng().fill_bytes(&mut salt);
        self.seal_with_salt(body, salt)
    }

    /// Makes a token with a salt of the caller's choice, which must never have been used: simulated gateways
    /// draw theirs from the seed of a run.
    pub fn seal_with_salt(&self, body: &TokenBody, salt: [u8; SALT_LEN]) -> Vec<u8> {
        let sealed = self.keys.first().and_then(|key| {
            let mut token = vec![VERSION];
            token.extend_from_slice(&key.id);
            token.extend_from_slice(&salt);
            let mut sealed = Vec::with_capacity(256);
            body.encode(&mut sealed);
            let (sealing, nonce) = key.sealing(&salt).ok()?;
            let aad = Aad::from(&token);
            sealing
                .seal_in_place_append_tag(nonce, aad, &mut sealed)
                .ok()?;
            token.append(&mut sealed);
            Some(token)
        });
        // An empty token is one that cannot resume; nothing above fails for a body within its bounds.
        sealed
            .filter(|t| t.len() <= MAX_TOKEN_LEN)
            .unwrap_or_default()
    }

    /// Opens a token at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// It is not one of this deployment's, or too old.
    pub fn open(&self, token: &[u8], now: u64) -> Result<TokenBody, TokenError> {
        if token.len() < HEAD_LEN + TAG_LEN || token.len() > MAX_TOKEN_LEN {
            return Err(TokenError::Malformed);
        }
        if token[0] != VERSION {
            return Err(TokenError::UnknownVersion(token[0]));
        }
        let (head, sealed) = token.split_at(HEAD_LEN);
        let (id, salt) = head[1..].split_at(ID_LEN);
        let key = self.keys.iter().find(|key| key.id == *id);
        let (opening, nonce) = key.ok_or(TokenError::UnknownKey)?.sealing(salt)?;
        let mut sealed = sealed.to_vec();
        let body = opening
            .open_in_place(nonce, Aad::from(head), &mut sealed)
            .map_err(|_| TokenError::Forged)?;
        let body = TokenBody::decode(body)?;
        if body.expires <= now {
            return Err(TokenError::Expired);
        }
        Ok(body)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring of {}", self.keys.len())
    }
}
