//! Whole flows over real sockets: a scripted player, the gateway, a scripted backend.

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod assigning;
mod bad_input;
mod bans;
mod chaos;
mod drain;
mod endings;
mod evacuation;
mod foreign;
mod framing;
mod health;
mod identity;
mod inspection;
mod limits;
mod links;
mod names;
mod operators;
mod pressure;
mod probing;
mod queues;
mod realms;
mod replies;
mod restarts;
mod routes;
mod scene;
mod sessions;
mod stage;
mod supervision;
mod transfer_targets;
mod transfers;
