//! Players and a game server with numbered frames both ways: whatever is lost, doubled or late shows.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test crate uses its own part of this"
)]

mod numbers;
mod players;
mod server;

pub(crate) use numbers::Faults;
pub(crate) use players::{Players, SERVICE, Summary};
pub(crate) use server::Server;
