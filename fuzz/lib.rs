//! The parts of the gateway that decode what others send, under the gateway's name, and no more: the rest would be built
//! for longer than anything is fuzzed.

#![allow(dead_code, unused_imports, reason = "what the rest of the gateway uses")]

#[path = "../src/codec/mod.rs"]
pub mod codec;
#[path = "../src/config/mod.rs"]
pub mod config;
#[path = "../src/labels.rs"]
pub mod labels;
#[path = "../src/memory/mod.rs"]
pub mod memory;
#[path = "../src/net/mod.rs"]
pub mod net;
#[path = "../src/routing/mod.rs"]
pub mod routing;
#[path = "../src/session/mod.rs"]
pub mod session;
