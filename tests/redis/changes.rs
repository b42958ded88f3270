//! Changes of the data take effect for later sessions.

use crate::stage::{
    REALMS, RULES, documented_user, game_at, named, nothing_was_refused, notify, ready, set_rules,
    until_at, until_realm_at, visit, wait_for_subscriber, wait_for_subscriber_of,
};
use crate::support::redis::RedisServer;

/// `game` by realm.
const BY_REALM: &str = r#"{"game":{"strategy":"realm_based"}}"#;

#[tokio::test]
async fn rules_and_realms_route_sessions() {
    let (north, south, chat) = (
        named("north").await,
        named("south").await,
        named("chat").await,
    );
    let redis = RedisServer::start();
    let rules = format!(
        r#"{{"game":{{"strategy":"realm_based"}},
            "chat":{{"strategy":"consistent_hash","endpoints":[{{"address":"{chat}","weight":2}}]}}}}"#
    );
    set_rules(&redis, &rules);
    redis.command(&[
        "HSET",
        REALMS,
        "1",
        &north.to_string(),
        "2",
        &south.to_string(),
    ]);
    let gateway = ready(&redis.url(), &[]).await;
    assert_eq!(gateway.metric("game_gateway_routes_services").await, 2);
    assert_eq!(visit(&gateway, "game", 1).await, "north");
    assert_eq!(visit(&gateway, "game", 2).await, "south");
    assert_eq!(visit(&gateway, "game", 3).await, "404");
    assert_eq!(visit(&gateway, "chat", 0).await, "chat");
    assert_eq!(visit(&gateway, "mail", 0).await, "404");
}

#[tokio::test]
async fn a_notification_brings_new_rules_and_realms_to_new_sessions() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let gateway = ready(&redis.url(), &[]).await;
    assert_eq!(visit(&gateway, "game", 1).await, "a");
    wait_for_subscriber(&redis);

    set_rules(&redis, &game_at(b));
    assert_eq!(notify(&redis), 1);
    until_at(&gateway, "b").await;

    set_rules(&redis, BY_REALM);
    assert_eq!(notify(&redis), 1);
    until_realm_at(&gateway, "game", 7, "404").await;
    redis.command(&["HSET", REALMS, "7", &a.to_string()]);
    redis.command(&["PUBLISH", &format!("{REALMS}:notify"), ""]);
    until_realm_at(&gateway, "game", 7, "a").await;
    redis.command(&["HDEL", REALMS, "7"]);
    redis.command(&["PUBLISH", &format!("{REALMS}:notify"), "7 is gone"]);
    until_realm_at(&gateway, "game", 7, "404").await;
}

#[tokio::test]
async fn a_plain_write_is_noticed_where_keyspace_notifications_are_on() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start_with("notify-keyspace-events K$h");
    set_rules(&redis, BY_REALM);
    redis.command(&["HSET", REALMS, "1", &a.to_string()]);
    let gateway = ready(&redis.url(), &[]).await;
    assert_eq!(visit(&gateway, "game", 1).await, "a");
    wait_for_subscriber(&redis);

    redis.command(&["HSET", REALMS, "1", &b.to_string()]);
    until_realm_at(&gateway, "game", 1, "b").await;
    set_rules(&redis, &game_at(a));
    until_at(&gateway, "a").await;
}

#[tokio::test]
async fn the_refresh_finds_what_nobody_announced() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let gateway = ready(&redis.url(), &[("redis.refresh", "1s")]).await;
    assert_eq!(visit(&gateway, "game", 0).await, "a");
    set_rules(&redis, &game_at(b));
    until_at(&gateway, "b").await;
}

#[tokio::test]
async fn another_database_and_another_prefix() {
    let (a, b, decoy) = (named("a").await, named("b").await, named("decoy").await);
    let redis = RedisServer::start_with("notify-keyspace-events K$h");
    let rules = "eu:routing:rules";
    set_rules(&redis, &game_at(decoy));
    redis.command(&["SET", rules, &game_at(decoy)]);
    let in_five = |command: &[&str]| {
        let mut connection = redis.connection();
        for command in [&["SELECT", "5"], command] {
            connection.ask(command).expect("an answer");
        }
    };
    in_five(&["SET", RULES, &game_at(decoy)]);
    in_five(&["SET", rules, &game_at(a)]);
    redis.command(&documented_user("gateway"));
    let more = ["+select", "%R~eu:*", "&eu:*", "&__keyspace@5__:eu:*"];
    redis.command(&[&["ACL", "SETUSER", "gateway"][..], &more].concat());
    let url = format!("redis://gateway:secret@127.0.0.1:{}/5", redis.port);
    let gateway = ready(&url, &[("redis.prefix", "eu:")]).await;
    assert_eq!(visit(&gateway, "game", 0).await, "a");

    // Keyspace notifications name the database. Once the channel has listeners, so has the keyspace.
    wait_for_subscriber_of(&redis, "eu:routing:rules:notify");
    in_five(&["SET", rules, &game_at(b)]);
    until_at(&gateway, "b").await;
    assert_eq!(notify(&redis), 0, "the default prefix is not listened to");
    nothing_was_refused(&redis);
}
