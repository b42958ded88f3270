//! Whole flows over real sockets: a scripted player, the gateway, a scripted backend.

#[path = "../support/mod.rs"]
mod support;

mod drain;
mod health;
mod links;
mod pressure;
mod replies;
mod routes;
mod sessions;
mod stage;
