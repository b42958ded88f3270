//! Spans of sessions, as a collector gets them.

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "shared with the tests of resume")]
#[path = "../resume/stage.rs"]
mod stage;

mod collector;
mod gateways;
mod sessions;
mod troubles;
