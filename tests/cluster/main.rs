//! The chart in a cluster: real helm and kubectl against an API server, controllers, a kubelet and
//! Services of our own, with the real program in every pod.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod api;
mod bad_input;
mod cluster;
mod control;
mod defaults;
mod journal;
mod kubelet;
mod numbers;
mod players;
mod rolling;
mod routes;
mod scaling;
mod selector;
mod server;
mod services;
mod store;
