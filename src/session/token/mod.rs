//! Resume tokens (protocol 3.4): what any gateway of a deployment must know to take a session over,
//! sealed so that clients can neither read nor make one.
//!
//! ```text
//!   version 1 │ key id 4 │ salt 16 │ sealed body, 16 bytes longer than the body
//! ```
//! The first three are in the clear and bound as associated data. Each token is sealed with a key of
//! its own, derived by HKDF (RFC 5869) from the shared one and the random salt, so that random
//! values cannot meet however many tokens are made.

mod body;
mod keyring;

pub use crate::codec::peer::Binding;
pub use body::TokenBody;
pub use keyring::{KEY_ID_LEN, KeyError, Keyring, MAX_KEYS, MIN_SECRET_BYTES};

/// The longest token, in bytes (protocol 1.2).
pub const MAX_TOKEN_LEN: usize = 2048;
/// Lifetime of a token, in seconds.
pub const LIFETIME_SECONDS: u64 = 24 * 60 * 60;

/// The version that is made and opened.
const VERSION: u8 = 1;

/// Why a token is not taken. Clients hear 410 whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Too short or too long for any token, or what was sealed is no body.
    #[error("malformed token")]
    Malformed,
    /// Another version made it.
    #[error("unsupported token version {0}, expected {VERSION}")]
    UnknownVersion(u8),
    /// Sealed with a key that is not among the configured ones.
    #[error("unknown token key")]
    UnknownKey,
    /// Not made by a gateway of this deployment, or changed since.
    #[error("token authentication failed")]
    Forged,
    /// Older than it may be.
    #[error("token expired")]
    Expired,
}

#[cfg(test)]
mod tests;
