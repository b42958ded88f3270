//! Helm and the other programs, and what they print.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Both must work with the chart.
pub(crate) const HELMS: [&str; 2] = ["helm3", "helm4"];
/// The one whose renderings are looked at where they do not differ.
pub(crate) const HELM: &str = "helm4";

/// Returns the path of a file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(crate) fn chart() -> PathBuf {
    repository("helm/game-gateway")
}

/// Returns a program that `scripts/chart-tools` installs.
pub(crate) fn tool(name: &str) -> Command {
    let path = repository("target/chart-tools/bin").join(name);
    assert!(
        path.exists(),
        "there is no {}: run scripts/chart-tools",
        path.display()
    );
    Command::new(path)
}

/// Runs it; whether it succeeded, and all that it printed.
pub(crate) fn run(command: &mut Command) -> (bool, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it runs");
    let text = [stdout, stderr].concat();
    (
        status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Runs it and returns what it printed on stdout.
///
/// # Panics
/// It fails.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{errors}");
    text
}

/// Returns the command `helm template` with further arguments.
pub(crate) fn template(helm: &str, arguments: &[&str]) -> Command {
    let mut command = tool(helm);
    command
        .args(["template", "gg"])
        .arg(chart())
        .args(["--namespace", "games"])
        .args(arguments);
    command
}

/// Returns the chart's rendering with these arguments.
///
/// # Panics
/// It is refused.
pub(crate) fn rendered(helm: &str, arguments: &[&str]) -> String {
    output(&mut template(helm, arguments))
}

/// Values files of `ci/`, by name: `trial`, `production`, …
pub(crate) fn set_ups() -> Vec<(String, PathBuf)> {
    let folder = fs::read_dir(chart().join("ci")).expect("the folder ci");
    let mut files: Vec<_> = folder
        .map(|entry| entry.expect("a file").path())
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.and_then(|name| name.strip_suffix("-values.yaml"));
            (name.expect("NAME-values.yaml").to_owned(), path)
        })
        .collect();
    files.sort();
    files
}

/// Renders one of them.
pub(crate) fn set_up(helm: &str, file: &Path) -> String {
    rendered(helm, &["--values", &file.display().to_string()])
}

/// Parses all documents of YAML with Python.
pub(crate) fn parse(yaml: &str) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), yaml).expect("written");
    let script = "import json, sys, yaml\n\
        print(json.dumps([one for one in yaml.safe_load_all(open(sys.argv[1])) if one]))";
    let mut python = Command::new(repository("target/chart-tools/venv/bin/python"));
    let json = output(python.args(["-c", script]).arg(file.path()));
    serde_json::from_str(&json).expect("JSON")
}

/// Returns the objects that the chart renders with these `--set` arguments.
pub(crate) fn objects(set: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> = set.iter().flat_map(|one| ["--set", *one]).collect();
    parse(&rendered(HELM, &arguments))
}

/// Returns the one object of a kind with a name.
///
/// # Panics
/// There is none.
pub(crate) fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = find(objects, kind, name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// Returns the one object of a kind with a name, if there is one.
pub(crate) fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    objects
        .iter()
        .find(|one| one["kind"] == kind && one["metadata"]["name"] == name)
}

/// Writes values to a file that lives as long as what is returned.
pub(crate) fn values_file(values: &Value) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    // JSON is YAML.
    fs::write(file.path(), values.to_string()).expect("written");
    file
}

/// Returns the objects that the chart renders with these values.
pub(crate) fn objects_with(values: &Value) -> Vec<Value> {
    let file = values_file(values);
    parse(&set_up(HELM, file.path()))
}

/// Runs the chart of this folder under a name in a namespace.
pub(crate) fn release(helm: &str, name: &str, namespace: &str, folder: &Path) -> Command {
    let mut command = tool(helm);
    command.args(["template", name]).arg(folder);
    command.args(["--namespace", namespace]);
    command
}

/// Returns the specifications of all pods, with the kind and name of what brings them.
pub(crate) fn pods(objects: &[Value]) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for one in objects {
        let pod = match one["kind"].as_str() {
            Some("Pod") => one,
            Some("Deployment" | "DaemonSet" | "Job") => &one["spec"]["template"],
            _ => continue,
        };
        found.push((format!("{} {}", one["kind"], one["metadata"]["name"]), pod));
    }
    found
}

/// The values that switch every part on, with a Redis of one's own and a test.
pub(crate) fn every_part() -> Value {
    serde_json::json!({
        "echo": {"enabled": true},
        "routes": {"source": "redis", "rules": {"game": {"strategy": "realm_based"}}},
        "externalRedis": {"host": "redis"},
    })
}
