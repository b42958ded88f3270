//! Versions of the routing data: written with each change, listed, compared and put back.

use std::net::SocketAddr;

use serde_json::Value;

use crate::stage::{
    REALMS, RULES, documented_user, game_at, named, nothing_was_refused, ready, set_rules,
    until_at, wait_for_subscriber,
};
use crate::support::redis::RedisServer;
use crate::support::resp::Reply;
use crate::terminal::{Answer, document, run_with};

pub(crate) const HISTORY: &str = "game-gateway:routing:history";

/// Runs `routes` against a server.
pub(crate) fn routes(redis: &RedisServer, arguments: &[&str], input: &str) -> Answer {
    let url = redis.url();
    run_with(&[arguments, &["--redis-url", &url]].concat(), input)
}

/// Runs `routes`, which must go well; returns what it prints.
pub(crate) fn well(redis: &RedisServer, arguments: &[&str], input: &str) -> String {
    let (code, printed, said) = routes(redis, arguments, input);
    assert_eq!(code, 0, "{arguments:?}: {printed}{said}");
    printed
}

/// Runs `routes`, which must fail; returns what it says.
fn fails(redis: &RedisServer, arguments: &[&str], input: &str) -> String {
    let (code, printed, said) = routes(redis, arguments, input);
    assert_eq!(code, 1, "{arguments:?}: {printed}{said}");
    said
}

/// Returns the history, the newest version first.
pub(crate) fn history(redis: &RedisServer) -> Value {
    serde_json::from_str(&well(redis, &["history", "--json"], "")).expect("JSON")
}

fn rules_of(redis: &RedisServer) -> String {
    redis.command(&["GET", RULES]).text().to_owned()
}

/// Returns all that Redis has, in an order of its own.
fn all_keys(redis: &RedisServer) -> Vec<(String, Reply)> {
    let Reply::List(keys) = redis.command(&["KEYS", "*"]) else {
        panic!("no list");
    };
    let mut all: Vec<(String, Reply)> = keys
        .iter()
        .map(|key| (key.text().to_owned(), redis.command(&["DUMP", key.text()])))
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Two versions and their difference are shown.
fn compares(redis: &RedisServer, a: SocketAddr, b: SocketAddr) {
    let compared = well(redis, &["history", "--diff", "2"], "");
    assert!(
        compared.contains("version 2, compared with 1:"),
        "{compared}"
    );
    assert!(
        compared.contains(&format!("~ realm 1: {a} -> {b}")),
        "{compared}"
    );
    let got = well(redis, &["get", "--version", "1"], "");
    assert!(
        got.contains(&a.to_string()) && !got.contains(&b.to_string()),
        "{got}"
    );
}

#[tokio::test]
async fn a_bad_change_is_undone() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    let who = ["--author", "anna", "--message", "season 3"];
    well(&redis, &[&["set", "-"][..], &who].concat(), &document(a));
    let gateway = ready(&redis.url(), &[]).await;
    wait_for_subscriber(&redis);
    let printed = well(&redis, &["set", "-", "--author", "bob"], &document(b));
    assert!(
        printed.contains("written: version 2, 1 services, 1 realms"),
        "{printed}"
    );
    until_at(&gateway, "b").await;

    let listed = history(&redis);
    assert_eq!(listed["current"], 2);
    let [second, first] = &listed["versions"].as_array().expect("versions")[..] else {
        panic!("{listed}");
    };
    assert_eq!(
        (&first["number"], &first["author"]),
        (&1.into(), &"anna".into())
    );
    assert_eq!(
        (&first["message"], &first["origin"]),
        (&"season 3".into(), &"set".into())
    );
    assert!(
        first["at_seconds"].as_u64() > Some(1_700_000_000),
        "{first}"
    );
    let changed = "rules: 1 changed (game); realms: 1 changed (1)";
    assert_eq!(second["summary"], changed);
    let table = well(&redis, &["history"], "");
    let rows: Vec<&str> = table.lines().skip(1).collect();
    assert!(
        rows[0].starts_with('*') && rows[0].contains("bob"),
        "{table}"
    );
    assert!(
        !rows[1].starts_with('*') && rows[1].contains("season 3"),
        "{table}"
    );
    compares(&redis, a, b);

    let before = all_keys(&redis);
    let shown = well(&redis, &["rollback", "1", "--dry-run"], "");
    assert!(shown.contains(&format!("~ realm 1: {b} -> {a}")), "{shown}");
    assert_eq!(all_keys(&redis), before);
    well(&redis, &["rollback", "1", "--yes"], "");
    until_at(&gateway, "a").await;
    let listed = history(&redis);
    let third = &listed["versions"][0];
    assert_eq!(
        (&listed["current"], &third["number"]),
        (&3.into(), &3.into())
    );
    assert_eq!(
        (&third["origin"], &third["rollback_to"]),
        (&"rollback".into(), &1.into())
    );
    assert_eq!(third["digest"], first["digest"]);
    assert_eq!(well(&redis, &["rollback", "1"], ""), "no change\n");
    assert_eq!(history(&redis)["current"], 3);
}

