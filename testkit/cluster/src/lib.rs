//! As much of Kubernetes as an upgrade needs, in one process: see README.md.

mod addresses;
mod api;
mod cluster;
mod control;
mod defaults;
mod journal;
mod kubelet;
mod late;
mod names;
mod selector;
mod services;
mod store;

pub use cluster::{Cluster, Said, Setup};
pub use control::is_true;
pub use journal::{Journal, PodEnd};
pub use store::{Change, Key, Store};
