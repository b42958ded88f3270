//! The gateway that a game studio puts in front of its servers.

pub mod backend;
pub mod cli;
pub mod client;
pub mod codec;
