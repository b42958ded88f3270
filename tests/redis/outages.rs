//! Redis that is down, goes away, hangs, and comes back.

use std::time::Duration;

use crate::stage::{
    RULES, game_at, named, notify, ready, set_rules, unready, until_at, until_ready,
    until_ready_says, visit, wait_for_subscriber,
};
use crate::support::redis::RedisServer;

/// Shorter than what a test waits for anyway, so that hanging is noticed soon.
const TIMEOUT: (&str, &str) = ("redis.timeout", "300ms");

#[tokio::test]
async fn a_redis_that_is_down_at_start_is_waited_for() {
    let a = named("a").await;
    let mut redis = RedisServer::not_started("");
    let gateway = unready(&redis.url(), &[]);
    let (status, body) = until_ready_says(&gateway, "refused").await;
    assert_eq!(status, 503);
    assert!(body.contains("no routes yet"), "{body}");
    assert_eq!(visit(&gateway, "game", 0).await, "503");
    assert_eq!(gateway.get("/health").await.0, 200);

    redis.change_while_down(|redis| set_rules(redis, &game_at(a)));
    redis.start_again();
    until_ready(&gateway).await;
    assert_eq!(visit(&gateway, "game", 0).await, "a");
}

#[tokio::test]
async fn routes_stay_while_redis_is_gone_and_what_has_changed_meanwhile_is_read() {
    let (a, b, c) = (named("a").await, named("b").await, named("c").await);
    let mut redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let gateway = ready(&redis.url(), &[TIMEOUT]).await;
    for (at, then, last) in [("a", b, c), ("c", a, b)] {
        redis.stop("KILL");
        let (status, _) = until_ready_says(&gateway, "refused").await;
        assert_eq!(status, 200);
        assert_eq!(visit(&gateway, "game", 0).await, at);

        redis.change_while_down(|redis| set_rules(redis, &game_at(then)));
        redis.start_again();
        until_at(&gateway, if at == "a" { "b" } else { "a" }).await;
        wait_for_subscriber(&redis);
        set_rules(&redis, &game_at(last));
        notify(&redis);
        until_at(&gateway, if at == "a" { "c" } else { "b" }).await;
    }
    let (status, body) = until_ready_says(&gateway, "null").await;
    assert_eq!((status, body.contains("refused")), (200, false), "{body}");
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_changes_nothing() {
    let (a, b) = (named("a").await, named("b").await);
    let mut redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let gateway = ready(&redis.url(), &[]).await;
    redis.stop("TERM");
    redis.start_again();
    let (status, _) = until_ready_says(&gateway, "not found").await;
    assert_eq!(status, 200);
    assert_eq!(visit(&gateway, "game", 0).await, "a");
    wait_for_subscriber(&redis);
    set_rules(&redis, &game_at(b));
    notify(&redis);
    until_at(&gateway, "b").await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_noticed_and_found_again() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let gateway = ready(&redis.url(), &[TIMEOUT]).await;
    wait_for_subscriber(&redis);
    redis.pause();
    let (status, _) = until_ready_says(&gateway, "timed out").await;
    assert_eq!(status, 200);
    assert_eq!(visit(&gateway, "game", 0).await, "a");

    // The gateway must see this, no matter if it is subscribed again before or after it.
    redis.go_on();
    set_rules(&redis, &game_at(b));
    notify(&redis);
    until_at(&gateway, "b").await;
    wait_for_subscriber(&redis);
    set_rules(&redis, &game_at(a));
    notify(&redis);
    until_at(&gateway, "a").await;
}

#[tokio::test]
async fn a_redis_that_hangs_at_start_is_waited_for() {
    let a = named("a").await;
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    redis.pause();
    let gateway = unready(&redis.url(), &[TIMEOUT]);
    let (status, body) = until_ready_says(&gateway, "timed out after").await;
    assert_eq!(status, 503, "{body}");
    redis.go_on();
    until_ready(&gateway).await;
    assert_eq!(visit(&gateway, "game", 0).await, "a");
}

#[tokio::test]
async fn commands_that_are_paused_are_waited_out() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let gateway = ready(&redis.url(), &[TIMEOUT]).await;
    wait_for_subscriber(&redis);
    // Longer than the gateway is patient. Nothing ends such a pause but time.
    let pause = Duration::from_secs(2).as_millis().to_string();
    redis.command(&["CLIENT", "PAUSE", &pause, "ALL"]);
    assert_eq!(visit(&gateway, "game", 0).await, "a");
    assert_eq!(gateway.get("/ready").await.0, 200);
    // This is answered when the pause is over.
    set_rules(&redis, &game_at(b));
    notify(&redis);
    until_at(&gateway, "b").await;
}

#[tokio::test]
async fn a_subscription_that_is_cut_is_made_again_and_nothing_is_missed() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let gateway = ready(&redis.url(), &[]).await;
    for (next, name) in [(b, "b"), (a, "a")] {
        wait_for_subscriber(&redis);
        // In one step, so that the cut is never before the change is made, and no notification says it.
        let mut connection = redis.connection();
        for command in [
            &["MULTI"][..],
            &["CLIENT", "KILL", "TYPE", "pubsub"],
            &["SET", RULES, &game_at(next)],
            &["EXEC"],
        ] {
            connection.ask(command).expect("an answer");
        }
        until_at(&gateway, name).await;
    }
    wait_for_subscriber(&redis);
    set_rules(&redis, &game_at(b));
    notify(&redis);
    until_at(&gateway, "b").await;
}
