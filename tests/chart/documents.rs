//! The chart's documents say what the chart does.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use game_gateway::config::keys::KEYS;
use serde_json::Value;

use crate::tools::{HELM, HELMS, chart, output, parse, release, rendered, repository, tool};

fn schema() -> Value {
    let text = fs::read_to_string(chart().join("values.schema.json")).expect("the schema");
    serde_json::from_str(&text).expect("JSON")
}

/// The README is up to date with `scripts/chart-docs`.
#[test]
fn the_list_of_values_is_up_to_date() {
    let readme = fs::read_to_string(chart().join("README.md")).expect("the README");
    let copy = tempfile::NamedTempFile::new().expect("a file");
    fs::write(copy.path(), &readme).expect("written");
    let mut generator = tool("readme-generator");
    generator.arg("--values").arg(chart().join("values.yaml"));
    output(generator.arg("--readme").arg(copy.path()));
    let generated = fs::read_to_string(copy.path()).expect("the copy");
    assert!(generated == readme, "run scripts/chart-docs");
}

/// Names of values with a schema of their own: `service.ports.game`, …
fn leaves(of: &Value, path: &str, names: &mut BTreeSet<String>) {
    let Some(properties) = of["properties"].as_object() else {
        names.insert(path.to_owned());
        return;
    };
    for (name, inner) in properties {
        let longer = match path {
            "" => name.clone(),
            _ => format!("{path}.{name}"),
        };
        leaves(inner, &longer, names);
    }
}

/// The schema knows every value of values.yaml, and no others but the program's keys.
#[test]
fn the_schema_and_the_values_agree() {
    let values = fs::read_to_string(chart().join("values.yaml")).expect("the values");
    let values = &parse(&values)[0];
    let mut known = BTreeSet::new();
    leaves(&schema(), "", &mut known);
    for name in known.iter().filter(|name| !name.starts_with("config.")) {
        let pointer = format!("/{}", name.replace('.', "/"));
        assert!(values.pointer(&pointer).is_some(), "no value {name}");
    }
    let documented: BTreeSet<_> = values_in_readme();
    let undocumented: Vec<_> = known
        .iter()
        .filter(|name| !name.starts_with("config.") && !documented.contains(*name))
        .collect();
    assert!(undocumented.is_empty(), "{undocumented:?}");
    let config = |name: &String| name == "config" || name.starts_with("config.");
    let unknown: Vec<_> = documented
        .iter()
        .filter(|name| !config(name) && !known.contains(*name))
        .collect();
    assert!(unknown.is_empty(), "not in the schema: {unknown:?}");
}

fn values_in_readme() -> BTreeSet<String> {
    let readme = fs::read_to_string(chart().join("README.md")).expect("the README");
    let names = readme.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("| `")?.split_once('`')?;
        Some(name.to_owned())
    });
    names.collect()
}

/// Nothing that is misspelled is taken anywhere where the chart says what there is.
#[test]
fn the_schema_is_closed() {
    fn closed(of: &Value, path: &str) {
        let Some(properties) = of["properties"].as_object() else {
            return;
        };
        // A parent chart's globals are all handed down.
        if path != "/global" {
            assert_eq!(of["additionalProperties"], false, "{path} is open");
        }
        for (name, inner) in properties {
            closed(inner, &format!("{path}/{name}"));
        }
    }
    closed(&schema(), "");
}