#[test]
fn what_was_written_in_another_way_is_found_and_can_be_put_back() {
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(at(1)));
    well(&redis, &["set", "-"], &document(at(2)));
    let listed = history(&redis);
    let versions = &listed["versions"];
    assert_eq!(
        (&versions[1]["origin"], &versions[1]["author"]),
        (&"found".into(), &Value::Null)
    );
    assert_eq!(listed["current"], 2);
    redis.command(&["HSET", REALMS, "7", "127.0.0.1:7"]);
    let (_, table, said) = routes(&redis, &["history"], "");
    assert!(
        said.contains("not recorded") && !table.contains('*'),
        "{said}{table}"
    );
    assert_eq!(history(&redis)["current"], Value::Null);
    assert!(
        fails(&redis, &["set", "-", "--if-version", "2"], "{\"rules\":{}}").contains("conflict")
    );
    well(&redis, &["rollback", "1", "-y"], "");
    assert_eq!(rules_of(&redis), game_at(at(1)));
    let listed = history(&redis);
    let origins: Vec<&Value> = (0..4).map(|n| &listed["versions"][n]["origin"]).collect();
    assert_eq!(origins, ["rollback", "found", "set", "found"]);
    well(&redis, &["rollback", "3"], "");
    assert_eq!(redis.command(&["HGET", REALMS, "7"]).text(), "127.0.0.1:7");
    // What has mistakes is no version: nobody could put it back.
    set_rules(&redis, "not JSON");
    let printed = well(&redis, &["set", "-"], &document(at(3)));
    assert!(printed.contains("has mistakes"), "{printed}");
    let listed = history(&redis);
    assert_eq!(
        listed["versions"][0]["summary"],
        "what was there had mistakes"
    );
    assert_eq!(
        (&listed["versions"][0]["number"], &listed["current"]),
        (&6.into(), &6.into())
    );
}

#[test]
fn a_version_that_is_not_the_expected_one_is_a_conflict() {
    let redis = RedisServer::start();
    let said = fails(&redis, &["set", "-", "--if-version", "1"], &document(at(1)));
    assert!(said.contains("what is there is not recorded"), "{said}");
    well(&redis, &["set", "-"], &document(at(1)));
    well(
        &redis,
        &["set", "-", "--if-version", "1", "--author", "eve"],
        &document(at(2)),
    );
    let before = all_keys(&redis);
    for command in [&["set", "-"][..], &["rollback", "1"]] {
        let command = [command, &["--if-version", "1"]].concat();
        let said = fails(&redis, &command, &document(at(3)));
        assert!(
            said.contains("conflict: expected version 1, but what is there is version 2 by eve"),
            "{said}"
        );
    }
    assert_eq!(all_keys(&redis), before);
}

