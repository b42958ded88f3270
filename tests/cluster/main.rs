//! The chart in a cluster: real helm and kubectl against an API server, controllers, a kubelet and
//! Services of our own, with the real program in every pod.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/play/mod.rs"]
mod play;

mod addresses;
mod api;
mod bad_input;
mod cluster;
mod control;
mod defaults;
mod journal;
mod kubelet;
mod rolling;
mod routes;
mod scaling;
mod selector;
mod services;
mod store;
