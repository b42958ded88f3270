//! A pod's container as a folder and an environment, so that its program can be run without a
//! cluster.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::authority::Authority;
use crate::tools::{find, run};

/// Where things are in a container.
const FOLDER: &str = "/etc/game-gateway";
/// The contents of all Secrets here, long enough for every purpose.
pub(crate) const SECRET: &str = "a-secret-that-is-long-enough-for-everything";

/// The mounts of a container, its environment, and what it runs.
pub(crate) struct Container {
    folder: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
}

impl Container {
    /// Returns the container of a gateway.
    pub(crate) fn of_gateway(objects: &[Value]) -> Container {
        let kind = ["Deployment", "DaemonSet"].into_iter();
        let mut found = kind.filter_map(|kind| find(objects, kind, "gg-game-gateway"));
        let gateways = found.next().expect("gateways");
        Container::of(objects, &gateways["spec"]["template"]["spec"])
    }

    /// Returns the first container of this pod, with the mounts of these objects.
    pub(crate) fn of(objects: &[Value], pod: &Value) -> Container {
        let folder = tempfile::tempdir().expect("a folder");
        for volume in pod["volumes"].as_array().expect("volumes") {
            let name = volume["name"].as_str().expect("a name");
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("made");
            if let Some(name) = volume["configMap"]["name"].as_str() {
                mount_config_map(objects, name, &path, folder.path());
            } else {
                mount_secret(&path);
            }
        }
        let container = &pod["containers"][0];
        let root = folder.path().display().to_string();
        let arguments = container["args"].as_array().expect("arguments").iter();
        let arguments = arguments.map(|one| one.as_str().expect("text").replace(FOLDER, &root));
        Container {
            environment: environment(&container["env"]),
            arguments: arguments.collect(),
            folder,
        }
    }

    /// Runs what it runs, to its end: whether it succeeded, and what it said.
    pub(crate) fn run(&self) -> (bool, String) {
        run(self.program().args(&self.arguments))
    }

    fn program(&self) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
        program.env_clear().envs(&self.environment);
        program
    }

    /// Returns the output of `game-gateway check` for it.
    pub(crate) fn check(&self) -> (bool, String) {
        let file = self.folder.path().join("config/game-gateway.toml");
        run(self.program().args(["check", "--config"]).arg(file))
    }
}

/// Writes the files of a ConfigMap, with paths of the container turned into paths of this folder.
fn mount_config_map(objects: &[Value], name: &str, path: &Path, root: &Path) {
    let Some(map) = find(objects, "ConfigMap", name) else {
        // One that exists already, as values say.
        fs::write(path.join("routes.json"), r#"{"rules": {}}"#).expect("written");
        return;
    };
    for (file, text) in map["data"].as_object().expect("data") {
        let text = text.as_str().expect("text");
        let text = text.replace(FOLDER, &root.display().to_string());
        fs::write(path.join(file), text).expect("written");
    }
}

/// Writes a Secret with every file that a gateway may look for.
fn mount_secret(path: &Path) {
    let authority = Authority::new();
    let issued = authority.issue("gateway", "DNS:play.example.com");
    for (from, to) in [
        (authority.ca(), "ca.crt"),
        (issued.certificate, "tls.crt"),
        (issued.key, "tls.key"),
    ] {
        fs::copy(from, path.join(to)).expect("copied");
    }
    fs::write(path.join("token-keys"), SECRET).expect("written");
}

/// Returns a container's variables, as a kubelet would set them.
fn environment(entries: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in entries.as_array().into_iter().flatten() {
        let name = entry["name"].as_str().expect("a name").to_owned();
        let value = match entry["value"].as_str() {
            Some(text) => text.replace("$(POD_IP)", "10.0.0.1"),
            None if entry["valueFrom"]["secretKeyRef"].is_object() => SECRET.to_owned(),
            None => "gg-game-gateway-0".to_owned(),
        };
        all.insert(name, value);
    }
    all
}
