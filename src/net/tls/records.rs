//! Records (RFC 8446, 5) without buffers: rustls decrypts them where they were read, and encrypts into what the caller
//! has. A connection that waits for neither side holds its keys alone.

use std::fmt;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeTlsData, UnbufferedStatus};
use rustls::{CommonState, Error};

/// Most bytes of plaintext in a record (RFC 8446, 5.1).
pub(super) const PLAINTEXT_BYTES: usize = 16 * 1024;
/// By how many bytes a record may exceed its plaintext, its header aside (RFC 5246, 6.2.3).
const EXPANSION_BYTES: usize = 2 * 1024;
/// By how many bytes one usually does: a header, a nonce or a type, and a tag.
pub(super) const USUAL_EXPANSION_BYTES: usize = 32;
/// Bytes of a record's header: its type, a version and the length of what follows.
const HEADER_BYTES: usize = 5;
/// Most bytes of the longest record.
pub(super) const RECORD_BYTES: usize = HEADER_BYTES + PLAINTEXT_BYTES + EXPANSION_BYTES;
/// Most bytes of records of which a handshake's message is not whole: the longest message that is taken, and a record.
pub(super) const HANDSHAKE_BYTES: usize = 64 * 1024 + RECORD_BYTES;
/// Room for what is said ahead of a write: an alert, new keys.
const SAID_BYTES: usize = 1024;

/// One connection: its keys, and how far its handshake is.
pub(super) enum Records {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What the records that have come led to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Bytes at the front that are no longer needed.
    pub(super) bytes: usize,
    /// The remote end has said that it sends nothing more.
    pub(super) is_ended: bool,
}

/// What is encrypted.
#[derive(Clone, Copy)]
pub(super) enum Sealed<'a> {
    Data(&'a [u8]),
    /// That nothing more is sent (RFC 8446, 6.1).
    Farewell,
}

/// Where one step has led.
enum Step {
    /// There may be more to do.
    More,
    /// The remote end sends nothing more.
    Ended,
    /// More has to come first.
    Done,
}

/// One side's connection: the library has the same method on both, and no trait for it.
trait Process {
    type Data;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Process for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ClientConnectionData> {
        self.process_tls_records(incoming)
    }
}

impl Process for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ServerConnectionData> {
        self.process_tls_records(incoming)
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Records::Client(_) => "Records::Client",
            Records::Server(_) => "Records::Server",
        })
    }
}

impl Records {
    /// What both sides have.
    pub(super) fn common(&self) -> &CommonState {
        match self {
            Records::Client(connection) => connection,
            Records::Server(connection) => connection,
        }
    }

    /// Decrypts the records in `incoming` and gives what is in them to `plain`; what has to be said about them is
    /// appended to `outgoing`. Bytes that are not taken must come again as they are left, with more behind them.
    ///
    /// # Errors
    /// The remote end breaks TLS. The alert is appended to `outgoing`.
    pub(super) fn take(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        mut plain: impl FnMut(&[u8]),
    ) -> Result<Taken, Error> {
        let mut taken = Taken::default();
        loop {
            let (bytes, step) = self.step(&mut incoming[taken.bytes..], outgoing, &mut plain);
            taken.bytes += bytes;
            match step {
                Ok(Step::More) => {}
                Ok(Step::Ended) => taken.is_ended = true,
                Ok(Step::Done) => return Ok(taken),
                Err(error) => {
                    // The alert comes ahead of everything that is still to be read.
                    while self.common().wants_write() {
                        let rest = &mut incoming[taken.bytes..];
                        self.step(rest, outgoing, &mut plain).1?;
                    }
                    return Err(error);
                }
            }
        }
    }

    fn step(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        plain: &mut impl FnMut(&[u8]),
    ) -> (usize, Result<Step, Error>) {
        match self {
            Records::Client(connection) => step(connection, incoming, outgoing, plain),
            Records::Server(connection) => step(connection, incoming, outgoing, plain),
        }
    }

    /// Encrypts `what` into `room`, in records as large as may be; returns how many bytes these are. `begun`: input
    /// that was not taken.
    ///
    /// # Errors
    /// The keys are used up, the connection is closed, or there is less room than [`room_for`] says.
    pub(super) fn seal(
        &mut self,
        what: Sealed<'_>,
        begun: &mut [u8],
        room: &mut [u8],
    ) -> Result<usize, Error> {
        match self {
            Records::Client(connection) => seal(connection, what, begun, room),
            Records::Server(connection) => seal(connection, what, begun, room),
        }
    }
}

