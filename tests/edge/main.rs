//! One port for every player: PROXY protocol, HTTP and WebSocket beside raw frames, with bytes made
//! by hand and with programs that others wrote.

#[path = "../support/mod.rs"]
mod support;

mod autobahn;
mod handshake;
mod http;
mod peers;
mod proxy;
mod scene;
mod slow;
mod smuggling;
mod sniffing;
mod websocket;
