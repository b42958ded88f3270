//! The TLS handshake of a connection.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;

use super::Refused;
use crate::memory::{self, Held, Part};
use crate::net;
use crate::net::entry_host::EntryParams;
use crate::net::socket::Socket;

/// Bytes of the buffers and keys of a handshake whose first message is as long as those of players are.
const HANDSHAKE_BYTES: usize = 16 * 1024;
/// So many bytes of that message are among these. A longer one, of up to 64 KiB, lies in a buffer that doubles.
const USUAL_BYTES: usize = 2 * 1024;

/// Returns true if this connection must speak TLS and does not.
pub(super) fn is_missing(socket: &Socket, params: &EntryParams) -> bool {
    params.config.listen.tls.required && matches!(socket, Socket::Tcp(_))
}

/// Performs the TLS handshake of this player; `read` is its beginning.
pub(super) async fn accept(
    socket: Socket,
    read: BytesMut,
    player: IpAddr,
    params: &EntryParams,
) -> Result<Socket, Refused> {
    let (Socket::Tcp(socket), Some(config)) = (socket, params.tls.server()) else {
        // TLS is not configured, or this is TLS inside TLS.
        return Err(Refused::Unrecognised);
    };
    if params.host.refuses_handshakes() || !memory::admits(HANDSHAKE_BYTES) {
        return Err(Refused::TlsBusy);
    }
    let mut held = Held::new(Part::Sockets, HANDSHAKE_BYTES);
    let grows = |came: usize| {
        let more = HANDSHAKE_BYTES + 2 * came.saturating_sub(USUAL_BYTES);
        let fits = more <= held.bytes() || memory::admits(more - held.bytes());
        held.set(more.max(held.bytes()));
        fits
    };
    let began = params.host.now();
    let source = params.config.limits.source_key(player);
    let handshake = params.tls.begin_handshake(began, source);
    let handshake = handshake.ok_or(Refused::TlsBusy)?;
    let shaken = tokio::select! {
        biased;
        shaken = net::tls::accept(config, socket, read, source, grows) => shaken,
        () = handshake.must_give_way() => return Err(Refused::TlsBusy),
    };
    drop(handshake);
    match shaken {
        Ok(socket) => {
            let took = params.host.now().saturating_sub(began);
            params.host.encrypted(Duration::from_nanos(took));
            Ok(Socket::Tls(Box::new(socket)))
        }
        Err(failed) => {
            tracing::debug!(peer = %params.remote, error = %failed.error, "TLS handshake failed");
            let refused = match failed.error.kind() {
                ErrorKind::OutOfMemory => Refused::TlsBusy,
                _ => Refused::TlsFailed,
            };
            failed.part().await;
            Err(refused)
        }
    }
}