/// Returns how much room so many bytes of data need when they are encrypted, at most.
pub(super) const fn room_for(bytes: usize) -> usize {
    bytes + bytes.div_ceil(PLAINTEXT_BYTES) * USUAL_EXPANSION_BYTES + SAID_BYTES
}

/// Tells whether the first record in `incoming` is whole, or never will be: what is no record is known by its header.
pub(super) fn has_record(incoming: &[u8]) -> bool {
    let Some([kind, major, _, high, low]) = incoming.first_chunk::<HEADER_BYTES>() else {
        return false;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    // change_cipher_spec to application_data, of any version 3 (RFC 8446, 5.1).
    let is_record = matches!(kind, 20..=23) && *major == 3;
    !is_record
        || length > PLAINTEXT_BYTES + EXPANSION_BYTES
        || incoming.len() >= HEADER_BYTES + length
}

/// Returns how many bytes of `incoming` are no longer needed, and where that has led.
fn step<P: Process>(
    connection: &mut P,
    incoming: &mut [u8],
    outgoing: &mut Vec<u8>,
    plain: &mut impl FnMut(&[u8]),
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state } = connection.process(incoming);
    let read = || {
        Ok(match state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plain(record.payload);
                }
                Step::More
            }
            ConnectionState::EncodeTlsData(data) => encode(data, outgoing).map(|()| Step::More)?,
            ConnectionState::TransmitTlsData(data) => {
                // The caller sends what is outgoing before it does anything else.
                data.done();
                Step::More
            }
            ConnectionState::PeerClosed => Step::Ended,
            ConnectionState::Closed
            | ConnectionState::BlockedHandshake
            | ConnectionState::WriteTraffic(_) => Step::Done,
            // Early data is never offered.
            other => return Err(unexpected(&other)),
        })
    };
    let step = read();
    (discard, step)
}

fn seal<P: Process>(
    connection: &mut P,
    what: Sealed<'_>,
    begun: &mut [u8],
    room: &mut [u8],
) -> Result<usize, Error> {
    let mut used = 0;
    loop {
        match connection.process(begun).state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let room = &mut room[used..];
                let sealed = match what {
                    Sealed::Data(plain) => traffic.encrypt(plain, room),
                    Sealed::Farewell => traffic.queue_close_notify(room),
                };
                let sealed = sealed.map_err(|error| Error::General(error.to_string()))?;
                return Ok(used + sealed);
            }
            ConnectionState::EncodeTlsData(mut data) => {
                let said = data.encode(&mut room[used..]);
                used += said.map_err(|error| Error::General(error.to_string()))?;
            }
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => {}
            other => return Err(unexpected(&other)),
        }
    }
}

/// Appends what has to be said.
fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) -> Result<(), Error> {
    use rustls::unbuffered::EncodeError::InsufficientSize;
    let begin = outgoing.len();
    let needed = match data.encode(&mut []) {
        Err(InsufficientSize(needed)) => needed.required_size,
        Err(error) => return Err(Error::General(error.to_string())),
        Ok(_) => return Ok(()),
    };
    outgoing.resize(begin + needed, 0);
    let encoded = data.encode(&mut outgoing[begin..]);
    encoded.map_err(|error| Error::General(error.to_string()))?;
    Ok(())
}

fn unexpected<Data>(state: &ConnectionState<'_, '_, Data>) -> Error {
    Error::General(format!("unexpected state of TLS: {state:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_waited_for_and_nothing_else() {
        assert!(!has_record(&[22, 3, 1, 0]));
        assert!(!has_record(&[22, 3, 1, 0, 2, 9]));
        assert!(has_record(&[22, 3, 1, 0, 2, 9, 9]));
        for other in [
            &b"HTTP/1.1 400"[..],
            &[0, 0, 0, 104, 1],
            &[22, 2, 1, 0, 9],
            &[22, 3, 3, 0xff, 0xff],
        ] {
            assert!(has_record(other), "{other:?}");
        }
    }
}
