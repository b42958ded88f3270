//! Where routing data comes from. No actors: what is here reads once, and others decide when.
//!
//! * [`mod@file`]: the routes file.
//! * [`mod@resolve`]: names to addresses.

pub mod file;
pub mod resolve;

pub use resolve::{Resolved, resolve};
