//! Version 2 of the channel: the handshake and the sealed messages of the Noise Protocol Framework, by `snow`.
//!
//! A frame begins with its length, in four bytes, and travels in as many Noise messages as it needs, each behind its
//! own length of two bytes. No message has bytes of two frames.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use snow::{Builder, HandshakeState, TransportState};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::handshake::HandshakeError;
use super::hello::{HelloError, Role};
use super::room::Room;
use crate::codec::peer::wire::MAX_FRAME_BYTES;
use crate::session::token::{KEY_ID_LEN, Keyring};

/// Both ends have ephemeral keys only (NN), and prove by the first byte that is sealed that they have the common key
/// (psk0): a stranger costs no Diffie-Hellman.
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
/// First part of the prologue, before both HELLOs.
const PROLOGUE: &[u8] = b"game-gateway peer channel 2";
/// Purpose for which the psk is derived from the common key.
const PSK_INFO: &[u8] = b"peer channel 2 psk";
/// Bytes of each handshake message: an ephemeral key, and the tag of an empty payload.
const HANDSHAKE_LEN: usize = 48;
const TAG_LEN: usize = 16;
/// The most bytes of a frame in one message.
const MAX_PART: usize = 65_535 - TAG_LEN;
/// Bytes that a connection keeps for the next frame.
const KEPT_BYTES: usize = 4096;
/// Bytes of a frame's length.
const PREFIX_LEN: usize = 4;

fn builder<'a>(psk: &'a [u8; 32], prologue: &'a [u8]) -> Result<Builder<'a>, snow::Error> {
    let builder = Builder::new(PATTERN.parse()?);
    builder.psk(0, psk)?.prologue(prologue)
}

fn begin(
    keys: &Keyring,
    id: &[u8; KEY_ID_LEN],
    role: Role,
    sent: [&[u8]; 2],
) -> Result<HandshakeState, HandshakeError> {
    let psk = keys.derive(id, &[PSK_INFO]);
    let psk = psk.ok_or(HelloError::NoCommonKey)?;
    let prologue = [PROLOGUE, sent[0], sent[1]].concat();
    let builder = builder(&psk, &prologue)?;
    Ok(match role {
        Role::Caller => builder.build_initiator()?,
        Role::Callee => builder.build_responder()?,
    })
}

/// Performs the handshake behind the HELLOs as they were `sent`, the caller's first.
///
/// # Errors
/// See [`HandshakeError`].
pub(super) async fn shake<S>(
    stream: &mut S,
    keys: &Keyring,
    id: &[u8; KEY_ID_LEN],
    role: Role,
    sent: [&[u8]; 2],
) -> Result<(Sealer, Opener), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut state = begin(keys, id, role, sent)?;
    if role == Role::Caller {
        write_message(stream, &mut state).await?;
    }
    let mut message = [0; HANDSHAKE_LEN];
    let len = stream.read_u16().await?;
    if usize::from(len) != HANDSHAKE_LEN {
        return Err(HandshakeError::NoProof);
    }
    stream.read_exact(&mut message).await?;
    let read = state.read_message(&message, &mut []);
    read.map_err(|_| HandshakeError::NoProof)?;
    if role == Role::Callee {
        write_message(stream, &mut state).await?;
    }
    let state = Arc::new(Mutex::new(state.into_transport_mode()?));
    let opener = Opener {
        state: Arc::clone(&state),
        message: Vec::new(),
    };
    Ok((Sealer { state }, opener))
}

async fn write_message<S>(stream: &mut S, state: &mut HandshakeState) -> Result<(), HandshakeError>
where
    S: AsyncWrite + Unpin,
{
    let mut bytes = [0; 2 + HANDSHAKE_LEN];
    let len = state.write_message(&[], &mut bytes[2..])?;
    bytes[..2].copy_from_slice(&(len as u16).to_be_bytes());
    Ok(stream.write_all(&bytes[..2 + len]).await?)
}

/// The state of both directions. One task has it, so nobody ever waits for it.
type Shared = Arc<Mutex<TransportState>>;

fn lock(state: &Shared) -> MutexGuard<'_, TransportState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sending direction.
pub(super) struct Sealer {
    state: Shared,
}

/// The receiving direction.
pub(super) struct Opener {
    state: Shared,
    message: Vec<u8>,
}

impl Sealer {
    /// Seals what follows the first `at` bytes of a frame, as much as one message takes, and moves `at` behind that.
    /// Returns nothing if the nonces are used up.
    pub(super) fn seal_part(&mut self, frame: &[u8], at: &mut usize) -> Vec<u8> {
        let first = ((frame.len() as u32).to_be_bytes(), *at == 0);
        let prefix: &[u8] = if first.1 { &first.0 } else { &[] };
        let rest = &frame[*at..];
        let taken = rest.len().min(MAX_PART - prefix.len());
        let part = [prefix, &rest[..taken]].concat();
        let len = part.len() + TAG_LEN;
        let mut out = vec![0; 2 + len];
        out[..2].copy_from_slice(&(len as u16).to_be_bytes());
        let sealed = lock(&self.state).write_message(&part, &mut out[2..]);
        *at += taken;
        if sealed == Ok(len) { out } else { Vec::new() }
    }
}

