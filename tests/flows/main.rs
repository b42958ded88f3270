//! Whole flows over real sockets: a scripted player, the gateway, a scripted backend.

#[path = "../support/mod.rs"]
mod support;

mod sessions;
