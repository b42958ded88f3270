//! The peer channel's connection (docs/peer.md): two gateways that prove to each other that they have
//! a key of the deployment in common, and then frames that nobody else can read or make.
//!
//! ```text
//! caller                                       callee
//!    │ HELLO: version, key ids, nonce, who I am ──▶│
//!    │◀── HELLO: version, key ids, nonce, who I am │
//!    │ first sealed record: the proof ────────────▶│ a stranger gets no further, and
//!    │◀──────────── first sealed record: the proof │ has learned nothing but the HELLO
//!    │ sealed frames ◀────────────────────────────▶│
//! ```

mod handshake;
mod hello;
mod sealed;

pub use handshake::{HandshakeError, HandshakeFailure, answer, call};
pub use hello::{Hello, HelloError, MAX_HELLO_BYTES, Role, VERSION};
pub use sealed::{Opener, Sealer, Unreadable};
