//! The admin API over real sockets, and `game-gateway admin` as a process.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod actors;
mod assign;
mod backend_state;
mod bad_input;
mod bans;
mod connections;
mod crowds;
mod document;
mod drain;
mod endpoints;
mod events;
mod http;
mod limits;
mod metrics;
mod pages;
mod refusals;
mod several;
mod slow;
mod stories;
mod stuck;
mod talkers;
mod terminal;
mod traces;
