//! The chart in a cluster: real helm and kubectl against the Kubernetes of `testkit/cluster`, with the
//! real program in every pod.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/play/mod.rs"]
mod play;

mod bad_input;
mod game_servers;
mod rolling;
mod routes;
mod scaling;
mod stage;
