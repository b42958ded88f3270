//! The peer channel's connection (docs/peer.md): two gateways that prove to each other that they have
//! a key of the deployment in common, and then frames that nobody else can read or make.
//!
//! ```text
//! caller                                       callee
//!    │ HELLO: version, key ids, nonce, who I am ──▶│
//!    │◀── HELLO: version, key ids, nonce, who I am │
//!    │ Noise, psk and ephemeral key ──────────────▶│ a stranger gets no further, and
//!    │◀──────────────────────────── ephemeral key │ has learned nothing but the HELLO
//!    │ sealed frames ◀────────────────────────────▶│
//! ```

mod handshake;
mod hello;
mod noise;
mod room;
mod sealed;
mod version_1;

pub use handshake::{HandshakeError, HandshakeFailure, Secured, answer, call};
pub use hello::{FIRST_WITH_QUESTIONS, Hello, HelloError, MAX_HELLO_BYTES, VERSION};
pub use room::NoRoom;
pub use sealed::{Opener, Sealer};
