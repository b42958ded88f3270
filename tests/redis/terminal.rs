//! `game-gateway routes` as its users start it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::stage::{
    REALMS, RULES, documented_user, game_at, named, nothing_was_refused, notify, ready, set_rules,
    until_at, until_realm_at, wait_for_subscriber,
};
use crate::support::process::Process;
use crate::support::redis::{RedisServer, free_port, wait_until};
use crate::support::resp::Reply;

const PROGRAM: &str = env!("CARGO_BIN_EXE_game-gateway");

fn routes(arguments: &[&str]) -> Command {
    // A hanging command fails; only a failing test waits this long.
    let mut command = Command::new("timeout");
    command.args(["120", PROGRAM, "routes"]);
    command.args(arguments).env_remove("POD_NAME");
    command
}

/// Starts `routes watch`, which ends with the test: without `timeout`, which would leave it behind.
fn watching(arguments: &[&str]) -> Process {
    let mut command = Command::new(PROGRAM);
    command.args(["routes", "watch"]).args(arguments);
    Process::spawn(command.env_remove("POD_NAME"))
}

/// Result of a command: exit code, stdout, stderr.
pub(crate) type Answer = (i32, String, String);

/// Runs a command with this on stdin.
pub(crate) fn run_with(arguments: &[&str], input: &str) -> Answer {
    let mut child = routes(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that reads nothing may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("a code"), text(stdout), text(stderr))
}

fn run(arguments: &[&str]) -> Answer {
    run_with(arguments, "")
}

/// Returns the whole document: `game` at this address, realm 1 there too.
pub(crate) fn document(address: std::net::SocketAddr) -> String {
    format!(
        r#"{{"rules":{},"realms":{{"1":"{address}"}}}}"#,
        game_at(address)
    )
}

/// Two mistakes in one document.
const MISTAKEN: &str = r#"{"rules": {"game": {"strategy": "sideways", "endpoints": ["h:1"]}},
 "realms": {"north": "h:1"}}"#;

#[tokio::test]
async fn set_shows_the_difference_writes_and_notifies() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    redis.command(&["HSET", REALMS, "1", &a.to_string(), "2", &a.to_string()]);
    let gateway = ready(&redis.url(), &[]).await;
    wait_for_subscriber(&redis);
    let url = redis.url();
    let at = |command: &[&str], input: &str| {
        run_with(&[command, &["--redis-url", &url]].concat(), input)
    };

    let (code, shown, said) = at(&["set", "-", "--dry-run"], &document(b));
    assert_eq!(code, 0, "{said}");
    for part in ["game", &a.to_string(), &b.to_string()] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    assert_eq!(redis.command(&["GET", RULES]).text(), game_at(a));

    let (code, shown, said) = at(&["set", "-"], &document(b));
    assert_eq!(code, 0, "{said}");
    assert!(shown.contains(&b.to_string()), "{shown}");
    until_at(&gateway, "b").await;
    assert_eq!(redis.command(&["HGET", REALMS, "2"]), Reply::Nil);
    let first = redis.command(&["HGET", REALMS, "1"]);
    assert_eq!(first.text(), b.to_string());

    // `set` accepts the output of `get`, and then there is no difference.
    let (code, got, said) = at(&["get", "--json"], "");
    assert_eq!(code, 0, "{said}");
    let printed: serde_json::Value = serde_json::from_str(&got).expect("JSON");
    assert_eq!(printed["realms"]["1"], b.to_string());
    let before = redis.command(&["GET", RULES]);
    let (code, shown, said) = at(&["set", "-"], &got);
    assert_eq!(code, 0, "{said}");
    assert!(!shown.contains(&b.to_string()), "nothing differs: {shown}");
    let as_value =
        |reply: &Reply| -> serde_json::Value { serde_json::from_str(reply.text()).expect("JSON") };
    assert_eq!(as_value(&redis.command(&["GET", RULES])), as_value(&before));
    let (code, for_people, _) = at(&["get"], "");
    assert_eq!(code, 0);
    assert!(for_people.contains("round_robin"), "{for_people}");
}

