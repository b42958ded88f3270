//! The TLS handshake of a connection.

use std::time::Duration;

use bytes::BytesMut;

use super::Refused;
use crate::memory::{self, Held, Part};
use crate::net;
use crate::net::entry_host::EntryParams;
use crate::net::socket::Socket;

/// Bytes of the buffers and keys of a handshake: a message of 64 KiB, the largest that is taken, and one read.
const HANDSHAKE_BYTES: usize = 72 * 1024;

/// Returns true if this connection must speak TLS and does not.
pub(super) fn is_missing(socket: &Socket, params: &EntryParams) -> bool {
    params.config.listen.tls.required && matches!(socket, Socket::Tcp(_))
}

/// Performs the TLS handshake; `read` is its beginning.
pub(super) async fn accept(
    socket: Socket,
    read: BytesMut,
    params: &EntryParams,
) -> Result<Socket, Refused> {
    let (Socket::Tcp(socket), Some(config)) = (socket, params.tls.server()) else {
        // TLS is not configured, or this is TLS inside TLS.
        return Err(Refused::Unrecognised);
    };
    if params.host.refuses_handshakes() || !memory::admits(HANDSHAKE_BYTES) {
        return Err(Refused::TlsBusy);
    }
    let _held = Held::new(Part::Sockets, HANDSHAKE_BYTES);
    let began = params.host.now();
    let handshake = params.tls.begin_handshake(began);
    let handshake = handshake.ok_or(Refused::TlsBusy)?;
    let shaken = net::tls::accept(config, socket, read).await;
    drop(handshake);
    match shaken {
        Ok(socket) => {
            let took = params.host.now().saturating_sub(began);
            params.host.encrypted(Duration::from_nanos(took));
            Ok(Socket::Tls(Box::new(socket)))
        }
        Err(failed) => {
            tracing::debug!(peer = %params.remote, error = %failed.error, "TLS handshake failed");
            failed.part().await;
            Err(Refused::TlsFailed)
        }
    }
}
