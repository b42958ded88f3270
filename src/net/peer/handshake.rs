//! The handshake, from both ends.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::hello::{self, Hello, HelloError, MAX_HELLO_BYTES, Role};
use super::sealed::{Opener, Opening, Sealer, Sealing};
use super::{noise, version_1};
use crate::labels::labels;
use crate::session::token::{KEY_ID_LEN, Keyring};

/// The reason that a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The other end's HELLO is refused.
    #[error("{0}")]
    Hello(#[from] HelloError),
    /// It names a key that it does not have.
    #[error("authentication failed: the peer gateway does not have the key that it names")]
    NoProof,
    /// Another gateway was dialled than the one that answers.
    #[error("reached gateway {found}, expected {wanted}: its address is somebody else's now")]
    WrongGateway {
        /// gateway_id of the one that was dialled.
        wanted: String,
        /// gateway_id of the one that answers.
        found: String,
    },
    /// The Noise library refuses to go on, which no peer can bring about.
    #[error("Noise: {0}")]
    Noise(#[from] snow::Error),
}

/// A connection whose ends have proved that they belong to the same deployment.
#[derive(Debug)]
pub struct Secured {
    /// Seals what this end says.
    pub sealer: Sealer,
    /// Reads what the other end says.
    pub opener: Opener,
    /// The other end's HELLO.
    pub other: Hello,
    /// Id of the key that both ends have used.
    pub key: [u8; KEY_ID_LEN],
    /// Version of the channel.
    pub version: u8,
}

impl HandshakeError {
    /// Returns the value under which it is counted.
    pub fn failure(&self) -> HandshakeFailure {
        match self {
            HandshakeError::Io(_) => HandshakeFailure::Io,
            HandshakeError::Hello(HelloError::Malformed | HelloError::Foreign(_)) => {
                HandshakeFailure::Malformed
            }
            HandshakeError::Hello(HelloError::Version(_)) => HandshakeFailure::Version,
            HandshakeError::Hello(HelloError::NoCommonKey) => HandshakeFailure::NoCommonKey,
            HandshakeError::NoProof => HandshakeFailure::NoProof,
            HandshakeError::WrongGateway { .. } => HandshakeFailure::WrongGateway,
            HandshakeError::Noise(_) => HandshakeFailure::Other,
        }
    }
}

/// Reason for which a connection between gateways did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/metrics.md describes each")]
pub enum HandshakeFailure {
    Io,
    Malformed,
    Version,
    NoCommonKey,
    NoProof,
    WrongGateway,
    /// No handshake was begun: there were too many connections.
    Crowded,
    Other,
}

labels!(HandshakeFailure {
    Io => "io",
    Malformed => "malformed",
    Version => "version",
    NoCommonKey => "no_common_key",
    NoProof => "no_proof",
    WrongGateway => "wrong_gateway",
    Crowded => "crowded",
    Other => "other",
});

/// Performs the handshake of the end that has dialled.
///
/// # Errors
/// See [`HandshakeError`]; without a common key nothing was sent except for the HELLO.
pub async fn call<S>(stream: &mut S, keys: &Keyring, own: Hello) -> Result<Secured, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let forth = own.encode();
    stream.write_all(&forth).await?;
    let (other, back) = read_hello(stream).await?;
    let agreed = hello::agree(&own, &other)?;
    secure(stream, keys, agreed, Role::Caller, other, [&forth, &back]).await
}

/// Performs the handshake of the end that was dialled.
///
/// # Errors
/// See [`HandshakeError`]; nothing was sent except for the HELLO.
pub async fn answer<S>(
    stream: &mut S,
    keys: &Keyring,
    own: Hello,
) -> Result<Secured, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (other, forth) = read_hello(stream).await?;
    let back = own.encode();
    stream.write_all(&back).await?;
    let agreed = hello::agree(&other, &own)?;
    secure(stream, keys, agreed, Role::Callee, other, [&forth, &back]).await
}

/// Goes on in the newest version that both ends speak. Both versions mix in the HELLOs as they were `sent` and as they
/// have come: whoever changes one on its way, to have an older version spoken, is found out.
async fn secure<S>(
    stream: &mut S,
    keys: &Keyring,
    agreed: hello::Agreed,
    role: Role,
    other: Hello,
    sent: [&[u8]; 2],
) -> Result<Secured, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hello::Agreed { version, key } = agreed;
    let (sealer, opener) = if version == 1 {
        let (sealer, opener) = version_1::prove(stream, keys, &key, role, sent).await?;
        (
            Sealing::Version1(Box::new(sealer)),
            Opening::Version1(Box::new(opener)),
        )
    } else {
        let (sealer, opener) = noise::shake(stream, keys, &key, role, sent).await?;
        (Sealing::Noise(sealer), Opening::Noise(opener))
    };
    Ok(Secured {
        sealer: Sealer(sealer),
        opener: Opener::new(opener),
        other,
        key,
        version,
    })
}

/// Reads a HELLO; returns its bytes too.
async fn read_hello<S>(stream: &mut S) -> Result<(Hello, Vec<u8>), HandshakeError>
where
    S: AsyncRead + Unpin,
{
    // What speaks something else may say less than a HELLO has, and wait.
    let mut first = [0; hello::FIRST_LEN];
    let mut have = 0;
    while have < first.len() {
        match stream.read(&mut first[have..]).await? {
            0 if have == 0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            0 => return Err(hello::unlike(&first[..have]).into()),
            more => have += more,
        }
        hello::check_first(&first[..have])?;
    }
    let len = usize::from(u16::from_be_bytes([first[0], first[1]]));
    if len + 2 > MAX_HELLO_BYTES || len + 2 < first.len() {
        return Err(HelloError::Malformed.into());
    }
    let mut bytes = first.to_vec();
    bytes.resize(2 + len, 0);
    stream.read_exact(&mut bytes[first.len()..]).await?;
    Ok((Hello::decode(&bytes[2..])?, bytes))
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