#[tokio::test]
async fn set_takes_a_file_and_a_configuration() {
    let a = named("a").await;
    let redis = RedisServer::start_with_password("sesame", "");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("routes.json");
    std::fs::write(&file, document(a)).expect("written");
    let config = directory.path().join("gateway.toml");
    let text = format!(
        "routes.source = \"redis\"\nredis.url = \"{}\"\nredis.password = \"sesame\"\n\
         redis.prefix = \"eu:\"\n",
        redis.url()
    );
    std::fs::write(&config, text).expect("written");
    let [file, config] = [file, config].map(|path| path.display().to_string());
    let (code, _, said) = run(&["set", &file, "--config", &config]);
    assert_eq!(code, 0, "{said}");
    let realm = redis.command(&["HGET", "eu:realm:mapping", "1"]);
    assert_eq!(realm.text(), a.to_string());
    let with_password = redis.url().replace("//", "//:sesame@");
    let (code, got, said) = run(&["get", "--redis-url", &with_password, "--prefix", "eu:"]);
    assert_eq!(code, 0, "{said}");
    assert!(got.contains(&a.to_string()), "{got}");
}

#[tokio::test]
async fn a_user_with_the_rights_of_an_operator_is_enough() {
    let a = named("a").await;
    let redis = RedisServer::start();
    redis.command(&documented_user("operator"));
    let url = redis.url().replace("//", "//operator:secret@");
    for command in [
        &["set", "-"][..],
        &["get"],
        &["validate"],
        &["history"],
        &["history", "--diff", "1"],
        &["get", "--version", "1"],
        &["rollback", "1"],
    ] {
        let command = [command, &["--redis-url", &url]].concat();
        let (code, _, said) = run_with(&command, &document(a));
        assert_eq!(code, 0, "{command:?}: {said}");
    }
    let watch = watching(&["--redis-url", &url]);
    wait_until("a first look", || {
        watch.output().contains("now: 1 services")
    });
    nothing_was_refused(&redis);
}

#[tokio::test]
async fn set_writes_all_or_nothing_whatever_right_is_missing() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    redis.command(&["HSET", REALMS, "7", &a.to_string()]);
    let url = redis.url().replace("//", "//operator:secret@");
    let commands = [
        "watch", "get", "hgetall", "multi", "set", "del", "hset", "publish", "exec",
    ];
    let mut missing: Vec<String> = commands.map(|command| format!("-{command}")).into();
    missing.push("resetchannels".to_owned());
    for missing in missing {
        redis.command(&documented_user("operator"));
        redis.command(&["ACL", "SETUSER", "operator", &missing]);
        let (code, _, said) = run_with(&["set", "-", "--redis-url", &url], &document(b));
        assert_eq!(code, 1, "{missing}: {said}");
        assert!(said.contains("NOPERM"), "{missing}: {said}");
        assert_eq!(
            redis.command(&["GET", RULES]).text(),
            game_at(a),
            "{missing}"
        );
        let realms = redis.command(&["HKEYS", REALMS]);
        assert_eq!(
            realms,
            Reply::List(vec![Reply::Text("7".into())]),
            "{missing}"
        );
        let history = redis.command(&["KEYS", "*history*"]);
        assert_eq!(history, Reply::List(Vec::new()), "{missing}");
    }
}

