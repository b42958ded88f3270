//! Pages in a real browser: the one of examples/, and the admin API's.

#[path = "../support/mod.rs"]
mod support;

mod chromium;
mod deployment;
mod operator;
mod play;
mod scene;
mod views;
