//! The notes that Helm prints after an install.

use crate::tools::{HELM, chart, object, output, parse, set_up, set_ups, tool};

/// Returns the notes of a release with these arguments; no cluster is involved.
fn notes(arguments: &[&str]) -> String {
    // Helm 3 asks a cluster for its version even then.
    let mut install = tool(HELM);
    install.args(["install", "gg"]).arg(chart());
    install.args(["--namespace", "games", "--dry-run=client"]);
    let said = output(install.args(arguments));
    let (_, notes) = said.split_once("NOTES:").expect("notes");
    notes.to_owned()
}

/// In every set-up the notes tell how to reach it, list its actors and drain it.
#[test]
fn they_say_how_to_reach_see_and_drain() {
    for (name, file) in set_ups() {
        let notes = notes(&["--values", &file.display().to_string()]);
        for wanted in ["1. Reach it", "/api/v1/actors", "POST", "/api/v1/drain"] {
            assert!(notes.contains(wanted), "{name}: no {wanted}: {notes}");
        }
        assert!(!notes.contains("<no value>"), "{name}: {notes}");
    }
}

/// The names in them are those of the objects.
#[test]
fn they_name_what_is_there() {
    let (_, file) = set_ups()
        .into_iter()
        .find(|(name, _)| name == "trial")
        .expect("trial");
    let notes = notes(&["--values", &file.display().to_string()]);
    let objects = parse(&set_up(HELM, &file));
    let secret = &object(&objects, "Secret", "gg-game-gateway")["data"];
    assert!(secret["admin-token"].is_string());
    let token = "get secret -n games gg-game-gateway -o jsonpath='{.data.admin-token}'";
    let forward = "port-forward -n games service/gg-game-gateway 7000:7000";
    for wanted in [token, forward, "helm test -n games gg", "for trials"] {
        assert!(notes.contains(wanted), "no {wanted} in {notes}");
    }
}

#[test]
fn they_warn_of_what_is_missing() {
    assert!(notes(&[]).contains("there are no routes"));
    let routed = ["--set", "routes.rules.game.strategy=realm_based"];
    assert!(!notes(&routed).contains("there are no routes"));
    let monitored = notes(&["--set", "metrics.serviceMonitor.enabled=true"]);
    assert!(monitored.contains("networkPolicy.adminFrom"));
    assert!(notes(&["--set", "replicaCount=1"]).contains("with one gateway"));
    assert!(!notes(&["--set", "replicaCount=2"]).contains("with one gateway"));
}