/// Of writers at the same time each writes a version of its own, or nothing.
#[test]
fn writers_at_the_same_time_write_one_version_each_or_nothing() {
    const WRITERS: u16 = 6;
    let redis = RedisServer::start();
    let url = redis.url();
    let set = &["set", "-", "--redis-url", &url];
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let one = move |port| run_with(set, &document(at(port)));
        let running: Vec<_> = (1..=WRITERS)
            .map(|port| scope.spawn(move || one(port)))
            .collect();
        running
            .into_iter()
            .map(|it| it.join().expect("it ends"))
            .collect()
    });
    let mut written = Vec::new();
    for (index, (code, printed, said)) in answers.iter().enumerate() {
        match code {
            0 => {
                let number = printed
                    .split("written: version ")
                    .nth(1)
                    .expect("a version");
                let number: u64 = number
                    .split(',')
                    .next()
                    .expect("a number")
                    .parse()
                    .expect("it");
                written.push((number, at(index as u16 + 1)));
            }
            _ => assert!(said.contains("conflict"), "{said}"),
        }
    }
    written.sort();
    let numbers: Vec<u64> = written.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=written.len() as u64).collect::<Vec<_>>());
    let listed = history(&redis);
    assert_eq!(
        listed["versions"].as_array().map(Vec::len),
        Some(written.len())
    );
    let (newest, address) = written.last().expect("one at least");
    assert_eq!(listed["current"], *newest);
    assert_eq!(rules_of(&redis), game_at(*address));
}

#[test]
fn who_may_only_read_sees_the_history_and_changes_nothing() {
    let redis = RedisServer::start();
    well(&redis, &["set", "-"], &document(at(1)));
    well(&redis, &["set", "-"], &document(at(2)));
    redis.command(&documented_user("gateway"));
    let url = redis.url().replace("//", "//gateway:secret@");
    let as_reader =
        |arguments: &[&str]| run_with(&[arguments, &["--redis-url", &url]].concat(), "");
    for command in [
        &["history"][..],
        &["history", "--diff", "2"],
        &["get", "--version", "1"],
    ] {
        let (code, _, said) = as_reader(command);
        assert_eq!(code, 0, "{command:?}: {said}");
    }
    nothing_was_refused(&redis);
    let before = all_keys(&redis);
    let (code, _, said) = as_reader(&["rollback", "1"]);
    assert_eq!(code, 1);
    assert!(said.contains("NOPERM"), "{said}");
    assert_eq!(all_keys(&redis), before);
}

#[test]
fn a_version_that_cannot_be_used_is_refused_and_nothing_written() {
    let redis = RedisServer::start();
    well(&redis, &["set", "-"], &document(at(1)));
    let key = format!("{HISTORY}:1");
    well(&redis, &["set", "-"], &document(at(2)));
    let refused = |number: &str, part: &str| {
        let before = all_keys(&redis);
        for command in [&["rollback", number][..], &["history", "--diff", number]] {
            let said = fails(&redis, command, "");
            assert!(said.contains(part), "no {part} in {said}");
        }
        assert_eq!(all_keys(&redis), before);
    };
    refused(
        "7",
        "there is no version 7 in the history, which has 1 to 2",
    );
    redis.command(&["SET", &key, "not gzip"]);
    refused(
        "1",
        "version 1 cannot be put back: redis key game-gateway:routing:history:1: ",
    );
    // As if an earlier release had allowed what this one does not.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let bad = b"{\"rules\":{\"game\":{\"strategy\":\"sideways\"}},\n\"realms\":{\"x\":\"h:1\"}}";
    std::io::Write::write_all(&mut gzip, bad).expect("written");
    let packed = gzip.finish().expect("packed");
    let mut connection = redis.connection();
    let set = [b"SET", key.as_bytes(), &packed];
    connection.send_bytes(&set).expect("sent");
    assert_eq!(connection.reply().expect("a reply").text(), "OK");
    refused("1", "rules.game.strategy: must be one of");
    refused("1", "line 2: realms.x: invalid realm id");
    redis.command(&["DEL", &key]);
    refused("1", "not found");
    redis.command(&["HSET", &key, "a", "b"]);
    refused("1", "wrong type");
}

#[test]
fn a_history_that_is_none_stops_no_change() {
    let redis = RedisServer::start();
    well(&redis, &["set", "-"], &document(at(1)));
    let broken = [
        (&["SET", HISTORY, "rubbish"][..], "not a history"),
        (&["HSET", HISTORY, "a", "b"], "wrong type"),
    ];
    for (number, (command, why)) in (2..).zip(broken) {
        redis.command(&["DEL", HISTORY]);
        redis.command(command);
        let said = fails(&redis, &["history"], "");
        assert!(said.contains(why), "{said}");
        let said = fails(&redis, &["rollback", "1"], "");
        assert!(said.contains(why), "{said}");
        let (code, _, said) = routes(&redis, &["set", "-"], &document(at(number)));
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("a new history begins in its place"), "{said}");
        let listed = history(&redis);
        assert_eq!(listed["versions"][1]["origin"], "found", "{listed}");
        assert_eq!(listed["current"], 2);
    }
}

