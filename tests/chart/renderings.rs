//! Whole renderings: of every values file, by every Helm, for several versions of Kubernetes.

use std::fs;
use std::path::Path;

use crate::tools::{HELM, HELMS, chart, output, parse, repository, run, set_up, set_ups, tool};

/// The oldest that the chart takes, one in between, and the newest that has schemas.
const KUBERNETES: [&str; 3] = ["1.30", "1.33", "1.37"];
/// If set, the golden renderings are rewritten instead of compared.
const RENEW: &str = "RENEW_GOLDEN";

#[test]
fn lint_has_nothing_to_say() {
    for helm in HELMS {
        for (name, file) in set_ups() {
            let mut lint = tool(helm);
            lint.args(["lint", "--strict", "--values"]).arg(&file);
            let said = output(lint.arg(chart()));
            assert!(!said.contains("[WARNING]"), "{helm}, {name}: {said}");
        }
    }
}

/// Removes the values that Helm generates randomly, so that two renderings can be compared.
fn without_chance(rendering: &str) -> String {
    let made_up = ["admin-token: ", "token-keys: ", "redis-password: "];
    let made_up_files = ["ca.crt: ", "tls.crt: ", "tls.key: "];
    let mut in_secret = false;
    let mut lines = Vec::new();
    for line in rendering.lines() {
        if let Some(kind) = line.strip_prefix("kind: ") {
            in_secret = kind == "Secret";
        }
        let entry = line.trim_start();
        let mut names = made_up.iter().chain(&made_up_files);
        match names.find(|name| in_secret && entry.starts_with(**name)) {
            Some(name) => lines.push(format!("  {name}MADE-UP")),
            // Helm 4 ends documents with an empty line, Helm 3 does not.
            None if line.is_empty() => {}
            None => lines.push(line.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

/// A change of the chart appears as a change of these files in its review.
/// `RENEW_GOLDEN=1 cargo test --test chart golden` rewrites them.
#[test]
fn golden_renderings_by_both_helms() {
    let renew = std::env::var_os(RENEW).is_some();
    for (name, file) in set_ups() {
        let golden = repository("tests/chart/golden").join(format!("{name}.yaml"));
        if renew {
            fs::write(&golden, without_chance(&set_up(HELM, &file))).expect("written");
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        for helm in HELMS {
            let got = without_chance(&set_up(helm, &file));
            same(&wanted, &got, &format!("{name} by {helm}"));
        }
    }
}

/// Asserts equality; a failure shows the first line that differs.
fn same(wanted: &str, got: &str, what: &str) {
    let mut pairs = wanted.lines().zip(got.lines()).enumerate();
    if let Some((number, (old, new))) = pairs.find(|(_, (old, new))| old != new) {
        let line = number + 1;
        panic!("{what}, line {line}:\n- {old}\n+ {new}\nrenew with {RENEW}=1 if that is meant");
    }
    let lengths = (wanted.lines().count(), got.lines().count());
    assert_eq!(lengths.0, lengths.1, "{what}: renew with {RENEW}=1");
}

/// No golden file of a set-up that is gone.
#[test]
fn every_golden_rendering_has_its_values() {
    let names: Vec<_> = set_ups().into_iter().map(|(name, _)| name).collect();
    for entry in fs::read_dir(repository("tests/chart/golden")).expect("the folder") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.expect("a name");
        assert!(names.iter().any(|one| one == name), "{}", path.display());
    }
}

/// Every object is known and right to Kubernetes; none is passed over for want of a schema.
#[test]
fn kubernetes_takes_every_object() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, values) in set_ups() {
        let rendering = set_up(HELM, &values);
        let file = folder.path().join(format!("{name}.yaml"));
        fs::write(&file, &rendering).expect("written");
        for version in KUBERNETES {
            let passed = validated(version, &file);
            assert_eq!(
                passed,
                parse(&rendering).len(),
                "{name}: not every object was checked for {version}"
            );
        }
    }
}

/// So are the examples, which the chart knows nothing of.
#[test]
fn kubernetes_takes_the_examples() {
    let images = [
        concat!("localhost/game-gateway:", env!("CARGO_PKG_VERSION")),
        "docker.io/library/python:",
    ];
    for (name, image) in ["game-server", "backend"].into_iter().zip(images) {
        let file = repository(&format!("examples/{name}.yaml"));
        let text = fs::read_to_string(&file).expect("the example");
        assert!(text.contains(image), "{name}: {image}");
        for version in KUBERNETES {
            let passed = validated(version, &file);
            assert_eq!(passed, parse(&text).len(), "{name} for {version}");
        }
    }
}

/// Returns the number of valid objects of a file.
pub(crate) fn validated(version: &str, file: &Path) -> usize {
    let mut validate = tool("kubernetes-validate");
    let said = output(validate.args(["-k", version, "--strict"]).arg(file));
    said.lines()
        .filter(|line| line.starts_with("INFO "))
        .count()
}

/// The check above is one: what is misspelled in any kind is found.
#[test]
fn kubernetes_refuses_what_is_misspelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, values) = set_ups()
        .into_iter()
        .find(|(name, _)| name == "production")
        .expect("production");
    let rendering = set_up(HELM, &values);
    for (right, wrong) in [
        ("terminationGracePeriodSeconds:", "terminationGracePeriod:"),
        ("honorLabels:", "honourLabels:"),
        ("alert:", "alarm:"),
        ("policyTypes:", "policyKinds:"),
    ] {
        assert!(rendering.contains(right), "{right}");
        let file = folder.path().join("wrong.yaml");
        fs::write(&file, rendering.replace(right, wrong)).expect("written");
        let mut validate = tool("kubernetes-validate");
        let (taken, said) = run(validate.args(["-k", "1.37", "--strict"]).arg(&file));
        assert!(!taken, "{wrong} is taken");
        assert!(said.contains("did not validate"), "{wrong}: {said}");
    }
}

/// `helm package` makes an archive that renders as the folder does.
#[test]
fn the_packaged_chart_is_the_chart() {
    let folder = tempfile::tempdir().expect("a folder");
    for helm in HELMS {
        let to = folder.path().join(helm);
        let mut package = tool(helm);
        package.arg("package").arg(chart()).arg("--destination");
        output(package.arg(&to));
        let archive = to.join("game-gateway-0.1.0.tgz");
        let mut template = tool(helm);
        template.args(["template", "gg", "--namespace", "games"]);
        let packaged = output(template.arg(archive));
        let plain = crate::tools::rendered(helm, &[]);
        same(&without_chance(&plain), &without_chance(&packaged), helm);
    }
}