#[tokio::test]
async fn set_refuses_what_is_mistaken_and_writes_nothing() {
    let a = named("a").await;
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let url = redis.url();
    for bad in [MISTAKEN, "not JSON", "{}", "[]"] {
        let (code, _, said) = run_with(&["set", "-", "--redis-url", &url], bad);
        assert_eq!(code, 1, "{bad}: {said}");
        assert!(!said.is_empty());
        assert_eq!(redis.command(&["GET", RULES]).text(), game_at(a), "{bad}");
        assert_eq!(
            redis.command(&["EXISTS", REALMS]),
            Reply::Number(0),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn validate_names_every_mistake() {
    let a = named("a").await;
    let (code, _, said) = run_with(&["validate", "-"], MISTAKEN);
    assert_eq!(code, 1, "{said}");
    for part in ["sideways", "north", "line 1", "line 2"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    let (code, _, said) = run_with(&["validate", "-"], &document(a));
    assert_eq!(code, 0, "{said}");

    // Without a file it is what Redis has.
    let redis = RedisServer::start();
    let url = redis.url();
    set_rules(&redis, &game_at(a));
    let (code, _, said) = run(&["validate", "--redis-url", &url]);
    assert_eq!(code, 0, "{said}");
    set_rules(&redis, r#"{"game":{"strategy":"sideways"}}"#);
    redis.command(&["HSET", REALMS, "north", "h:1"]);
    let (code, _, said) = run(&["validate", "--redis-url", &url]);
    assert_eq!(code, 1, "{said}");
    for part in [RULES, "sideways", REALMS, "north"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
}

#[tokio::test]
async fn watch_prints_changes_and_lives_through_outages() {
    let (a, b) = (named("a").await, named("b").await);
    let mut redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let watch = watching(&["--redis-url", &redis.url()]);
    let prints = |text: &str| wait_until(text, || watch.output().contains(text));
    prints("now: 1 services");
    set_rules(&redis, &game_at(b));
    notify(&redis);
    prints(&b.port().to_string());
    set_rules(&redis, "not JSON");
    notify(&redis);
    prints("has mistakes");
    redis.stop("KILL");
    prints("refused");
    let c = named("c").await;
    redis.change_while_down(|redis| set_rules(redis, &game_at(c)));
    redis.start_again();
    prints(&c.port().to_string());
}

#[tokio::test]
async fn a_gateway_hears_of_realms_that_set_has_written() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, r#"{"game":{"strategy":"realm_based"}}"#);
    redis.command(&["HSET", REALMS, "1", &a.to_string()]);
    let gateway = ready(&redis.url(), &[]).await;
    wait_for_subscriber(&redis);
    let document =
        format!(r#"{{"rules":{{"game":{{"strategy":"realm_based"}}}},"realms":{{"1":"{b}"}}}}"#);
    let (code, _, said) = run_with(&["set", "-", "--redis-url", &redis.url()], &document);
    assert_eq!(code, 0, "{said}");
    until_realm_at(&gateway, "game", 1, "b").await;
}

#[test]
fn the_log_of_a_gateway_says_who_has_set_the_routes() {
    let redis = RedisServer::start();
    set_rules(&redis, "{}");
    let mut command = Command::new(PROGRAM);
    let gateway = Process::spawn(
        command
            .arg("serve")
            .env_remove("POD_NAME")
            .env("GATEWAY__LISTEN__ADDRESS", "127.0.0.1:0")
            .env("GATEWAY__ADMIN__ADDRESS", "127.0.0.1:0")
            .env("GATEWAY__ROUTES__SOURCE", "redis")
            .env("GATEWAY__REDIS__URL", redis.url()),
    );
    wait_for_subscriber(&redis);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("routes.json");
    let set = |text: &str| {
        std::fs::write(&file, text).expect("written");
        let message = ["--message", "draining gateway"];
        let mut command = routes(&["set", "--redis-url", &redis.url(), "--yes"]);
        let status = command
            .args(message)
            .arg(&file)
            .env("USER", "alice")
            .status();
        assert!(status.expect("it runs").success());
    };
    set(r#"{"rules":{},"realms":{"1":"127.0.0.1:1"}}"#);
    // A name of its own, for what an author says must not pass for what the gateway says.
    let said = "recorded_message=\"draining gateway\"";
    wait_until(said, || gateway.output().contains(said));
    let who = "because=\"changed\" by=\"routes set by alice@";
    wait_until(who, || gateway.output().contains(who));
    // Another client's text is a line of its own, whatever is in it.
    redis.command(&["HSET", REALMS, "2", "127.0.0.1:2"]);
    redis.command(&["PUBLISH", &format!("{RULES}:notify"), "bob\nERROR"]);
    wait_until("bob", || gateway.output().contains("by=\"bob ERROR\""));
}

/// Returns a pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// As with `routes … | head`.
#[tokio::test]
async fn a_reader_that_has_gone_stops_nothing() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("routes.json");
    std::fs::write(&file, document(b)).expect("written");
    let (file, url) = (file.display().to_string(), redis.url());
    for command in [&["get"][..], &["validate"], &["set", &file, "--yes"]] {
        let mut command = routes(&[command, &["--redis-url", &url]].concat());
        let child = command.stdout(unread()).stderr(Stdio::piped()).spawn();
        let output = child
            .expect("it starts")
            .wait_with_output()
            .expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(0), ""),
            "{command:?}"
        );
    }
    assert_eq!(redis.command(&["GET", RULES]).text(), game_at(b));
    // A watch has nothing left to do.
    let status = routes(&["watch", "--redis-url", &url])
        .stdout(unread())
        .status();
    assert_eq!(status.expect("it runs").code(), Some(0));
}

#[test]
fn a_cluster_that_wants_both_keys_in_one_slot_names_the_cure() {
    let redis = RedisServer::start_with(&format!(
        "cluster-enabled yes\ncluster-port {}",
        free_port()
    ));
    redis.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    wait_until("a cluster", || {
        redis
            .command(&["CLUSTER", "INFO"])
            .text()
            .contains("cluster_state:ok")
    });
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("gateway.toml");
    let text = format!(
        "routes.source = \"redis\"\nredis.url = \"{}\"\n",
        redis.url()
    );
    std::fs::write(&config, text).expect("written");
    let check = |prefix: &str| {
        let mut command = Command::new(PROGRAM);
        command.arg("check").arg("--config").arg(&config);
        let output = command.env("GATEWAY__REDIS__PREFIX", prefix).output();
        let output = output.expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), said)
    };
    let (code, said) = check("game-gateway:");
    assert_eq!(code, Some(1));
    assert!(said.contains("CROSSSLOT"), "{said}");
    assert!(
        said.contains("set redis.prefix to one with a hash tag, for example {game-gateway}:"),
        "{said}"
    );
    let tagged = "{game-gateway}:";
    let set = ["set", "-", "--redis-url", &redis.url()];
    let (code, _, said) = run_with(&set, r#"{"rules":{}}"#);
    assert_eq!(code, 1);
    assert!(said.contains("hash tag"), "{said}");
    let set = [&set[..], &["--prefix", tagged]].concat();
    for realm in ["1", "2"] {
        let document = format!(r#"{{"rules":{{}}, "realms": {{"{realm}": "h:1"}}}}"#);
        let (code, _, said) = run_with(&set, &document);
        assert_eq!(code, 0, "{said}");
    }
    let back = [
        "rollback",
        "1",
        "--redis-url",
        &redis.url(),
        "--prefix",
        tagged,
    ];
    let (code, _, said) = run(&back);
    assert_eq!(code, 0, "{said}");
    assert_eq!(check(tagged), (Some(0), String::new()));
}

#[test]
fn a_redis_that_cannot_be_reached_is_one_line_and_for_set_worth_another_attempt() {
    let url = format!("redis://:sesame@127.0.0.1:{}", free_port());
    let document = r#"{"rules":{}}"#;
    for (command, wanted) in [(&["get"][..], 1), (&["set", "-"], 75), (&["validate"], 1)] {
        let (code, _, said) = run_with(&[command, &["--redis-url", &url]].concat(), document);
        assert_eq!(code, wanted, "{command:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{command:?}: {said}");
        assert!(!said.contains("sesame"), "{said}");
    }
}

/// The chart's Job begins beside the Redis that it writes to.
#[test]
fn set_waits_for_a_redis_that_comes_later() {
    let mut redis = RedisServer::not_started("");
    let url = redis.url();
    let nothing = std::net::TcpListener::bind(("127.0.0.1", redis.port)).expect("free");
    let mut command = routes(&["set", "-", "--wait", "60s", "--redis-url", &url]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let document = br#"{"rules":{}}"#;
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(document).expect("written");
    drop(stdin);
    // The first attempt ends so.
    drop(nothing.accept().expect("an attempt"));
    drop(nothing);
    redis.start_again();
    let Output { status, stdout, .. } = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&stdout);
    assert!(status.success(), "{said}");
    assert!(
        said.contains("written: version 1, 0 services, 0 realms"),
        "{said}"
    );
    assert_eq!(redis.command(&["GET", RULES]).text(), "{}");
}

#[test]
fn bad_usage_is_2() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["set"],
        &["get", "--nonsense"],
        &["watch", "--prefix"],
        &["get", "--redis-url", "http://h"],
    ] {
        let (code, _, said) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
    }
}
