//! The command, arguments and environment of a container.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::translation::Translation;
use super::volumes::entries;
use crate::store::Store;

/// Names of the program in the image, for containers that say what to run.
const IN_IMAGE: [&str; 3] = [
    "game-gateway",
    "/game-gateway",
    "/usr/local/bin/game-gateway",
];

/// A program of other images, for which this machine's stands.
const PYTHON: &str = "python3";

/// What every container is made of.
pub(super) struct Image<'a> {
    pub(super) program: &'a Path,
    /// The container's `/etc/resolv.conf`; none: that of this machine.
    pub(super) resolver: &'a Option<PathBuf>,
}

impl Image<'_> {
    /// Returns the command that runs a program, without arguments.
    fn command(&self, program: &Path) -> Command {
        let Some(resolver) = self.resolver else {
            return Command::new(program);
        };
        // The C library knows no other place, and only a namespace of mounts makes it another file.
        let script = r#"mount --bind "$0" /etc/resolv.conf && exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]);
        command.arg(resolver).arg(program);
        command
    }
}

/// Returns the command of a pod's container, or the reason if something that it needs is missing.
pub(super) fn command(
    store: &Store,
    pod: &Value,
    address: Ipv4Addr,
    image: &Image<'_>,
    translation: &Translation,
) -> Result<Command, String> {
    let container = &pod["spec"]["containers"][0];
    if !pod["spec"]["containers"][1].is_null() || !pod["spec"]["initContainers"][0].is_null() {
        return Err("more than one container is not played here".to_owned());
    }
    let variables = variables(store, pod, address)?;
    let text = |value: &Value| translation.text(&expand(value.as_str().unwrap_or(""), &variables));
    let list = |field: &str| -> Vec<String> {
        container[field]
            .as_array()
            .into_iter()
            .flatten()
            .map(text)
            .collect()
    };
    let mut arguments = list("command");
    let program = match arguments.first().map(String::as_str) {
        None => image.program,
        Some(name) if IN_IMAGE.contains(&name) => image.program,
        Some(PYTHON) => Path::new(PYTHON),
        Some(name) => return Err(format!("the image has no {name}")),
    };
    let mut arguments = arguments.split_off(1.min(arguments.len()));
    arguments.extend(list("args"));
    let mut command = image.command(program);
    command.args(arguments).env_clear();
    for (name, value) in &variables {
        command.env(name, translation.text(value));
    }
    command.env("HOSTNAME", pod["metadata"]["name"].as_str().unwrap_or(""));
    Ok(command)
}

fn variables(
    store: &Store,
    pod: &Value,
    address: Ipv4Addr,
) -> Result<BTreeMap<String, String>, String> {
    let container = &pod["spec"]["containers"][0];
    let mut variables = BTreeMap::new();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        let prefix = source["prefix"].as_str().unwrap_or("");
        for (plural, field) in [("configmaps", "configMapRef"), ("secrets", "secretRef")] {
            if source[field].is_object() {
                let all = named(store, pod, plural, &source[field])?;
                let pairs = all
                    .iter()
                    .map(|(name, value)| (format!("{prefix}{name}"), plain(value)));
                variables.extend(pairs);
            }
        }
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap_or("");
        let value = match variable["value"].as_str() {
            Some(value) => Some(expand(value, &variables)),
            None => value_from(store, pod, address, &variable["valueFrom"])?,
        };
        if let Some(value) = value {
            variables.insert(name.to_owned(), value);
        }
    }
    Ok(variables)
}

fn value_from(
    store: &Store,
    pod: &Value,
    address: Ipv4Addr,
    from: &Value,
) -> Result<Option<String>, String> {
    for (plural, field) in [
        ("secrets", "secretKeyRef"),
        ("configmaps", "configMapKeyRef"),
    ] {
        let reference = &from[field];
        if reference.is_object() {
            let key = reference["key"].as_str().unwrap_or("");
            let all = named(store, pod, plural, reference)?;
            return match all.get(key) {
                Some(value) => Ok(Some(plain(value))),
                None if reference["optional"] == true => Ok(None),
                None => Err(format!("{plural} {} has no key {key:?}", reference["name"])),
            };
        }
    }
    if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
        return Ok(Some(match path {
            "status.podIP" | "status.podIPs" => address.to_string(),
            "status.hostIP" => "127.0.0.1".to_owned(),
            "spec.nodeName" => "node-1".to_owned(),
            path => {
                let found = pod.pointer(&format!("/{}", path.replace('.', "/")));
                found.and_then(Value::as_str).unwrap_or("").to_owned()
            }
        }));
    }
    if let Some(resource) = from["resourceFieldRef"]["resource"].as_str() {
        let found = pod["spec"]["containers"][0]["resources"]
            .pointer(&format!("/{}", resource.replace('.', "/")));
        return Ok(Some(
            found.and_then(Value::as_str).unwrap_or("1").to_owned(),
        ));
    }
    Err(format!("a variable from what is not played here: {from}"))
}

fn named(
    store: &Store,
    pod: &Value,
    plural: &'static str,
    reference: &Value,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or("");
    let name = reference["name"].as_str().unwrap_or("");
    match entries(store, plural, namespace, name) {
        Err(_) if reference["optional"] == true => Ok(BTreeMap::new()),
        found => found,
    }
}

fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Puts in the variables that a text names as `$(NAME)`; one that is not known stays.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = text.to_owned();
    for (name, value) in variables {
        out = out.replace(&format!("$({name})"), value);
    }
    out
}
