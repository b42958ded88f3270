use serde_json::json;

use super::*;

#[test]
fn the_tree_shows_who_supervises_whom() {
    let actor =
        |id: &str, children: Value| json!({"id": id, "state": "running", "children": children});
    let tree = actor(
        "gateway",
        json!([
            actor("worker-0", json!([actor("router-0", json!([]))])),
            actor("config_watcher", json!([])),
        ]),
    );
    let text = overview(&json!({"kinds": [], "tree": tree})).text(None, false);
    let ids: Vec<&str> = text
        .lines()
        .skip(3)
        .filter_map(|line| line.split("  -").next())
        .map(str::trim_end)
        .collect();
    assert_eq!(
        ids,
        [
            "gateway",
            "├─ worker-0",
            "│  └─ router-0",
            "└─ config_watcher"
        ]
    );
}

#[test]
fn bars_and_times() {
    for (percent, drawn) in [
        (0.0, "     "),
        (2.5, "▏    "),
        (50.0, "██▌  "),
        (100.0, "█████"),
        (250.0, "█████"),
    ] {
        assert_eq!(bar(percent), drawn, "{percent}");
    }
    for (seconds, text) in [
        (59, "59s"),
        (61, "1m01s"),
        (3700, "1h01m"),
        (90_000, "1d01h"),
    ] {
        assert_eq!(
            uptime(&json!(seconds)),
            Cell::number(text.to_owned(), Tone::Plain)
        );
    }
}

#[test]
fn a_panic_is_shown_with_its_place() {
    let actor =
        json!({"id": "router-0", "last_error": {"message": "ou\u{1b}ch", "place": "a.rs:1"}});
    let text = page(&json!({"actors": [actor]})).text(None, false);
    assert!(text.contains("ou ch (a.rs:1)"), "{text}");
}