impl Opener {
    /// Reads the next frame, whose bytes are counted in `room` as they come.
    ///
    /// # Errors
    /// The connection has failed or ended, or what comes is not the next frame of the other end.
    pub(super) async fn read<R>(&mut self, input: &mut R, room: &mut Room) -> io::Result<Vec<u8>>
    where
        R: AsyncRead + Unpin,
    {
        let mut frame = Vec::new();
        self.read_part(input, &mut frame, room).await?;
        let prefix = frame
            .first_chunk::<PREFIX_LEN>()
            .ok_or_else(|| wrong("frame without a length"))?;
        let len = u32::from_be_bytes(*prefix) as usize;
        if len > MAX_FRAME_BYTES {
            let error = format!("frame too large: {len} bytes, limit {MAX_FRAME_BYTES}");
            return Err(wrong(&error));
        }
        frame.drain(..PREFIX_LEN);
        while frame.len() < len {
            if frame.capacity() - frame.len() < MAX_PART {
                room.extend(&mut frame, len).await?;
            }
            if self.read_part(input, &mut frame, room).await? == 0 {
                return Err(wrong("empty part of a frame"));
            }
        }
        if frame.len() > len {
            return Err(wrong("frame longer than its length says"));
        }
        if self.message.capacity() > KEPT_BYTES {
            self.message = Vec::new();
        }
        Ok(frame)
    }

    /// Reads a message and appends what is in it to `frame`; returns how many bytes these are.
    async fn read_part<R>(
        &mut self,
        input: &mut R,
        frame: &mut Vec<u8>,
        room: &mut Room,
    ) -> io::Result<usize>
    where
        R: AsyncRead + Unpin,
    {
        let len = usize::from(input.read_u16().await?);
        let (at, most) = (frame.len(), len.saturating_sub(TAG_LEN));
        // The message beside the frame.
        room.grow(frame.capacity().max(at + most) + len).await?;
        self.message.resize(len, 0);
        input.read_exact(&mut self.message).await?;
        frame.reserve_exact(most);
        frame.resize(at + most, 0);
        let read = lock(&self.state).read_message(&self.message, &mut frame[at..]);
        let read =
            read.map_err(|_| wrong("message authentication failed: not sealed by the peer"))?;
        frame.truncate(at + read);
        Ok(read)
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::super::Hello;
    use super::*;

    /// Releases must understand each other, so the bytes are fixed. They come from another implementation of Noise, in
    /// another language.
    #[test]
    fn the_handshake_stays_as_it_is() {
        let keys = Keyring::new(&["k".repeat(32)]).unwrap();
        let hello = |gateway: &str, fill| {
            let hello = Hello {
                version: 2,
                nonce: [fill; 32],
                ..Hello::new(&keys, gateway, "10.0.0.1:7001")
            };
            hello.encode()
        };
        let prologue = [PROLOGUE, &hello("a", 1), &hello("b", 2)].concat();
        let psk = keys
            .derive(&keys.ids().next().unwrap(), &[PSK_INFO])
            .unwrap();
        let with = |ephemeral| {
            let builder = builder(&psk, &prologue).unwrap();
            builder.fixed_ephemeral_key_for_testing_only(ephemeral)
        };
        let mut caller = with(&[3; 32]).build_initiator().unwrap();
        let mut callee = with(&[4; 32]).build_responder().unwrap();
        let mut message = [0; HANDSHAKE_LEN];
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        caller.write_message(&[], &mut message).unwrap();
        assert_eq!(
            hex(&message),
            "5dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef22ff821086578b2aa2c2bcbfd71800a39e"
        );
        callee.read_message(&message, &mut []).unwrap();
        callee.write_message(&[], &mut message).unwrap();
        assert_eq!(
            hex(&message),
            "ac01b2209e86354fb853237b5de0f4fab13c7fcbf433a61c019369617fecf10b48964207fb1a43e70dc4e358e1dcab2d"
        );
        caller.read_message(&message, &mut []).unwrap();
        let first = |state: HandshakeState| {
            let state = state.into_transport_mode().unwrap();
            let state = Arc::new(Mutex::new(state));
            hex(&Sealer { state }.seal_part(b"game-gateway", &mut 0))
        };
        assert_eq!(
            first(caller),
            "00202026ec668eb9966ce2ecc668b6b8cd67a36bb1857d9c776582c3f0fc06dc3cd0"
        );
        assert_eq!(
            first(callee),
            "0020cd43e628b6c9809857988573a975443794bbfd4e9febb9030800bf416e266547"
        );
    }
}
