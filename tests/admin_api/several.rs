//! `game-gateway admin` for several gateways, again and again, and ordered.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use game_gateway::codec::client::Header;
use serde_json::{Value, json};

use crate::support::wire::{Backend, Player};
use crate::terminal::{program, run, serve};

const ROUTES: &str = r#"{"rules": {"game": {"strategy": "round_robin",
    "endpoints": ["127.0.0.1:1", "127.0.0.1:3", "127.0.0.1:2"]}}}"#;

/// A URL where nobody listens.
fn nobody() -> String {
    // A port that was free just now.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", free.local_addr().expect("an address"))
}

#[test]
fn each_gateway_answers_under_its_name() {
    let (one, other) = (serve("", ROUTES), serve("", ROUTES));
    let (a, b) = (one.url(), other.url());
    let both = format!("{a},{b}");
    let (code, out, err) = run(&["--url", &a, "--url", &b, "backends"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let of_b = out
        .find(&format!("\n== {b}\nSERVICE"))
        .expect("a second table");
    assert!(out.starts_with(&format!("== {a}\nSERVICE")), "{out}");
    assert_eq!(out[..of_b].matches("127.0.0.1:2 ").count(), 1, "{out}");

    let (code, out, _) = run(&["--json", "--url", &both, "log-level"]);
    let answers: Value = serde_json::from_str(&out).expect("JSON");
    let answer = |url: &str| json!({"gateway": url, "answer": {"level": "info"}, "error": null, "warnings": []});
    assert_eq!((code, answers), (0, json!([answer(&a), answer(&b)])));

    // Twice the same one is one.
    let (_, out, _) = run(&["--url", &format!("{a},{a}/"), "log-level"]);
    assert_eq!(out, "info\n");
}

#[test]
fn one_that_fails_is_named_and_the_others_answer() {
    let (served, gone) = (serve("", ROUTES), nobody());
    let url = served.url();
    let (code, out, err) = run(&["--url", &gone, "--url", &url, "log-level"]);
    assert_eq!(code, 1);
    assert_eq!(out, format!("== {gone}\n\n== {url}\ninfo\n"));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(
        err.starts_with(&format!("game-gateway admin: {gone}: ")),
        "{err}"
    );

    let (code, out, err) = run(&["--json", "--url", &gone, "--url", &url, "session", "7"]);
    assert_eq!((code, err.lines().count()), (1, 2), "{err}");
    let answers: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(answers[1]["error"], "there is no session 7 (404)");
    assert!(
        answers[0]["error"].is_string() && answers[0]["answer"].is_null(),
        "{out}"
    );
    assert!(
        err.contains(&format!("{url}: there is no session 7 (404)")),
        "{err}"
    );
}

#[test]
fn the_environment_may_name_several() {
    let (one, other) = (serve("", ROUTES), serve("", ROUTES));
    let urls = format!("{}, {}", one.url(), other.url());
    let output = program()
        .args(["admin", "log-level"])
        .env("GATEWAY_ADMIN_URL", urls)
        .output()
        .expect("it runs");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(out.matches("\ninfo\n").count(), 2, "{out}");
}

#[test]
fn a_token_comes_from_a_file() {
    let served = serve("admin.token = \"sesame\"", ROUTES);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    let asked = || {
        let path = file.to_str().expect("UTF-8");
        run(&["--url", &served.url(), "--token-file", path, "log-level"])
    };
    let (code, _, err) = asked();
    assert_eq!((code, err.lines().count()), (1, 1), "{err}");
    assert!(err.contains("--token-file"), "{err}");
    std::fs::write(&file, "sesame\n").expect("written");
    assert_eq!(asked().0, 0);
    std::fs::write(&file, "two words").expect("written");
    let (code, _, err) = asked();
    assert_eq!(code, 1);
    assert!(err.contains("token: invalid token"), "{err}");
}

/// The first column but one of a table.
fn column(table: &str) -> Vec<&str> {
    let rows = table.lines().skip(1);
    rows.filter_map(|line| line.split_whitespace().nth(1))
        .collect()
}

#[test]
fn backends_are_ordered_and_filtered() {
    let served = serve("", ROUTES);
    let endpoints =
        |arguments: &[&str]| column(&served.says(&[&["backends"], arguments].concat())).join(" ");
    let ordered = "127.0.0.1:1 127.0.0.1:2 127.0.0.1:3";
    assert_eq!(endpoints(&["--sort", "endpoint"]), ordered);
    let turned = "127.0.0.1:3 127.0.0.1:2 127.0.0.1:1";
    assert_eq!(endpoints(&["--sort", "endpoint", "--reverse"]), turned);
    assert_eq!(endpoints(&["--filter", ":2"]), "127.0.0.1:2");
    assert_eq!(
        served.json(&["backends", "--filter", ":2"])["backends"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    for wrong in [
        &["--sort", "colour"][..],
        &["--reverse"],
        &["--watch", "soon"],
    ] {
        assert_eq!(run(&[&["backends"], wrong].concat()).0, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn sessions_are_ordered_over_all_pages() {
    let backend = Backend::start().await;
    let served = serve("", &backend.routes());
    let mut players = Vec::new();
    for user_id in [3, 11, 2] {
        let mut player = Player::connect_to(served.players).await;
        let header = Header {
            user_id,
            ..Header::default()
        };
        player.send(header, "game", b"hello").await;
        players.push(player);
    }
    let mut link = backend.link().await;
    for _ in &players {
        link.next_open().await;
    }
    let (first, all) = tokio::task::spawn_blocking(move || {
        let url = served.url();
        let cut = ["--sort", "user", "--limit", "1"];
        let (_, out, note) = run(&[&["--json", "--url", &url, "sessions"], &cut[..]].concat());
        assert_eq!(note, "there are more; --all lists them\n");
        let first: Value = serde_json::from_str(&out).expect("JSON");
        (first, served.json(&["sessions", "--sort", "user"]))
    })
    .await
    .expect("no panic");
    let users = |answer: &Value| -> Vec<String> {
        let rows = answer["sessions"].as_array().expect("a list");
        let user = |row: &Value| row["user_id"].as_str().expect("an id").to_owned();
        rows.iter().map(user).collect()
    };
    // By number, not by the alphabet.
    assert_eq!(users(&first), ["11"]);
    assert_eq!(users(&all), ["11", "3", "2"]);
}

#[test]
fn watching_asks_again_also_after_a_failure() {
    let (mut served, gone) = (serve("", ROUTES), nobody());
    let url = served.url();
    let mut command = program();
    command
        .args(["admin", "--json", "--url", &url, "--url", &gone])
        .args(["log-level", "--watch", "0.1"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut look = || -> Value {
        let line = lines.next().expect("a line").expect("text");
        serde_json::from_str(&line).expect("JSON in one line")
    };
    for _ in 0..2 {
        let seen = look();
        assert_eq!(seen[0]["answer"], json!({"level": "info"}), "{seen}");
        assert!(seen[1]["error"].is_string(), "{seen}");
    }
    served.process.sigterm();
    served.process.wait_for_exit();
    // What was asked before the end may come yet.
    while look()[0]["error"].is_null() {}
    child.kill().expect("it ran");
    child.wait().expect("it ended");
}

#[test]
fn only_what_changes_nothing_is_watched() {
    for arguments in [
        &["kick", "7"][..],
        &["ban", "192.0.2.1"],
        &["unban", "7"],
        &["drain"],
        &["drain", "--undo"],
        &["log-level", "info"],
    ] {
        let arguments = [arguments, &["--watch"]].concat();
        let (code, out, err) = run(&arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains("--watch cannot be used"), "{err}");
    }
}
