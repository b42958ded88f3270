//! A whole cluster in this process, and the tools that are used on it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::journal::Journal;
use crate::store::Store;
use crate::{api, control, kubelet, names, services};

/// Timeout of anything; only a failing test waits this long.
const DEADLINE: Duration = Duration::from_secs(120);

/// Where a cluster finds what it runs.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program that every image holds.
    pub program: PathBuf,
    /// Folder of `helm3`, `helm4` and `kubectl`.
    pub tools: PathBuf,
    /// Working directory of the tools, to which paths in their arguments are relative.
    pub directory: PathBuf,
}

/// The outcome of a tool.
#[derive(Debug)]
pub struct Said {
    /// It exited with 0.
    pub success: bool,
    /// Its stdout, then its stderr.
    pub text: String,
}

/// The parts of a cluster. They end, and every pod is killed, when it is dropped.
pub struct Cluster {
    /// The objects.
    pub store: Arc<Store>,
    /// Logs and exits of the pods.
    pub journal: Arc<Journal>,
    /// Headless Services have names. Not so where the system keeps port 53 for root.
    pub has_names: bool,
    setup: Setup,
    home: TempDir,
    _parts: JoinSet<()>,
}

impl Cluster {
    /// Starts an empty cluster on the current tokio runtime.
    ///
    /// # Panics
    /// No temporary directory or port can be had.
    pub fn start(setup: Setup) -> Cluster {
        let store = Arc::new(Store::new());
        let journal = Arc::new(Journal::default());
        let address = api::start(store.clone(), journal.clone());
        let mut parts = JoinSet::new();
        parts.spawn(control::run(store.clone()));
        parts.spawn(services::run(store.clone()));
        let home = tempfile::tempdir().expect("a directory");
        let resolver = names::open(home.path()).map(|(socket, file)| {
            parts.spawn(names::run(store.clone(), socket));
            file
        });
        let has_names = resolver.is_some();
        let program = setup.program.clone();
        parts.spawn(kubelet::run(
            store.clone(),
            journal.clone(),
            program,
            resolver,
        ));
        let kubeconfig = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, \
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
             users: [{{name: u, user: {{}}}}], \
             clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]}}"
        );
        std::fs::write(home.path().join("kubeconfig"), kubeconfig).expect("written");
        Cluster {
            store,
            journal,
            has_names,
            setup,
            home,
            _parts: parts,
        }
    }

    /// Writes a JSON file for a tool to read; returns its path.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn file(&self, name: &str, contents: &Value) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, contents.to_string()).expect("written");
        path
    }

    /// Runs `helm3`, `helm4` or `kubectl` to its end.
    ///
    /// # Panics
    /// It is not installed.
    pub async fn run(&self, tool: &str, arguments: &str) -> Said {
        let program = self.setup.tools.join(tool);
        let there = program.exists();
        assert!(
            there,
            "{} is missing: run scripts/chart-tools",
            program.display()
        );
        let mut command = Command::new(program);
        command.args(arguments.split_whitespace());
        command.current_dir(&self.setup.directory);
        command.env("KUBECONFIG", self.home.path().join("kubeconfig"));
        command.env("HOME", self.home.path());
        let running = tokio::task::spawn_blocking(move || command.output());
        let output = running.await.expect("no panic").expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        Said {
            success: output.status.success(),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    /// Runs a tool that must succeed; returns its output.
    ///
    /// # Panics
    /// It fails.
    pub async fn must(&self, tool: &str, arguments: &str) -> String {
        eprintln!("$ {tool} {arguments}");
        let said = self.run(tool, arguments).await;
        assert!(
            said.success,
            "{tool} {arguments}: {}\n{}",
            said.text,
            self.report()
        );
        said.text
    }

    /// Waits until something holds; `what` says so in the message of the failure.
    ///
    /// # Panics
    /// It does not hold within two minutes.
    pub async fn until(&self, what: &str, holds: impl Fn(&Cluster) -> bool) {
        let mut versions = self.store.versions();
        let waiting = tokio::time::timeout(DEADLINE, async {
            while !holds(self) {
                // Logs and ends of pods are no objects.
                let _ = tokio::time::timeout(kubelet::LOOK, versions.changed()).await;
            }
        });
        assert!(waiting.await.is_ok(), "not so: {what}\n{}", self.report());
    }

    /// Returns the status of every object and the pods' logs, for the message of a failure.
    pub fn report(&self) -> String {
        let objects =
            self.store.all().into_iter().map(|(key, object)| {
                format!("{}/{}: {}\n", key.plural, key.name, object["status"])
            });
        format!("{}{}", objects.collect::<String>(), self.journal.report())
    }
}
