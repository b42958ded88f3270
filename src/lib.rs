//! The gateway that a game studio puts in front of its servers.

pub mod codec;
pub mod routing;
pub mod store;
