//! One pod, from its first status to its end.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::container::{Container, Exit, LOOK};
use super::pre_stop::PreStop;
use super::probes::{Probes, Purpose};
use super::translation::Translation;
use super::{Kubelet, environment, volumes};
use crate::addresses;
use crate::control::set_condition;
use crate::journal::PodEnd;
use crate::store::{Key, now};

/// Between looks at what a pod waits for, and at its ConfigMaps and Secrets.
const RETRY: Duration = Duration::from_millis(500);
/// Before a container is started again, doubling.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Never longer than that.
const LONGEST_BACKOFF: Duration = Duration::from_secs(8);

/// Why a container is not running any more.
enum Ended {
    ByItself(Exit),
    /// The pod is to go.
    Deleted,
}

struct Pod {
    kubelet: Arc<Kubelet>,
    key: Key,
    /// As it was when it came; what matters of it does not change.
    object: Arc<Value>,
    address: Ipv4Addr,
    directory: PathBuf,
    pre_stop: PreStop,
    restarts: usize,
    written: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    writes: usize,
}

/// Runs a pod until it is gone.
pub(super) async fn run(kubelet: Arc<Kubelet>, object: Arc<Value>) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
    let mut pod = Pod {
        key: Key {
            plural: "pods",
            namespace: text("namespace"),
            name: text("name"),
        },
        directory: kubelet.root.path().join(text("uid")),
        address: addresses::fresh(),
        pre_stop: PreStop::Nothing,
        restarts: 0,
        written: BTreeMap::new(),
        writes: 0,
        kubelet,
        object,
    };
    pod.live().await;
    // A deletion without grace has removed it already.
    let _ = pod.kubelet.store.remove(&pod.key);
}

impl Pod {
    async fn live(&mut self) {
        let policy = self.object["spec"]["restartPolicy"].clone();
        let mut backoff = FIRST_BACKOFF;
        loop {
            let Some(command) = self.prepared().await else {
                return;
            };
            let exit = match self.contain(command).await {
                Ended::Deleted => return,
                Ended::ByItself(exit) => exit,
            };
            let success = exit.code == Some(0);
            let state = json!({ "terminated": {
                "exitCode": exit.code.unwrap_or(137), "finishedAt": now(),
                "reason": if success { "Completed" } else { "Error" },
            } });
            if policy == "Never" || (policy == "OnFailure" && success) {
                self.note(if success { "Succeeded" } else { "Failed" }, state, false);
                while !self.is_deleted() {
                    sleep(LOOK).await;
                }
                return;
            }
            self.restarts += 1;
            let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
            self.note("Running", waiting, false);
            let until = Instant::now() + backoff;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
            while Instant::now() < until {
                if self.is_deleted() {
                    return;
                }
                sleep(LOOK).await;
            }
        }
    }

