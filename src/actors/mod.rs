//! The actors, one a file or folder, each with the messages that it receives.
//!
//! Commands live with their receiver, events with their emitter, so that imports point one way:
//! client → router, pool, link, registry; router → pool → link → registry. What travels the other
//! way travels as a `Recipient` of an event. See ARCHITECTURE.md for the whole picture.

pub mod backend_pool;
pub mod certificate_watcher;
pub mod client;
pub mod config_watcher;
pub mod gateway;
pub mod link;
pub mod peers;
pub mod router;
pub mod session_registry;
pub mod worker;
