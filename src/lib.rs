//! The gateway that a game studio puts in front of its servers.
//!
//! **The journey of a byte.** A worker's listener accepts a connection ([`net::listen`]) and starts a
//! client actor ([`actors::client`]). It reads into a buffer that its thread shares
//! ([`codec::buffers`]), decodes whole frames there ([`codec::client`]), and asks its session what
//! becomes of each ([`session::state`]). The first one starts the session
//! ([`actors::session_registry`]); the first one to a service is routed ([`actors::router`], over
//! [`routing`]) and bound to a link ([`actors::backend_pool`]). From then on one socket read is one
//! `Forward` to that link ([`actors::link`]), which writes what all its clients have sent with one
//! system call ([`net::outbox`]). One read of the backend's answers is one `Deliver` to each client
//! concerned, and that is written to its socket.
//!
//! Beside that road: where the routing data comes from ([`store`], [`actors::config_watcher`]), what
//! operators see ([`admin`], [`metrics`]) and set ([`config`]), how it all starts ([`run`]), and what
//! one plays with ([`sdk`], [`cli`]). ARCHITECTURE.md has the whole picture.

#![warn(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody reads; see cli::output and logging"
)]

pub mod actors;
pub mod admin;
pub mod admission;
pub mod cli;
pub mod codec;
pub mod config;
pub mod history;
pub mod inspection;
pub mod labels;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod net;
pub mod routing;
pub mod run;
pub mod scope;
pub mod sdk;
pub mod session;
pub mod store;
pub mod supervision;
pub mod telemetry;
pub mod traces;

#[cfg(doctest)]
#[doc = include_str!("../docs/backends.md")]
mod guide_for_backends {}
