//! The actors, one a file or folder, each with the messages that it receives.
//!
//! Commands live with their receiver, events with their emitter, so that imports point one way:
//! client → router, pool, link, registry; router → pool → link → registry. What travels the other
//! way travels as a `Recipient` of an event. See ARCHITECTURE.md for the whole picture.

pub mod backend_pool;
pub mod census;
pub mod certificate_watcher;
pub mod client;
pub mod comeback;
pub mod config_watcher;
pub mod drain;
pub mod gateway;
mod kind;
pub mod life;
pub mod link;
pub mod link_book;
pub mod peers;
pub mod router;
pub mod scope;
pub mod session_registry;
pub mod snapshots;
pub mod status;
pub mod worker;