    /// Waits until everything that the container needs is there. `None`: the pod is to go.
    async fn prepared(&mut self) -> Option<Command> {
        loop {
            if self.is_deleted() {
                return None;
            }
            match self.prepare() {
                Ok(command) => return Some(command),
                Err(why) => {
                    let reason = "CreateContainerConfigError";
                    let state = json!({ "waiting": { "reason": reason, "message": why } });
                    self.note("Pending", state, false);
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn prepare(&mut self) -> Result<Command, String> {
        let (services, _) = self.kubelet.store.list("services", None);
        if services
            .iter()
            .any(|service| service["spec"]["clusterIP"].is_null())
        {
            return Err("a Service has no address yet".to_owned());
        }
        self.pre_stop = PreStop::of(&self.object, self.address)?;
        self.refresh()?;
        let translation = self.translation();
        let Kubelet {
            store,
            program,
            resolver,
            ..
        } = &*self.kubelet;
        let image = environment::Image { program, resolver };
        environment::command(store, &self.object, self.address, &image, &translation)
    }

    /// Writes the volumes where what they hold has changed.
    fn refresh(&mut self) -> Result<(), String> {
        let volumes = volumes::read(&self.kubelet.store, &self.object)?;
        if volumes != self.written || self.writes == 0 {
            let translation = self.translation();
            volumes::write(&self.directory, &volumes, &translation, self.writes)
                .map_err(|error| error.to_string())?;
            self.writes += 1;
            self.written = volumes;
        }
        Ok(())
    }

    fn translation(&self) -> Translation {
        let mut translation = Translation::default();
        for (path, real) in volumes::mounts(&self.object, &self.directory) {
            translation.mount(&path, &real);
        }
        translation.own_address(self.address);
        for service in self.kubelet.store.list("services", None).0 {
            let text = |field: &str| service["metadata"][field].as_str().unwrap_or("");
            match service["spec"]["clusterIP"].as_str() {
                // The name of a headless one is for the pods' own resolver.
                None | Some("None") => {}
                Some(address) => translation.service(text("name"), text("namespace"), address),
            }
        }
        translation
    }

    /// Runs the container until it ends, for whatever reason.
    async fn contain(&mut self, mut command: Command) -> Ended {
        let kubelet = self.kubelet.clone();
        let name = self.key.name.clone();
        let run = self.restarts;
        let mut container = Container::start(&mut command, &kubelet.journal, &name, run);
        let running = json!({ "running": { "startedAt": now() } });
        self.note("Running", running.clone(), false);
        let (mut probes, mut verdicts) = Probes::start(&self.object, self.address);
        let mut looks = tokio::time::interval(LOOK);
        let mut refreshes = tokio::time::interval(RETRY);
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    if !container.runs() {
                        return Ended::ByItself(container.exit(false));
                    }
                    if self.is_deleted() {
                        let exit = self.stop(container).await;
                        kubelet.journal.note_end(exit);
                        return Ended::Deleted;
                    }
                }
                // Files that are missing now existed at the start: they stay as they were.
                _ = refreshes.tick() => drop(self.refresh()),
                Some(verdict) = verdicts.recv() => match (verdict.purpose, verdict.good) {
                    (Purpose::Startup, true) => probes.started(),
                    (Purpose::Readiness, good) => self.note("Running", running.clone(), good),
                    (Purpose::Liveness, true) => {}
                    (Purpose::Startup | Purpose::Liveness, false) => {
                        return Ended::ByItself(container.stop(&self.pre_stop, self.grace()).await);
                    }
                },
            }
        }
    }

    async fn stop(&self, container: Container<'_>) -> PodEnd {
        let exit = container.stop(&self.pre_stop, self.grace()).await;
        PodEnd {
            pod: self.key.name.clone(),
            code: exit.code,
            killed: exit.killed,
            hook_failed: exit.hook_failed,
        }
    }

    fn grace(&self) -> Duration {
        let own = &self.object["spec"]["terminationGracePeriodSeconds"];
        let object = self.kubelet.store.get(&self.key);
        let asked = object.map(|o| o["metadata"]["deletionGracePeriodSeconds"].clone());
        let asked = asked.and_then(|seconds| seconds.as_u64());
        Duration::from_secs(asked.or(own.as_u64()).unwrap_or(30))
    }

    /// Returns true if the pod is being deleted or is gone already.
    fn is_deleted(&self) -> bool {
        let object = self.kubelet.store.get(&self.key);
        object.is_none_or(|o| !o["metadata"]["deletionTimestamp"].is_null())
    }

    fn note(&self, phase: &str, state: Value, ready: bool) {
        let container = &self.object["spec"]["containers"][0];
        // One that is gone needs no status.
        let _ = self.kubelet.store.update(&self.key, |pod| {
            let status = &mut pod["status"];
            status["phase"] = json!(phase);
            status["podIP"] = json!(self.address.to_string());
            status["podIPs"] = json!([{ "ip": self.address.to_string() }]);
            status["hostIP"] = json!("127.0.0.1");
            status["containerStatuses"] = json!([{
                "name": container["name"], "image": container["image"], "imageID": "",
                "ready": ready, "started": state["running"].is_object(),
                "restartCount": self.restarts, "state": state,
            }]);
            for condition in ["PodScheduled", "Initialized"] {
                set_condition(status, condition, true, "");
            }
            for condition in ["ContainersReady", "Ready"] {
                let reason = if ready { "" } else { "ContainersNotReady" };
                set_condition(status, condition, ready, reason);
            }
            Ok(())
        });
    }
}
