//! A whole cluster in this process, and the tools that are used on it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::journal::Journal;
use crate::store::{Key, Store};
use crate::{api, control, kubelet, services};

/// How long anything may take; only a failing test ever waits so long.
const DEADLINE: Duration = Duration::from_secs(120);
/// The one release of a test.
pub(crate) const RELEASE: &str = "game";
/// What the chart calls its objects for a release of that name.
pub(crate) const GATEWAY: &str = "game-game-gateway";

/// What a tool said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) text: String,
}

/// The parts of a cluster. They end, and every pod is killed, when it is dropped.
pub(crate) struct Cluster {
    pub(crate) store: Arc<Store>,
    pub(crate) journal: Arc<Journal>,
    home: TempDir,
    _parts: JoinSet<()>,
}

impl Cluster {
    pub(crate) fn start() -> Cluster {
        let store = Arc::new(Store::new());
        let journal = Arc::new(Journal::default());
        let address = api::start(store.clone(), journal.clone());
        let mut parts = JoinSet::new();
        parts.spawn(control::run(store.clone()));
        parts.spawn(services::run(store.clone()));
        parts.spawn(kubelet::run(store.clone(), journal.clone()));
        let home = tempfile::tempdir().expect("a directory");
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
            home,
            _parts: parts,
        }
    }

    /// Writes a file of values, or whatever a tool is to read.
    pub(crate) fn file(&self, name: &str, contents: &Value) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, contents.to_string()).expect("written");
        path
    }

    /// Runs `helm3`, `helm4` or `kubectl` to its end.
    pub(crate) async fn run(&self, tool: &str, arguments: &str) -> Said {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = root.join("target/chart-tools/bin").join(tool);
        let there = program.exists();
        assert!(
            there,
            "{} is missing: run scripts/chart-tools",
            program.display()
        );
        let mut command = Command::new(program);
        command.args(arguments.split_whitespace());
        command.current_dir(root.join("helm"));
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

    /// Runs a tool that must succeed; returns what it said.
    pub(crate) async fn must(&self, tool: &str, arguments: &str) -> String {
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

    /// The pods of the gateway that are not on their way out, by their names.
    pub(crate) fn gateways(&self) -> Vec<Arc<Value>> {
        let (mut pods, _) = self.store.list("pods", None);
        pods.retain(|pod| {
            let labels = &pod["metadata"]["labels"];
            labels["app.kubernetes.io/component"] == "gateway"
                && pod["metadata"]["deletionTimestamp"].is_null()
        });
        pods
    }

    /// Where players connect.
    pub(crate) fn players_port(&self) -> SocketAddr {
        let key = Key {
            plural: "services",
            namespace: "default".to_owned(),
            name: GATEWAY.to_owned(),
        };
        let service = self.store.get(&key).expect("the players' Service");
        let address = service["spec"]["clusterIP"]
            .as_str()
            .and_then(|text| text.parse::<IpAddr>().ok());
        (address.expect("an address"), 7000).into()
    }

    /// Waits until something holds of the objects.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Cluster) -> bool) {
        let mut versions = self.store.versions();
        let waiting = tokio::time::timeout(DEADLINE, async {
            while !holds(self) {
                // Logs and ends of pods are no objects.
                let _ = tokio::time::timeout(kubelet::LOOK, versions.changed()).await;
            }
        });
        assert!(waiting.await.is_ok(), "not so: {what}\n{}", self.report());
    }

    /// Everything that helps to understand a failure.
    pub(crate) fn report(&self) -> String {
        let objects =
            self.store.all().into_iter().map(|(key, object)| {
                format!("{}/{}: {}\n", key.plural, key.name, object["status"])
            });
        format!("{}{}", objects.collect::<String>(), self.journal.report())
    }
}
