//! `game-gateway admin` for all gateways.

use std::process::{Command, Output};

use crate::stage::Deployment;
use crate::support::wire::Gateway;

/// Runs a command against a gateway, on a thread that the gateways of this test do not need.
async fn admin(to: &Gateway, words: &str) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    command.args(["admin", "--url", &format!("http://{}", to.admin)]);
    command.args(words.split(' '));
    for variable in ["GATEWAY_ADMIN_TOKEN", "GATEWAY__ADMIN__TOKEN"] {
        command.env_remove(variable);
    }
    let run = tokio::task::spawn_blocking(move || command.output());
    let Output {
        status,
        stdout,
        stderr,
    } = run.await.expect("no panic").expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.success(), text(stdout), text(stderr))
}

#[tokio::test]
async fn one_command_asks_and_tells_all_gateways() {
    let all = Deployment::start().await;
    let mut player = all.player(&all.b, 4711).await;
    let (good, table, notes) = admin(&all.a, "gateways").await;
    assert!(!good && notes.contains("it is too old"), "{notes}");
    for part in ["gw-a", "gw-b", "serving", "it is too old"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let (good, table, notes) = admin(&all.a, "sessions --user-id 4711 --deployment").await;
    assert!(good && table.contains("gw-b:"), "{table}");
    assert!(
        notes.contains("it is too old") && notes.contains("its sessions are missing"),
        "{notes}"
    );
    let word = table
        .split_whitespace()
        .find(|word| word.starts_with("gw-b:"));
    let id = word.expect("an id").to_owned();
    let (good, story, _) = admin(&all.a, &format!("session {id} --deployment")).await;
    assert!(good && story.contains("4711"), "{story}");
    let (good, shown, error) = admin(&all.a, "ban --user 99 --deployment").await;
    // Made where it could be, and a failure says where not.
    assert!(!good && error.contains("it is too old"), "{error}");
    assert!(
        shown.contains("== gw-a") && shown.contains("== gw-b"),
        "{shown}"
    );
    let (good, bans, _) = admin(&all.a, "bans --deployment").await;
    assert!(!good && bans.matches("user-99").count() == 2, "{bans}");
    says_where_it_was(&all).await;
    let (good, limits, error) = admin(&all.a, "limits limits.max_bans=77 --deployment").await;
    assert!(!good && error.contains("it is too old"), "{error}");
    let changed = |line: &&str| line.starts_with("limits.max_bans ") && line.contains(" 77 ");
    assert_eq!(limits.lines().filter(changed).count(), 2, "{limits}");
    let (_, json, _) = admin(&all.a, "backends --deployment --json").await;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["answered"], 2);
    let (good, _, _) = admin(&all.a, &format!("kick {id} --deployment")).await;
    assert!(good);
    assert_eq!(player.closed().await.0, 440);
    for (words, why) in [
        ("drain --wait --deployment", "--wait waits for one gateway"),
        ("gateways --deployment", "lists all of them anyway"),
        (
            "actors --deployment",
            "unknown query parameter `deployment`",
        ),
    ] {
        let (good, _, error) = admin(&all.a, words).await;
        assert!(!good && error.contains(why), "{words}: {error}");
    }
}

/// What is changed or looked for on one gateway alone says so.
async fn says_where_it_was(all: &Deployment) {
    let only = "on this gateway (gw-a) only; --deployment for all\n";
    for words in [
        "sessions --user-id 4711",
        "ban --user 98 --for 1h",
        "unban --user 98",
        "limits limits.max_bans=76",
        "session 17",
        "refusals --code 404",
        "drain --undo",
    ] {
        let (_, _, notes) = admin(&all.a, words).await;
        assert!(notes.contains(only), "{words}: {notes}");
    }
    for words in ["backends", "limits", "bans", "sessions --deployment"] {
        let (_, _, notes) = admin(&all.a, words).await;
        assert!(!notes.contains("only;"), "{words}: {notes}");
    }
}
