//! The Helm chart: rendered by the real Helm 3 and Helm 4, and checked by what a cluster, Prometheus
//! and the gateway itself would make of it. `scripts/chart-tools` installs what is run here.

#[path = "../support/mod.rs"]
mod support;

mod admin_tls;
mod configuration;
mod container;
mod dashboards;
mod documents;
mod first_steps;
mod guards;
mod names;
mod notes;
mod objects;
mod parts;
mod placement;
mod renderings;
mod rules;
mod services;
mod tools;
