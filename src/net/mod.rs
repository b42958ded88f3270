//! Sockets, without actors.
//!
//! * [`listen`]: listening sockets that the workers share, and the open-file limit.
//! * [`entry`]: leads in a connection that does not begin with a frame: PROXY, TLS, HTTP;
//!   [`entry_host`] is its environment.
//! * [`socket`]: one type for every transport that a session may come over.
//! * [`read_only`]: what is left of a socket after a write has failed.
//! * [`abandoned`]: whether a remote end has gone while its socket is not read.
//! * [`tls`]: TLS for players and to backends.
//! * [`http`]: HTTP requests, each with an answer, a session or a WebSocket.
//! * [`websocket`]: frames in messages.
//! * [`outbox`]: bytes that wait to be written to one socket.
//!   A [`mod@slice`] of them keeps the buffer alive that it came in.
//! * [`dial`]: connections of a client's side, with TLS where configured.
//! * [`path`]: connections whose path has died silently fail.
//! * [`peer`]: the connection between two gateways that prove their identity.
//! * [`timers`]: one coarse timer wheel a worker instead of a timer in every client.

pub mod abandoned;
pub mod dial;
pub mod entry;
pub mod entry_host;
pub(crate) mod http;
pub mod listen;
pub mod outbox;
pub mod path;
pub mod peer;
pub mod read_only;
pub mod slice;
pub mod socket;
pub mod timers;
pub mod tls;
pub mod websocket;