#[test]
fn the_history_is_bounded() {
    let redis = RedisServer::start();
    well(&redis, &["set", "-"], &document(at(1)));
    well(&redis, &["set", "-"], &document(at(2)));
    // As if there had been many more.
    let mut index: Value =
        serde_json::from_str(redis.command(&["GET", HISTORY]).text()).expect("JSON");
    let template = index["versions"][1].clone();
    let versions: Vec<Value> = (1..=100_u64)
        .map(|number| {
            let mut version = template.clone();
            version["number"] = number.into();
            redis.command(&["SET", &format!("{HISTORY}:{number}"), "data"]);
            version
        })
        .collect();
    index["versions"] = versions.into();
    redis.command(&["SET", HISTORY, &index.to_string()]);
    well(&redis, &["set", "-"], &document(at(3)));
    let listed = history(&redis);
    assert_eq!(listed["versions"].as_array().map(Vec::len), Some(100));
    assert_eq!(listed["versions"][99]["number"], 2);
    assert_eq!(
        redis.command(&["EXISTS", &format!("{HISTORY}:1")]),
        Reply::Number(0)
    );
    assert_eq!(
        redis.command(&["EXISTS", &format!("{HISTORY}:101")]),
        Reply::Number(1)
    );
    let table = well(&redis, &["history", "--limit", "3"], "");
    assert_eq!(table.lines().count(), 4, "{table}");
}

/// Redis stops taking writes when the transaction has been sent, and comes back: all of it was written, or nothing.
#[test]
fn an_outage_in_the_middle_leaves_routes_and_history_in_agreement() {
    let redis = RedisServer::start();
    well(&redis, &["set", "-"], &document(at(1)));
    redis.command(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let said = fails(&redis, &["set", "-"], &document(at(2)));
    assert!(said.contains("it may or may not be written"), "{said}");
    redis.command(&["CLIENT", "UNPAUSE"]);
    let listed = history(&redis);
    let number = listed["current"]
        .as_u64()
        .expect("what is there is recorded");
    assert_eq!(rules_of(&redis), game_at(at(number as u16)), "{listed}");
    assert_eq!(listed["versions"][0]["number"], number);
    well(&redis, &["set", "-"], &document(at(3)));
    assert_eq!(history(&redis)["current"], number + 1);
}

/// A map of this size is put back, and what is printed of it has a bound.
#[test]
fn three_hundred_thousand_realms() {
    let realms = |port: u16| {
        let one = |id: u32| format!("\"{id}\":\"game-{}.internal:{port}\"", id % 1000);
        let all: Vec<String> = (1..=300_000).map(one).collect();
        format!(
            "{{\"rules\":{{\"game\":{{\"strategy\":\"realm_based\"}}}},\"realms\":{{{}}}}}",
            all.join(",")
        )
    };
    let redis = RedisServer::start();
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("gateway.toml");
    // A debug build on a busy machine sends slowly.
    std::fs::write(&config, "redis.timeout = \"60s\"\n").expect("written");
    let config = config.display().to_string();
    let set = ["set", "-", "--config", &config];
    well(&redis, &set, &realms(1));
    let printed = well(&redis, &set, &realms(2));
    assert!(
        printed.contains("… and 299900 more realms: 300000 changed"),
        "{printed}"
    );
    assert!(printed.len() < 16 * 1024, "{} bytes", printed.len());
    well(&redis, &["rollback", "1", "--config", &config], "");
    assert_eq!(
        redis.command(&["HGET", REALMS, "300000"]).text(),
        "game-0.internal:1"
    );
    let newest = &history(&redis)["versions"][0];
    assert_eq!(newest["realms"], 300_000);
    assert_eq!(
        newest["summary"],
        "back to version 1: realms: 300000 changed (1, 2, 3, 4, 5, …)"
    );
    let stored = newest["stored_bytes"].as_u64().expect("a number");
    println!("300,000 realms are {stored} bytes in the history");
}
