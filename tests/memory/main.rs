//! The memory of a gateway, in a process of its own, under peers that try to take all of it.

#[path = "../support/mod.rs"]
mod support;

mod alternating;
mod backends;
mod http;
mod links;
mod moves;
mod multicast;
mod parts;
mod peer_floods;
mod peers;
mod pressure;
mod rings;
mod slow_readers;
mod stage;
mod suspended;
mod tls;
mod websocket;
mod worst;
