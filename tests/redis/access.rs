//! Passwords and rights: what Redis refuses is said, what is secret is not.

use std::process::Command;

use crate::stage::{
    documented_user, environment, game_at, named, nothing_was_refused, notify, ready, set_rules,
    unready, until_at, until_ready, until_ready_at, until_ready_says, visit, wait_for_subscriber,
};
use crate::support::process::Process;
use crate::support::redis::{RedisServer, wait_until};
use crate::support::wire::get;

/// The error for a wrong user or password. Redis does not tell which of them is wrong.
const REFUSED: &str = "authentication failed";

#[tokio::test]
async fn a_wrong_password_is_refused_and_shown_nowhere() {
    let a = named("a").await;
    let redis = RedisServer::start_with_password("sesame", "");
    set_rules(&redis, &game_at(a));
    let with_password = redis.url().replace("//", "//:open-barley@");
    let own_key = ("redis.password", "open-barley");
    for (url, more) in [(with_password, None), (redis.url(), Some(own_key))] {
        let more: Vec<_> = more.into_iter().chain([("log.level", "trace")]).collect();
        let process = Process::spawn(
            Command::new(env!("CARGO_BIN_EXE_game-gateway"))
                .arg("serve")
                .envs(environment(&url, &more)),
        );
        let line = process.wait_for_line("game-gateway ready: players on ");
        let (_, admin) = line.split_once(", admin on ").expect("both addresses");
        let admin = admin.trim().parse().expect("an address");
        let (status, body) = until_ready_at(admin, REFUSED).await;
        assert_eq!(status, 503);
        let (_, metrics) = get(admin, "/metrics").await;
        let (_, info) = get(admin, "/api/v1/info").await;
        for text in [body, metrics, info, process.output()] {
            assert!(!text.contains("barley"), "{text}");
        }
        // The log is written beside the admin API.
        wait_until("a line", || process.output().contains(REFUSED));
    }
}

#[tokio::test]
async fn the_password_may_be_in_the_url_or_a_key_of_its_own() {
    let a = named("a").await;
    let redis = RedisServer::start_with_password("s%40same/", "");
    set_rules(&redis, &game_at(a));
    // In a URL it is percent-encoded.
    let with_password = redis.url().replace("//", "//:s%2540same%2F@");
    let gateway = ready(&with_password, &[]).await;
    assert_eq!(visit(&gateway, "game", 0).await, "a");
    let gateway = ready(&redis.url(), &[("redis.password", "s%40same/")]).await;
    assert_eq!(visit(&gateway, "game", 0).await, "a");
}

#[tokio::test]
async fn a_missing_password_is_named() {
    let redis = RedisServer::start_with_password("sesame", "");
    let gateway = unready(&redis.url(), &[]);
    let (status, _) = until_ready_says(&gateway, "NOAUTH").await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn a_user_with_minimal_rights_is_enough() {
    let (a, b, c) = (named("a").await, named("b").await, named("c").await);
    let redis = RedisServer::start_with("notify-keyspace-events K$h");
    set_rules(&redis, &game_at(a));
    redis.command(&documented_user("gateway"));
    let url = redis.url().replace("//", "//gateway:secret@");
    let gateway = ready(&url, &[]).await;
    assert_eq!(visit(&gateway, "game", 0).await, "a");
    wait_for_subscriber(&redis);
    set_rules(&redis, &game_at(b));
    until_at(&gateway, "b").await;
    redis.command(&["CONFIG", "SET", "notify-keyspace-events", ""]);
    set_rules(&redis, &game_at(c));
    assert_eq!(notify(&redis), 1);
    until_at(&gateway, "c").await;
    nothing_was_refused(&redis);
}

#[tokio::test]
async fn a_user_of_an_earlier_version_is_enough() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    for missing in ["-watch", "-hscan"] {
        set_rules(&redis, &game_at(a));
        redis.command(&documented_user("gateway"));
        redis.command(&["ACL", "SETUSER", "gateway", missing]);
        let url = redis.url().replace("//", "//gateway:secret@");
        let gateway = ready(&url, &[]).await;
        assert_eq!(visit(&gateway, "game", 0).await, "a");
        wait_for_subscriber(&redis);
        set_rules(&redis, &game_at(b));
        notify(&redis);
        until_at(&gateway, "b").await;
    }
}

#[tokio::test]
async fn each_right_that_is_missing_is_named_and_waited_for() {
    let a = named("a").await;
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let commands = documented_user("gateway").into_iter();
    let commands = commands.filter_map(|word| word.strip_prefix('+'));
    // A PING that is refused is an answer too; it would only fill Redis's own log of refusals. Scanning and
    // one transaction stand in for each other; assignments are another matter.
    let optional = ["ping", "watch", "hscan", "hgetall", "hget"];
    let commands = commands.filter(|command| !optional.contains(command));
    let mut missing: Vec<String> = commands.map(|command| format!("-{command}")).collect();
    assert!(missing.len() > 3, "{missing:?}");
    missing.extend(["resetkeys".to_owned(), "resetchannels".to_owned()]);
    for missing in missing {
        redis.command(&documented_user("gateway"));
        redis.command(&["ACL", "SETUSER", "gateway", &missing]);
        let keys = [("redis.username", "gateway"), ("redis.password", "secret")];
        let gateway = unready(&redis.url(), &keys);
        let (status, body) = until_ready_says(&gateway, "NOPERM").await;
        assert_eq!(status, 503, "{missing}: {body}");
        redis.command(&documented_user("gateway"));
        until_ready(&gateway).await;
        assert_eq!(visit(&gateway, "game", 0).await, "a");
    }
}

#[tokio::test]
async fn rights_that_are_taken_away_leave_the_routes_and_can_be_given_back() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    redis.command(&documented_user("gateway"));
    let url = redis.url().replace("//", "//gateway:secret@");
    let gateway = ready(&url, &[]).await;
    wait_for_subscriber(&redis);
    // Redis ends the connections of a user who loses a channel or is removed.
    redis.command(&["ACL", "DELUSER", "gateway"]);
    let (status, _) = until_ready_says(&gateway, REFUSED).await;
    assert_eq!(status, 200);
    assert_eq!(visit(&gateway, "game", 0).await, "a");
    set_rules(&redis, &game_at(b));
    redis.command(&documented_user("gateway"));
    until_at(&gateway, "b").await;
}
