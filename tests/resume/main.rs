//! Sessions that outlive their connections, over real sockets.

#[path = "../support/mod.rs"]
mod support;

mod case_1;
mod case_2;
mod case_3;
mod drain;
mod neighbours;
mod played;
mod stage;
mod strangers;
mod tokens;
