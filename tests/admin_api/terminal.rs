//! `game-gateway admin` as its users start it.

use std::process::{Command, Output};

use game_gateway::codec::link::Kind;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::process::Process;
use crate::support::wire::{Backend, Player};

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    command
        .env_remove("POD_NAME")
        .env_remove("GATEWAY_ADMIN_TOKEN")
        .env_remove("GATEWAY__ADMIN__TOKEN")
        .env_remove("GATEWAY_ADMIN_URL");
    command
}

/// A gateway as a process, its admin API's URL and the players' address.
pub(crate) struct Served {
    pub(crate) process: Process,
    url: String,
    pub(crate) players: std::net::SocketAddr,
    _directory: TempDir,
}

pub(crate) fn serve(more: &str, routes: &str) -> Served {
    let directory = tempfile::tempdir().expect("a directory");
    let routes_file = directory.path().join("routes.json");
    std::fs::write(&routes_file, routes).expect("routes");
    let config = format!(
        "gateway.id = \"gw-t\"\nlisten.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
         gateway.workers = 1\nbackend.probe_interval = \"0\"\ndrain.accept_grace = \"0\"\nroutes.file = {routes_file:?}\n{more}\n"
    );
    let file = directory.path().join("gateway.toml");
    std::fs::write(&file, config).expect("configuration");
    let process = Process::spawn(program().arg("serve").arg("--config").arg(&file));
    let ready = process.wait_for_line("game-gateway ready: players on ");
    let (players, admin) = ready.split_once(", admin on ").expect("both addresses");
    Served {
        url: format!("http://{admin}"),
        players: players.parse().expect("an address"),
        process,
        _directory: directory,
    }
}

const ROUTES: &str = r#"{"rules": {"game": {"strategy": "consistent_hash",
    "endpoints": ["127.0.0.1:1", {"address": "127.0.0.1:2", "weight": 3}]}}, "realms": {"7": "127.0.0.1:3"}}"#;

pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    finished(program().arg("admin").args(arguments))
}

fn finished(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("a code"), text(stdout), text(stderr))
}

impl Served {
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    fn admin(&self, arguments: &[&str]) -> (i32, String, String) {
        run(&[&["--url", &self.url], arguments].concat())
    }

    /// Returns the output of a command, which must succeed.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.admin(arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
        out
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.says(&[&["--json"], arguments].concat());
        serde_json::from_str(&text).expect("JSON")
    }

    /// Returns the single line of a failing command on stderr.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let line = self.fails_for_each(arguments);
        assert_eq!(line.lines().count(), 1, "{line}");
        line
    }

    /// Returns the lines of a command that fails for several things.
    fn fails_for_each(&self, arguments: &[&str]) -> String {
        let (code, _, err) = self.admin(arguments);
        assert_eq!(code, 1, "{arguments:?}: {err}");
        err.trim_end()
            .strip_prefix("game-gateway admin: ")
            .expect("who says it")
            .to_owned()
    }
}

#[test]
fn tables_and_json() {
    let served = serve("", ROUTES);
    assert!(served.says(&["actors"]).starts_with("KIND "));
    assert!(
        served
            .says(&["actors", "--kind", "worker", "--all"])
            .starts_with("ID ")
    );
    assert!(served.json(&["actors"])["kinds"].is_array());
    assert!(served.json(&["actors", "--kind", "link", "--limit", "3"])["actors"].is_array());
    assert!(served.says(&["backends"]).starts_with("SERVICE "));
    assert!(served.json(&["backends"])["backends"].is_array());
    let filters = [
        "--service",
        "game",
        "--realm-id",
        "1",
        "--user-id",
        "18446744073709551615",
        "--backend",
        "127.0.0.1:1",
        "--transport",
        "tcp",
        "--state",
        "active",
    ];
    let sessions = served.json(&[&["sessions", "--all"], &filters[..]].concat());
    assert_eq!(sessions["sessions"], json!([]));
    assert!(
        served
            .says(&["sessions", "--limit", "1000"])
            .starts_with("SESSION ")
    );
    let routes = served.says(&["routes"]);
    assert!(routes.contains("127.0.0.1:1 127.0.0.1:2*3"), "{routes}");
    assert!(routes.contains("REALM"), "{routes}");
    let resolved = served.says(&["resolve", "game", "--user-id", "42"]);
    assert!(
        resolved.contains("consistent_hash on user_id 42"),
        "{resolved}"
    );
    assert_eq!(
        served.json(&["resolve", "game", "--user-id", "42"])["service"],
        "game"
    );
}

