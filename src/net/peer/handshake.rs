//! The handshake, from both ends.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::hello::{self, Hello, HelloError, MAX_HELLO_BYTES, Role};
use super::sealed::{Opener, Sealer, TAG_LEN, Unreadable};
use crate::labels::labels;
use crate::session::token::Keyring;

/// The first sealed record of each end, which proves that it has the key.
const PROOF: &[u8] = b"game-gateway";

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
}

impl From<Unreadable> for HandshakeError {
    fn from(_: Unreadable) -> HandshakeError {
        HandshakeError::NoProof
    }
}

impl HandshakeError {
    /// Returns the value under which it is counted.
    pub fn failure(&self) -> HandshakeFailure {
        match self {
            HandshakeError::Io(_) => HandshakeFailure::Io,
            HandshakeError::Hello(HelloError::Malformed) => HandshakeFailure::Malformed,
            HandshakeError::Hello(HelloError::Version(_)) => HandshakeFailure::Version,
            HandshakeError::Hello(HelloError::NoCommonKey) => HandshakeFailure::NoCommonKey,
            HandshakeError::NoProof => HandshakeFailure::NoProof,
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
    Crowded => "crowded",
    Other => "other",
});

/// Performs the handshake of the end that has dialled. Returns the keys of both directions and the other
/// end's HELLO.
///
/// # Errors
/// See [`HandshakeError`]; nothing was sent except for the HELLO.
pub async fn call<S>(
    stream: &mut S,
    keys: &Keyring,
    own: Hello,
) -> Result<(Sealer, Opener, Hello), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let forth = own.encode();
    stream.write_all(&forth).await?;
    let (other, back) = read_hello(stream).await?;
    let both = (&own, &other);
    let (mut sealer, mut opener) = hello::agree(keys, Role::Caller, both, [&forth, &back])?;
    stream.write_all(&sealer.seal(PROOF)).await?;
    read_proof(stream, &mut opener).await?;
    Ok((sealer, opener, other))
}

/// Performs the handshake of the end that was dialled. Returns the keys of both directions and the other
/// end's HELLO.
///
/// # Errors
/// See [`HandshakeError`]; nothing was sent except for the HELLO.
pub async fn answer<S>(
    stream: &mut S,
    keys: &Keyring,
    own: Hello,
) -> Result<(Sealer, Opener, Hello), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (other, forth) = read_hello(stream).await?;
    let back = own.encode();
    stream.write_all(&back).await?;
    let both = (&other, &own);
    let (mut sealer, mut opener) = hello::agree(keys, Role::Callee, both, [&forth, &back])?;
    read_proof(stream, &mut opener).await?;
    stream.write_all(&sealer.seal(PROOF)).await?;
    Ok((sealer, opener, other))
}

/// Reads a HELLO; returns its bytes too.
async fn read_hello<S>(stream: &mut S) -> Result<(Hello, Vec<u8>), HandshakeError>
where
    S: AsyncRead + Unpin,
{
    let len = stream.read_u16().await?;
    if usize::from(len) + 2 > MAX_HELLO_BYTES {
        return Err(HelloError::Malformed.into());
    }
    let mut bytes = len.to_be_bytes().to_vec();
    bytes.resize(2 + usize::from(len), 0);
    stream.read_exact(&mut bytes[2..]).await?;
    Ok((Hello::decode(&bytes[2..])?, bytes))
}

async fn read_proof<S>(stream: &mut S, opener: &mut Opener) -> Result<(), HandshakeError>
where
    S: AsyncRead + Unpin,
{
    let mut record = [0; PROOF.len() + TAG_LEN];
    let len = stream.read_u32().await? as usize;
    if len != record.len() {
        return Err(HandshakeError::NoProof);
    }
    stream.read_exact(&mut record).await?;
    let proof = opener.open(record.to_vec())?;
    if proof == PROOF {
        Ok(())
    } else {
        Err(HandshakeError::NoProof)
    }
}
