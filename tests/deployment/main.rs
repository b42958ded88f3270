//! Several gateways of one deployment, asked through one of them.

#[path = "../support/mod.rs"]
mod support;

mod all_gateways;
mod hanging;
mod stage;
mod stopped;
mod terminal;
