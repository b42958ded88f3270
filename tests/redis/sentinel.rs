//! Redis under Sentinel: the gateway follows the master.

use crate::stage::{
    RULES, documented_user, game_at, named, nothing_was_refused, notify, ready, set_rules, unready,
    until_at, until_ready_says, visit, wait_for_subscriber,
};
use crate::support::redis::{RedisServer, Sentinel, free_port, wait_until};
use crate::support::resp::Reply;
use crate::support::wire::Gateway;

/// Asserts that the gateway is subscribed to this master and follows its changes.
async fn follow(gateway: &Gateway, master: &RedisServer, rules: [&str; 2]) {
    for (rules, name) in rules.into_iter().zip(["b", "c"]) {
        wait_for_subscriber(master);
        set_rules(master, rules);
        assert_eq!(notify(master), 1);
        until_at(gateway, name).await;
    }
}

#[tokio::test]
async fn a_failover_that_was_asked_for_is_followed() {
    let (a, b, c) = (named("a").await, named("b").await, named("c").await);
    let mut servers = Vec::new();
    servers.push(RedisServer::start_with_password(
        "sesame",
        "masterauth sesame",
    ));
    let replica_of = format!("masterauth sesame\nreplicaof 127.0.0.1 {}", servers[0].port);
    servers.push(RedisServer::start_with_password("sesame", &replica_of));
    set_rules(&servers[0], &game_at(a));
    let sentinel = Sentinel::start(
        &servers[0],
        "sentinel auth-pass main sesame\nrequirepass watch",
    );
    sentinel.wait_for_replica();
    let port = sentinel.port;
    let url = format!("redis+sentinel://:sesame@127.0.0.1:{port}/main/0");
    let gateway = ready(&url, &[("redis.sentinel_password", "watch")]).await;
    assert_eq!(visit(&gateway, "game", 0).await, "a");
    wait_for_subscriber(&servers[0]);
    let asked = sentinel.command(&["SENTINEL", "FAILOVER", "main"]);
    assert_eq!(asked, Reply::Text("OK".to_owned()));
    sentinel.wait_for_master(servers[1].port);
    follow(&gateway, &servers[1], [&game_at(b), &game_at(c)]).await;
}

#[tokio::test]
async fn a_master_that_dies_is_replaced() {
    let (a, b, c) = (named("a").await, named("b").await, named("c").await);
    let mut master = RedisServer::start();
    let replica = RedisServer::start_with(&format!("replicaof 127.0.0.1 {}", master.port));
    set_rules(&master, &game_at(a));
    for server in [&master, &replica] {
        server.command(&documented_user("gateway"));
        server.command(&["ACL", "SETUSER", "gateway", "+role"]);
    }
    let sentinel = Sentinel::start(&master, "");
    sentinel.wait_for_replica();
    // The first of the Sentinels is not there.
    let sentinels = format!("127.0.0.1:{},127.0.0.1:{}", free_port(), sentinel.port);
    let url = format!("redis+sentinel://gateway:secret@{sentinels}/main");
    let gateway = ready(&url, &[("redis.timeout", "500ms")]).await;
    assert_eq!(visit(&gateway, "game", 0).await, "a");
    // Data that the replica does not have yet would be lost with its master.
    wait_until("a copy", || replica.command(&["GET", RULES]) != Reply::Nil);
    master.stop("KILL");
    sentinel.wait_for_master(replica.port);
    assert_eq!(visit(&gateway, "game", 0).await, "a");
    follow(&gateway, &replica, [&game_at(b), &game_at(c)]).await;
    assert_eq!(gateway.get("/ready").await.0, 200);
    nothing_was_refused(&replica);
}

#[tokio::test]
async fn a_sentinel_that_does_not_know_the_service_is_named() {
    let master = RedisServer::start();
    let sentinel = Sentinel::start(&master, "");
    let url = format!("redis+sentinel://127.0.0.1:{}/other/0", sentinel.port);
    let gateway = unready(&url, &[]);
    let (status, body) = until_ready_says(&gateway, "other").await;
    assert_eq!(status, 503, "{body}");
}
