//! The gateway that a game studio puts in front of its servers.

pub mod actors;
pub mod admin;
pub mod backend;
pub mod cli;
pub mod client;
pub mod codec;
pub mod config;
pub mod metrics;
pub mod net;
pub mod routing;
pub mod run;
pub mod session;
pub mod store;
