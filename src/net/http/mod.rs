//! HTTP/1.1, one request at a time: all of it at the players' port, and what the admin API's port shares.
//!
//! * [`connection`]: the requests of a connection one after the other, and its deadlines.
//! * [`stream`]: its socket, and the bytes that were read and not taken.
//! * [`body`]: the head and body of one request.
//! * [`request`]: what a request asks for, and whether it is refused.
//! * [`mod@response`]: answers, before and as HTTP; [`head`]: the text of their heads.
//! * [`one_shot`]: a POST as a session of its own.
//! * [`upgrade`]: the handshake of a WebSocket.
//!
//! actix-http reads heads and bodies ([`body`]), for it refuses what two readers could understand
//! differently. Its server decodes requests ahead of their answers, without a bound where they cannot
//! be written. hyper's server does not, but it takes Content-Length beside Transfer-Encoding, and twice,
//! without a trace of it in the request, and keeps 10 KiB for an idle connection.

mod body;
mod connection;
mod head;
mod one_shot;
mod request;
mod response;
mod stream;
mod upgrade;

use bytes::BytesMut;

use super::entry_host::EntryParams;
use super::socket::Socket;
use connection::Connection;

pub(crate) use body::{Body, Broken, Mistake, READ_BYTES, read_head};
pub(crate) use connection::CONTINUE;
pub(crate) use head::Head;
pub(crate) use request::{MALFORMED_HOST, Manner, is_host};
pub(crate) use stream::Stream;

/// Serves the connection until it ends; returns the WebSocket that it has become instead. `read` was
/// read from it already.
pub(super) async fn serve(socket: Socket, read: BytesMut, params: EntryParams) -> Option<Socket> {
    params.host.serving_http();
    Connection::new(socket, read, params).serve().await
}
