//! The actors, one a file or folder, each with the messages that it receives.
//!
//! Commands live with their receiver, events with their emitter, and imports point one way, in the
//! order of ARCHITECTURE.md. What travels the other way travels as a recipient of an event.

pub mod assignment_reader;
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
