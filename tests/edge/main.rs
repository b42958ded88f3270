//! One port for every player: PROXY protocol, HTTP and WebSocket beside raw frames, with bytes made
//! by hand and with programs that others wrote.

#[path = "../support/mod.rs"]
mod support;

mod admin_tls;
mod autobahn;
mod backend_tls;
mod balancers;
mod bans;
mod floods;
mod handshake;
mod http;
mod last_words;
mod last_words_heard;
mod nginx;
mod passed_on;
mod peers;
mod pipelines;
mod proxy;
mod scene;
mod served;
mod silent_paths;
mod slow;
mod smuggling;
mod sniffing;
mod tls;
mod tls_files;
mod tls_peers;
mod tls_refusals;
mod tls_scene;
mod traces;
mod turns;
mod upgrades;
mod websocket;
