//! Sockets, without actors.
//!
//! * [`dial`]: connections of a client's side, with TLS where wanted.
//! * [`listen`]: listening sockets that the workers share, and the open-file limit.
//! * [`entry`]: how a connection begins that does not begin with a frame: PROXY, HTTP, WebSocket.
//! * [`outbox`]: what waits to be written to one socket.
//! * [`peer`]: the connection between two gateways that prove who they are.
//! * [`tls`]: TLS for players and to backends.
//! * [`timers`]: one coarse timer wheel a worker instead of a timer in every client.

pub mod dial;
pub mod entry;
pub mod listen;
pub mod outbox;
pub mod peer;
pub mod socket;
pub mod timers;
pub mod tls;
