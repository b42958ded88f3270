//! Players who go on while gateways come and go: real gateways as processes, behind a real HAProxy.

#[path = "../support/play/mod.rs"]
mod play;
#[path = "../support/mod.rs"]
mod support;

mod frozen;
mod game_servers;
mod refused;
mod rolling;
mod stage;
