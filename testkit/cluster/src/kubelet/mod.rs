//! The kubelet: starts the real program for each pod, in the pod's own address, and does with it
//! what Kubernetes does: configuration, probes, restarts, the way to its end.
//!
//! There are no namespaces of files or networks here. So what names a mounted path, every address
//! (`0.0.0.0`) or a Service is translated on its way into the container: [`translation`].

mod container;
mod environment;
mod pod;
mod pre_stop;
mod probes;
mod translation;
mod volumes;

pub(crate) use container::LOOK;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::journal::Journal;
use crate::store::Store;

/// Settings of the pods of one cluster.
struct Kubelet {
    store: Arc<Store>,
    journal: Arc<Journal>,
    /// Contents of the image.
    program: PathBuf,
    /// The pods' `/etc/resolv.conf`; none: that of this machine.
    resolver: Option<PathBuf>,
    /// Where the pods have their files.
    root: TempDir,
}

/// Runs all pods until the task is aborted, which kills them.
pub(crate) async fn run(
    store: Arc<Store>,
    journal: Arc<Journal>,
    program: PathBuf,
    resolver: Option<PathBuf>,
) {
    let mut versions = store.versions();
    let kubelet = Arc::new(Kubelet {
        store,
        journal,
        program,
        resolver,
        root: tempfile::tempdir().expect("a directory"),
    });
    let mut known = HashSet::new();
    let mut pods = JoinSet::new();
    loop {
        versions.mark_unchanged();
        for pod in kubelet.store.list("pods", None).0 {
            if known.insert(pod["metadata"]["uid"].to_string()) {
                pods.spawn(pod::run(kubelet.clone(), pod));
            }
        }
        tokio::select! {
            changed = versions.changed() => if changed.is_err() { return },
            Some(ended) = pods.join_next() => ended.expect("no pod's task panics"),
        }
    }
}
