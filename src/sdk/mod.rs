//! Libraries for authors of players and of backends. The demo, the load generator and the tests use
//! them; the gateway itself does not.

pub mod backend;
pub mod client;