/// Values that a user may take away with `null`: each section by itself, and all values of a section
/// together.
fn removable(of: &Value, path: &str, names: &mut Vec<Vec<String>>) {
    let Some(properties) = of["properties"].as_object() else {
        return;
    };
    let required = of["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    let mut leaves = Vec::new();
    for (name, inner) in properties.iter().filter(|(name, _)| *name != "config") {
        removable(inner, &format!("{path}{name}."), names);
        let null = format!("{path}{name}=null");
        match inner["properties"].is_object() {
            _ if is_required(name) => {}
            true => names.push(vec![null]),
            false => leaves.push(null),
        }
    }
    names.push(leaves);
}

/// Null takes any value away that is not required, whatever else is switched on.
#[test]
fn what_is_not_required_may_be_null() {
    let mut all = Vec::new();
    removable(&schema(), "", &mut all);
    all.push(vec!["config=null".to_owned(), "global=null".to_owned()]);
    let on = "routes.source=redis,externalRedis.host=redis,metrics.prometheusRule.enabled=true,\
              metrics.podMonitor.enabled=true,resources.limits.memory=1Gi,\
              routes.rules.game.strategy=realm_based";
    for nulls in all {
        let nulls = nulls.join(",");
        // Without these the others of `on` make no sense.
        let needed = [
            "externalRedis=",
            "externalRedis.host",
            "resources=",
            "routes.rules",
        ];
        let set = ["--set", on, "--set", &nulls];
        let plain = needed.iter().any(|one| nulls.contains(one));
        let rendering = rendered(HELM, if plain { &set[2..] } else { &set[..] });
        for trace in ["<nil>", "null", "map["] {
            assert!(
                !rendering.contains(trace),
                "{nulls}: {trace} in {rendering}"
            );
        }
    }
}

/// Returns those of a section's values that are required.
fn required(of: &Value, values: &Value) -> Value {
    let names = of["required"].as_array().into_iter().flatten();
    let entry = |name: &Value| {
        let name = name.as_str().expect("a name");
        let inner = &of["properties"][name];
        let value = match inner["properties"].is_object() {
            true => required(inner, &values[name]),
            false => values[name].clone(),
        };
        (name.to_owned(), value)
    };
    Value::Object(names.map(entry).collect())
}

/// With `--reuse-values` Helm takes the values.yaml of the release's chart, which may be an older one: no value
/// is missed but those that the schema requires.
#[test]
fn values_of_an_older_chart_suffice() {
    let values = fs::read_to_string(chart().join("values.yaml")).expect("the values");
    let least = required(&schema(), &parse(&values)[0]);
    assert!(least.get("kind").is_none(), "{least}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut copy = Command::new("cp");
    output(copy.arg("-r").arg(chart()).arg(folder.path()));
    let older = folder.path().join("game-gateway");
    fs::write(older.join("values.yaml"), least.to_string()).expect("written");
    for helm in HELMS {
        let objects = parse(&output(&mut release(helm, "gg", "games", &older)));
        assert!(objects.iter().any(|one| one["kind"] == "Deployment"));
        let all_on = "echo.enabled=true,networkPolicy.enabled=true,scaleDown.podDeletionCost.enabled=true,\
                      serviceAccount.create=true,rbac.create=true,tests.enabled=true";
        let mut command = release(helm, "gg", "games", &older);
        let rendering = output(command.args(["--set", all_on]));
        assert!(rendering.contains("port: 6443"), "{rendering}");
        assert!(!rendering.contains("<no value>"), "{rendering}");
    }
}

/// The schema of `config` has the program's keys.
#[test]
fn the_schema_has_every_key_of_the_program() {
    let mut known = BTreeSet::new();
    leaves(&schema()["properties"]["config"], "", &mut known);
    let wanted: BTreeSet<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    assert_eq!(known, wanted);
}

/// The image that the chart asks for is this version of the program.
#[test]
fn versions_agree() {
    let text = fs::read_to_string(chart().join("Chart.yaml")).expect("Chart.yaml");
    let chart = &parse(&text)[0];
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// Values that docs/kubernetes.md names exist.
#[test]
fn the_document_names_values_that_exist() {
    let document = fs::read_to_string(repository("docs/kubernetes.md")).expect("the document");
    let mut known = BTreeSet::new();
    leaves(&schema(), "", &mut known);
    let sections: BTreeSet<_> = known
        .iter()
        .filter_map(|name| name.split('.').next())
        .collect();
    let mut seen = 0;
    for word in document.split('`').skip(1).step_by(2) {
        let name = word.split(['=', ':', ' ']).next().unwrap_or_default();
        let plain = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        if !plain || rest.is_empty() || !sections.contains(first) {
            continue;
        }
        seen += 1;
        let below = format!("{name}.");
        let above = known.iter().any(|one| name.starts_with(&format!("{one}.")));
        let exists = known.contains(name) || known.iter().any(|one| one.starts_with(&below));
        // Keys of the program are named as they are in its own documents too.
        let key = KEYS.iter().any(|key| key.name == name);
        assert!(exists || above || key, "there is no value {name}");
    }
    assert!(seen > 0, "no value is named");
}