#[test]
fn the_log_level_is_changed() {
    let served = serve("log.level = \"warn\"", ROUTES);
    assert_eq!(served.says(&["log-level"]), "warn\n");
    assert_eq!(
        served.says(&["log-level", "info,game_gateway::admin=debug"]),
        "info,game_gateway::admin=debug\n"
    );
    assert_eq!(
        served.json(&["log-level"]),
        json!({"level": "info,game_gateway::admin=debug"})
    );
    let said = served.fails(&["log-level", "debgu"]);
    assert!(
        said.starts_with("level: `debgu` in `debgu` is none of off, error"),
        "{said}"
    );
    assert_eq!(
        served.says(&["log-level"]),
        "info,game_gateway::admin=debug\n"
    );
    // It is in force: what was not logged before is.
    served.says(&["drain"]);
    served.says(&["drain", "--undo"]);
    let mut served = served;
    served.process.sigterm();
    assert!(served.process.wait_for_exit().success());
    let log = served.process.output();
    assert!(log.contains("the drain is undone"), "{log}");
    assert!(!log.contains("the gateway listens"), "{log}");
}

#[test]
fn a_token_with_a_line_break_is_the_token_without_it() {
    let mut served = serve("admin.token = \"sesame\\n\"", ROUTES);
    let mut command = program();
    command.env("GATEWAY_ADMIN_TOKEN", "sesame\r\n").args([
        "admin",
        "--url",
        &served.url,
        "log-level",
        "info",
    ]);
    let (code, _, err) = finished(&mut command);
    assert_eq!((code, err.as_str()), (0, ""));
    served.process.sigterm();
    assert!(served.process.wait_for_exit().success());
    let log = served.process.output();
    let line = log
        .lines()
        .find(|line| line.contains("log level is changed"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("by=admin.token at 127.0.0.1:"), "{line}");
}

#[tokio::test]
async fn the_log_says_who_has_asked() {
    let backend = Backend::start().await;
    let mut served = serve("drain.window = \"1h\"", &backend.routes());
    let mut player = Player::connect_to(served.players).await;
    player.data("game", b"hello").await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id.to_string();
    served.says(&["kick", &id]);
    served.says(&["drain"]);
    served.says(&["drain", "--undo"]);
    served.process.signal("HUP");
    assert_eq!(player.closed().await.0, 440);
    drop(player);
    served.process.sigterm();
    assert!(served.process.wait_for_exit().success());
    let log = served.process.output();
    for (what, who) in [
        ("kicked over the admin API", "by=127.0.0.1:"),
        ("a drain is asked for over the admin API", "by=127.0.0.1:"),
        ("the end of a drain is asked for", "by=127.0.0.1:"),
        ("a drain is asked for by", "by=\"SIGTERM\""),
        ("routes in force", "because=\"start\""),
    ] {
        let says = |line: &&str| line.contains(what) && line.contains(who);
        assert!(
            log.lines().any(|line| says(&line)),
            "no {what:?} {who:?}: {log}"
        );
    }
}

#[tokio::test]
async fn an_abuser_is_banned_and_pardoned() {
    let backend = Backend::start().await;
    let mut served = serve("", &backend.routes());
    let mut player = Player::connect_to(served.players).await;
    let header = game_gateway::codec::client::Header {
        user_id: 4711,
        ..Default::default()
    };
    player.send(header, "game", b"hello").await;
    let mut link = backend.link().await;
    link.opened().await;
    assert_eq!(served.says(&["bans"]).lines().count(), 1);
    let said = served.says(&[
        "ban",
        "--user",
        "4711",
        "--for",
        "1h",
        "--reason",
        "ticket 815",
    ]);
    for line in [
        "id                 user-4711",
        "ended_sessions     1",
        "reason             ticket 815",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    assert_eq!(player.closed().await.0, 440);
    served.says(&["ban", "192.0.2.0/24", "--for", "1ms"]);
    served.says(&["ban", "2001:db8:0:1::/64"]);
    let begun = std::time::Instant::now();
    while served.json(&["bans"])["bans"].as_array().map(Vec::len) != Some(2) {
        assert!(begun.elapsed() < crate::support::wire::DEADLINE);
    }
    let table = served.says(&["bans"]);
    assert!(
        table.starts_with("BAN ") && table.contains("ticket 815"),
        "{table}"
    );
    assert_eq!(served.says(&["unban", "4711"]), "unbanned user-4711\n");
    served.process.sigterm();
    assert!(served.process.wait_for_exit().success());
    let log = served.process.output();
    for (what, which) in [
        ("banned over the admin API", "ban=user-4711 by=\"127.0.0.1:"),
        (
            "banned over the admin API",
            "for=\"1h\" reason=\"ticket 815\" ended_sessions=1",
        ),
        ("banned over the admin API", "for=\"ever\""),
        ("a ban is over", "ban=192.0.2.0-24 by=\"127.0.0.1:"),
        ("unbanned over the admin API", "ban=user-4711 by=127.0.0.1:"),
    ] {
        let says = |line: &str| line.contains(what) && line.contains(which);
        assert!(log.lines().any(says), "no {what:?} {which:?}: {log}");
    }
}

#[test]
fn bans_are_found_and_what_is_wrong_with_them_is_said() {
    let served = serve("limits.max_bans = 2", ROUTES);
    served.says(&["ban", "--user", "4711"]);
    let made = served.json(&["ban", "2001:db8:0:1::/64"]);
    assert_eq!(
        (&made["id"], &made["until_seconds"]),
        (&json!("2001:db8:0:1::-64"), &Value::Null)
    );
    let said = served.fails(&["ban", "192.0.2.77"]);
    let full = "2 bans are in force, and limits.max_bans is 2; remove some first (409)";
    assert_eq!(said, full);
    assert_eq!(
        served.json(&["bans", "--user", "4711", "--all"])["bans"][0]["id"],
        "user-4711"
    );
    let found = served.json(&["bans", "--address", "2001:db8:0:1::7", "--limit", "9"]);
    assert_eq!(found["bans"][0]["address"], "2001:db8:0:1::/64");
    let said = served.fails(&["unban", "2001:db8:0:1::7"]);
    let wider = "there is no ban 2001:db8:0:1::7; 2001:db8:0:1::-64 covers it (404)";
    assert_eq!(said, wider);
    assert_eq!(
        served.json(&["unban", "2001:db8:0:1::/64"])["failed"],
        json!([])
    );
    served.says(&["unban", "--user", "4711"]);
    assert_eq!(
        served.fails(&["unban", "--user", "4711"]),
        "there is no ban user-4711 (404)"
    );
    assert_eq!(
        served.fails_for_each(&["unban", "4711", "nobody"]),
        "2 of 2 bans not removed\n\
         user-4711: there is no ban user-4711 (404)\n\
         nobody: `nobody` is no ban's id; one is for example 192.0.2.0-24 or user-42 (400)"
    );
}

#[test]
fn bans_and_actors_are_sorted_and_filtered() {
    let served = serve("", ROUTES);
    for ban in ["192.0.2.1", "192.0.2.2"] {
        served.says(&["ban", ban, "--reason", &format!("ticket {ban}")]);
    }
    served.says(&["ban", "--user", "7"]);
    let ids = |list: &str, arguments: &[&str]| -> Vec<String> {
        let answer = served.json(arguments);
        let rows = answer[list].as_array().expect("a list").iter();
        rows.map(|row| row["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    let sorted = ids("bans", &["bans", "--sort", "ban", "--reverse"]);
    assert_eq!(sorted, ["user-7", "192.0.2.2", "192.0.2.1"]);
    let found = ids("bans", &["bans", "--filter", "TICKET 192.0.2.2"]);
    assert_eq!(found, ["192.0.2.2"]);
    let (code, out, err) = served.admin(&["bans", "--sort", "ban", "--limit", "2"]);
    assert_eq!(
        (code, err.as_str()),
        (0, "there are more; --all lists them\n")
    );
    assert!(!out.contains("user-7"), "{out}");
    let workers = ["actors", "--kind", "worker", "--sort", "busy_percent"];
    assert_eq!(ids("actors", &workers), ["worker-0"]);
    let none = [&workers[..3], &["--filter", "router"]].concat();
    assert_eq!(ids("actors", &none), [""; 0]);
    for alone in [["--filter", "x"], ["--sort", "id"]] {
        assert_eq!(served.admin(&[&["actors"], &alone[..]].concat()).0, 2);
    }
}

#[tokio::test]
async fn a_full_last_page_says_that_it_is_the_last() {
    let backend = Backend::start().await;
    let served = serve("", &backend.routes());
    let mut players = Vec::new();
    for _ in 0..3 {
        let mut player = Player::connect_to(served.players).await;
        player.data("game", b"hello").await;
        players.push(player);
    }
    let mut link = backend.link().await;
    // DATA of one may come before OPEN of the next.
    let mut opened = 0;
    while opened < players.len() {
        let frame = link.next().await.expect("a frame");
        opened += usize::from(frame.kind == Kind::Open as u8);
    }
    for list in [&["sessions"][..], &["actors", "--kind", "client"]] {
        let limited = |limit| [list, &["--limit", limit]].concat();
        // Nothing on stderr: there are no more.
        served.says(&limited("3"));
        assert!(served.json(&limited("3"))["next_cursor"].is_null());
        let (code, _, err) = served.admin(&limited("2"));
        assert_eq!(
            (code, err.as_str()),
            (0, "there are more; --all lists them\n")
        );
        let first = served.json(&limited("2"));
        assert!(first["next_cursor"].is_string(), "{first}");
    }
}

#[tokio::test]
async fn a_drain_that_is_waited_for_shows_its_progress_and_its_end() {
    let backend = Backend::start().await;
    let served = serve("", &backend.routes());
    let mut player = Player::connect_to(served.players).await;
    player.data("game", b"hello").await;
    let mut link = backend.link().await;
    link.opened().await;
    let (code, out, err) =
        served.admin(&["drain", "--window", "1s", "--reason", "upgrade", "--wait"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.ends_with("\ndrained; 1 connections were cut off\n") && out.contains("upgrade"),
        "{out}"
    );
    let first = err.lines().next().unwrap_or_default();
    assert!(
        first.contains(": 1 connections are here, 0 have left, 0 were cut off;"),
        "{err}"
    );
    assert_eq!(player.closed().await.0, 503);
    drop(player);
    // Everybody is gone, and the progress says so.
    let begun = std::time::Instant::now();
    loop {
        let progress = served.json(&["drain", "--status"]);
        let nobody = json!({"resumable": 0, "plain": 0, "http": 0, "newcomers": 0});
        if progress["remaining"] == nobody {
            break;
        }
        let late = begun.elapsed() > crate::support::wire::DEADLINE;
        assert!(!late && progress["remaining"].is_object(), "{progress}");
    }
}

#[test]
fn a_backend_is_taken_out_and_brought_back() {
    let served = serve(
        "",
        r#"{"rules": {"game": {"strategy": "round_robin", "endpoints": ["[::1]:1"]}}}"#,
    );
    let state = |arguments: &[&str]| served.json(&[&["backend", "[0:0::1]:1"], arguments].concat());
    assert_eq!(state(&[])["state"], "ready");
    let order = &state(&["drain", "--for", "1h", "--reason", "a new kernel"])["order"];
    assert_eq!(
        (&order["address"], &order["reason"]),
        (&json!("[::1]:1"), &json!("a new kernel"))
    );
    assert!(
        order["remaining_seconds"]
            .as_u64()
            .is_some_and(|left| left > 3000),
        "{order}"
    );
    assert_eq!(order["move"], false);
    let moving = state(&["drain", "--move"]);
    assert_eq!(moving["order"]["move"], true);
    let waited = state(&["maintenance", "--move", "--wait"]);
    assert_eq!(
        (&waited["state"], &waited["sessions"]),
        (&json!("maintenance"), &json!(0))
    );
    assert!(served.says(&["backends"]).contains(" maintenance "));
    assert!(
        served
            .says(&["resolve", "game"])
            .contains("withdrawn every endpoint")
    );
    let shown = served.says(&["backend", "[::1]:1"]);
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("state ") && line.ends_with(" maintenance")),
        "{shown}"
    );
    assert_eq!(state(&["ready"])["before"], "maintenance");
    let refused = served.fails(&["backend", "[::1]:1", "ready", "--move"]);
    assert!(refused.contains("move: only with drain"), "{refused}");
    let unknown = served.fails(&["backend", "[::1]:2", "drain"]);
    assert!(unknown.contains("there is no backend [::1]:2"), "{unknown}");
    for wrong in [
        &["backend"][..],
        &["backend", "::1:1"],
        &["backend", "[::1]:1", "down"],
        &["backend", "[::1]:1", "--for", "1h"],
        &["backend", "[::1]:1", "drain", "--for", "soon"],
    ] {
        assert_eq!(served.admin(wrong).0, 2, "{wrong:?}");
    }
}

#[test]
fn names_that_do_not_resolve_are_shown() {
    let routes = r#"{"rules": {"game": {"strategy": "round_robin",
        "endpoints": ["127.0.0.1:1", {"address": "nowhere.invalid:2", "weight": 3}]},
        "zone": {"strategy": "realm_based"}}, "realms": {"7": "lost.invalid:3", "8": "127.0.0.1:1"}}"#;
    let served = serve("", routes);
    let backends = served.json(&["backends"]);
    let rows = backends["backends"].as_array().expect("rows");
    let row = |endpoint: &str| {
        let found = rows.iter().find(|row| row["endpoint"] == endpoint);
        found.unwrap_or_else(|| panic!("no {endpoint}: {backends}"))
    };
    assert_eq!(row("127.0.0.1:1")["in_rules"], true);
    for (service, name) in [("game", "nowhere.invalid:2"), ("zone", "lost.invalid:3")] {
        let nowhere = row(name);
        let shown = (
            &nowhere["service"],
            &nowhere["in_rules"],
            &nowhere["health"],
        );
        assert_eq!(shown, (&json!(service), &json!(true), &json!("down")));
        let why = nowhere["last_error"].as_str();
        assert!(why.is_some_and(|why| why.contains("cannot be resolved")));
    }
    let resolved = served.json(&["resolve", "zone", "--realm-id", "7"]);
    let (code, candidate) = (&resolved["error_code"], &resolved["candidates"][0]);
    let shown = (code, &candidate["endpoint"], &candidate["health"]);
    assert_eq!(
        shown,
        (&json!(502), &json!("lost.invalid:3"), &json!("down"))
    );
    let table = served.says(&["backends"]);
    assert!(
        table
            .lines()
            .next()
            .is_some_and(|title| title.contains("IN RULES")),
        "{table}"
    );
    let candidates = &served.json(&["resolve", "game"])["candidates"];
    assert_eq!(
        candidates[1],
        json!({"endpoint": "nowhere.invalid:2", "weight": 3, "eligible": false, "health": "down",
            "operator_state": "ready"}),
        "{candidates}"
    );
}

#[tokio::test]
async fn resolve_says_that_an_endpoint_is_dead() {
    let served = serve(
        "",
        r#"{"rules": {"game": {"strategy": "realm_based"}}, "realms": {"7": "127.0.0.1:1"}}"#,
    );
    let resolve = &["resolve", "game", "--realm-id", "7"];
    assert!(served.json(resolve)["health"].is_null());
    let mut player = Player::connect_to(served.players).await;
    let header = game_gateway::codec::client::Header {
        realm_id: 7,
        ..Default::default()
    };
    player.send(header, "game", b"hello").await;
    player.next().await.expect("ERROR 502");
    let resolved = served.json(resolve);
    assert_eq!(
        (&resolved["endpoint"], &resolved["health"]),
        (&json!("127.0.0.1:1"), &json!("down"))
    );
    let why = resolved["why"].as_str().expect("a reason");
    assert!(
        why.ends_with("; it is down, and nothing else is left"),
        "{why}"
    );
}

#[tokio::test]
async fn drained_and_undone_and_ended_by_a_signal() {
    let backend = Backend::start().await;
    let mut served = serve("drain.window = \"1h\"", &backend.routes());
    let mut player = Player::connect_to(served.players).await;
    player.data("game", b"hello").await;
    let mut link = backend.link().await;
    link.opened().await;

    let begun = served.json(&["drain", "--window", "2h"]);
    assert_eq!(
        (&begun["window"], &begun["connections"]),
        (&json!("2h"), &json!(1))
    );
    assert!(served.says(&["drain", "--status"]).contains("admin"));
    assert_eq!(served.json(&["drain", "--undo"])["state"], "serving");
    let said = served.fails(&["drain", "--status", "--wait"]);
    assert_eq!(said, "the gateway is not draining");

    let drained = served.json(&["drain", "--window", "0", "--wait"]);
    assert_eq!(
        (&drained["state"], &drained["cut_off"]),
        (&json!("drained"), &json!(1))
    );
    assert_eq!(player.closed().await.0, 503);
    drop(player);
    served.process.sigterm();
    assert!(served.process.wait_for_exit().success());
}

#[test]
fn what_goes_wrong_is_one_line_for_each_thing() {
    let served = serve("admin.token = \"sesame\"", ROUTES);
    assert_eq!(served.fails(&["actors"]), "a bearer token is needed (401)");
    assert_eq!(
        served.fails(&["actors", "--token", "other"]),
        "a bearer token is needed (401)"
    );
    let with_token =
        |arguments: &[&str]| served.fails(&[&["--token", "sesame"], arguments].concat());
    assert_eq!(with_token(&["session", "7"]), "there is no session 7 (404)");
    assert_eq!(with_token(&["kick", "7"]), "there is no session 7 (404)");
    assert_eq!(
        served.fails_for_each(&["--token", "sesame", "kick", "7", "8"]),
        "2 of 2 sessions not kicked\n7: there is no session 7 (404)\n8: there is no session 8 (404)"
    );
    assert_eq!(
        with_token(&["kick", "gw-2:7"]),
        "session 7 is on gateway gw-2; this one is gw-t (404)"
    );
    assert_eq!(
        with_token(&["actor", "nobody"]),
        "there is no actor nobody (404)"
    );
    assert!(with_token(&["session", "a/b"]).starts_with("`a/b` is no session's id"));
    assert!(with_token(&["sessions", "--state", "happy"]).starts_with("state: unknown variant"));
    let mut command = program();
    command
        .env("GATEWAY_ADMIN_TOKEN", "sesame")
        .args(["admin", "--url", &served.url, "backends"]);
    assert_eq!(finished(&mut command).0, 0);
}

/// As in a pod, where `kubectl exec` gives the program the gateway's own variables.
#[test]
fn the_environment_of_a_gateway_suffices() {
    let served = serve("admin.token = \"sesame\"", ROUTES);
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = program();
        command.envs(variables.iter().copied()).arg("admin");
        finished(command.args(arguments))
    };
    let url = ("GATEWAY_ADMIN_URL", served.url.as_str());
    let own = ("GATEWAY__ADMIN__TOKEN", "sesame\n");
    assert_eq!(with(&[url, own], &["backends"]).0, 0);
    let (code, _, said) = with(&[url, own, ("GATEWAY_ADMIN_TOKEN", "other")], &["backends"]);
    assert_eq!(code, 1, "the variable for this command comes first: {said}");
    let elsewhere = ("GATEWAY_ADMIN_URL", "http://127.0.0.1:1");
    let given = ["backends", "--url", &served.url];
    assert_eq!(with(&[elsewhere, own], &given).0, 0);
    let (code, _, said) = with(&[("GATEWAY_ADMIN_URL", "ftp://h"), own], &["backends"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("GATEWAY_ADMIN_URL: invalid admin API address"),
        "{said}"
    );
}

#[test]
fn no_gateway_there() {
    // A port that was free just now.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", free.local_addr().expect("an address"));
    drop(free);
    let (code, out, err) = run(&["--url", &url, "backends"]);
    assert_eq!(
        (code, out.as_str(), err.lines().count()),
        (1, "", 1),
        "{err}"
    );
    assert!(
        err.starts_with(&format!("game-gateway admin: {url}: ")),
        "{err}"
    );
}

#[test]
fn bad_usage_is_2() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["--url", "ftp://127.0.0.1:9090", "actors"],
        &["--url", "nonsense", "actors"],
        &["--token", "two words", "actors"],
        &["actors", "--kind", "nonsense"],
        &["actors", "--all"],
        &["sessions", "--limit", "0"],
        &["sessions", "--limit", "1001"],
        &["sessions", "--all", "--limit", "1"],
        &["sessions", "--user-id", "18446744073709551616"],
        &["sessions", "--backend", "localhost"],
        &["kick"],
        &["ban"],
        &["ban", "192.0.2.1/24"],
        &["ban", "example.org"],
        &["ban", "192.0.2.1", "--user", "7"],
        &["ban", "--user", "0"],
        &["ban", "--user", "7", "--for", "soon"],
        &["unban"],
        &["unban", "--user", "x"],
        &["bans", "--limit", "0"],
        &["drain", "--window", "soon"],
        &["drain", "--undo", "--status"],
        &["drain", "--undo", "--wait"],
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(!err.is_empty());
    }
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for command in [
        "actors",
        "sessions",
        "kick",
        "ban",
        "unban",
        "bans",
        "backends",
        "drain",
        "log-level",
    ] {
        assert!(out.contains(command), "{out}");
    }
}
