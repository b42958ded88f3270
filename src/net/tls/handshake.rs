//! The handshake of either side.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustls::{Error, PeerIncompatible};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::TlsSocket;
use super::records::{HANDSHAKE_BYTES, Records, has_record};
use super::turns::in_turns;

/// Bytes that one read takes; most messages of a handshake are shorter.
const READ_BYTES: usize = 1024;
/// Time for which input is discarded after an alert, so that no reset overtakes it.
const LINGER: Duration = Duration::from_secs(1);
/// The fatal alert protocol_version.
const ALERT_PROTOCOL_VERSION: [u8; 7] = [0x15, 3, 1, 0, 2, 2, 70];
/// The fatal alert decode_error, before anything is encrypted.
const ALERT_DECODE_ERROR: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 50];
/// TLS 1.2 on the wire, the oldest version here.
const OLDEST_VERSION: u16 = 0x0303;

/// A failed handshake, whose alert is sent.
#[derive(Debug)]
pub struct HandshakeFailed {
    /// The reason.
    pub error: io::Error,
    socket: Option<TcpStream>,
}

impl HandshakeFailed {
    fn of(error: Error, socket: TcpStream) -> HandshakeFailed {
        HandshakeFailed {
            error: io::Error::new(io::ErrorKind::InvalidData, error),
            socket: Some(socket),
        }
    }

    /// Ends the connection so that no reset overtakes the alert, within a second.
    pub async fn part(self) {
        if let Some(mut socket) = self.socket
            && socket.shutdown().await.is_ok()
        {
            let mut sink = tokio::io::sink();
            // The end of this is the end of the connection, whether the peer has ended or not.
            let _ = timeout(LINGER, tokio::io::copy(&mut socket, &mut sink)).await;
        }
    }
}

impl From<io::Error> for HandshakeFailed {
    fn from(error: io::Error) -> HandshakeFailed {
        HandshakeFailed {
            error,
            socket: None,
        }
    }
}

/// Performs a handshake; `incoming` is what was read already. `grows` hears how many bytes have come and are not used
/// yet, and says whether there is room for as many. `turn`: whose it is among those who take turns; none where it is
/// not one of many.
///
/// # Errors
/// The remote end breaks TLS or has no version or algorithm in common, one side's certificate is not good for the
/// other, or the connection has ended. The alert is sent unless it has.
pub(super) async fn shake(
    mut records: Records,
    mut socket: TcpStream,
    mut incoming: BytesMut,
    turn: Option<u128>,
    mut grows: impl FnMut(usize) -> bool,
) -> Result<TlsSocket, HandshakeFailed> {
    let (mut outgoing, mut plain) = (Vec::new(), Vec::new());
    // A client speaks first.
    let mut is_due = matches!(records, Records::Client(_)) || has_record(&incoming);
    let (mut client_version, mut has_spoken) = (None, false);
    loop {
        // What is left of the step before needs more, however much of it is here.
        while !is_due {
            read(&mut socket, &mut incoming, &mut grows).await?;
            is_due = has_record(&incoming);
            if incoming.len() > HANDSHAKE_BYTES {
                if !has_spoken {
                    // Its end is the reason, whoever still hears the alert.
                    let _ = socket.write_all(&ALERT_DECODE_ERROR).await;
                }
                let error = Error::General("a message is too long".into());
                return Err(HandshakeFailed::of(error, socket));
            }
        }
        is_due = false;
        client_version = client_version.or_else(|| version_of(&incoming));
        // This signs where the other side has sent what it takes.
        let step = async {
            let plain = |bytes: &[u8]| plain.extend_from_slice(bytes);
            records.take(&mut incoming, &mut outgoing, plain)
        };
        let taken = match turn {
            Some(source) => in_turns(source, step).await,
            None => step.await,
        };
        if let Err(error) = &taken
            && is_outdated(error, client_version)
        {
            outgoing = ALERT_PROTOCOL_VERSION.to_vec();
        }
        has_spoken |= !outgoing.is_empty();
        let told = socket.write_all(&outgoing).await;
        outgoing.clear();
        match taken {
            Ok(taken) => {
                told?;
                incoming.advance(taken.bytes);
                if !records.common().is_handshaking() {
                    return Ok(TlsSocket::new(
                        socket,
                        records,
                        &incoming,
                        plain,
                        taken.is_ended,
                    ));
                }
                if taken.is_ended {
                    return Err(ended());
                }
            }
            // This is the reason, whoever still hears the alert.
            Err(error) => return Err(HandshakeFailed::of(error, socket)),
        }
    }
}

/// Reads once.
async fn read(
    socket: &mut TcpStream,
    incoming: &mut BytesMut,
    grows: &mut impl FnMut(usize) -> bool,
) -> Result<(), HandshakeFailed> {
    incoming.reserve(READ_BYTES);
    if socket.read_buf(incoming).await? == 0 {
        return Err(ended());
    }
    match grows(incoming.len()) {
        true => Ok(()),
        false => Err(io::Error::from(io::ErrorKind::OutOfMemory).into()),
    }
}

fn ended() -> HandshakeFailed {
    io::Error::from(io::ErrorKind::UnexpectedEof).into()
}

/// Returns the version in a ClientHello of which `read` is the beginning; later ones than TLS 1.2 look like it.
fn version_of(read: &[u8]) -> Option<u16> {
    // Behind the headers of record and message, in 5 and 4 bytes.
    let version = read.get(9..)?.first_chunk()?;
    Some(u16::from_be_bytes(*version))
}

/// Returns true if a client was refused for what only later versions have, although its version is the reason.
fn is_outdated(error: &Error, client_version: Option<u16>) -> bool {
    let required = PeerIncompatible::SignatureAlgorithmsExtensionRequired;
    *error == Error::PeerIncompatible(required)
        && client_version.is_some_and(|v| v < OLDEST_VERSION)
}
