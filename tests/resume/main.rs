//! Sessions that outlive their connections, over real sockets.

#[path = "../support/mod.rs"]
mod support;

mod banned;
mod channel;
mod drain;
mod gateway_gone;
mod javascript;
mod kicked;
mod neighbours;
mod operators;
mod other_gateway;
mod played;
mod questions;
mod same_gateway;
mod stage;
mod stopped;
mod stories;
mod strangers;
mod tokens;
mod traced;
