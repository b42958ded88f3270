//! Routing data in Redis: a gateway, players and backends beside real Redis servers that are
//! changed, stopped, paused and misconfigured.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod admin_api;
mod assignments;
mod changes;
mod history;
mod mistakes;
mod outages;
mod scale;
mod sentinel;
mod stage;
mod terminal;
mod tls;
