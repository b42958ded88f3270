//! Bad data in Redis: it is named, counted, and never in force.

use std::net::SocketAddr;

use crate::stage::{
    REALMS, RULES, game_at, named, notify, ready, set_rules, unready, until_ready,
    until_ready_says, visit, wait_for_subscriber,
};
use crate::support::redis::RedisServer;
use crate::support::resp::Reply;
use crate::support::wire::Gateway;

const REJECTED: &str = "game_gateway_routes_rejected";

/// One way to spoil the data, and what `/ready` must then say.
struct Mistake {
    commands: Vec<Vec<String>>,
    says: Vec<&'static str>,
}

/// Commands in a line each; `'` begins a last word with spaces in it.
fn mistake(commands: &[&str], says: &[&'static str]) -> Mistake {
    let words = |command: &&str| {
        let (plain, last) = match command.split_once(" '") {
            Some((plain, last)) => (plain, Some(last.to_owned())),
            None => (*command, None),
        };
        plain
            .split_whitespace()
            .map(|word| match word {
                "RULES" => RULES.to_owned(),
                "REALMS" => REALMS.to_owned(),
                other => other.to_owned(),
            })
            .chain(last)
            .collect()
    };
    Mistake {
        commands: commands.iter().map(words).collect(),
        says: says.to_vec(),
    }
}

fn mistakes(good: SocketAddr) -> Vec<Mistake> {
    let rule = |rest: &str| {
        format!(
            r#"SET RULES '{{"game":{{"strategy":"round_robin","endpoints":["{good}"]}},{rest}}}"#
        )
    };
    vec![
        mistake(&["SET RULES 'not JSON"], &[RULES, "line 1"]),
        mistake(&["SET RULES '"], &[RULES]),
        mistake(&["SET RULES '[1, 2]"], &[RULES, "object"]),
        mistake(&[r#"SET RULES '{"game": "127.0.0.1:1"}"#], &[RULES, "game"]),
        mistake(
            &[&rule(
                r#""mail":{"strategy":"sideways","endpoints":["h:1"]}"#,
            )],
            &[RULES, "mail.strategy", "sideways"],
        ),
        mistake(
            &[&rule(
                r#""mail":{"strategy":"round_robin","endpoints":["h"]}"#,
            )],
            &[RULES, "mail.endpoints", "port"],
        ),
        mistake(
            &["HSET REALMS north 127.0.0.1:1 0 127.0.0.1:1 4294967296 127.0.0.1:1"],
            &[REALMS, "north", "4294967296"],
        ),
        mistake(
            &["HSET REALMS 5 nowhere 6 :9 8 127.0.0.1:99999"],
            &[REALMS, "nowhere", ":9", "99999"],
        ),
        // It would be a good one, but nobody reads so much.
        mistake(
            &[&format!("HSET REALMS 5 127.0.0.1:{:0>5000}", good.port())],
            &[REALMS, "too large: a value of 5010 bytes, limit 4096"],
        ),
        mistake(
            &["DEL RULES", "RPUSH RULES x"],
            &[RULES, "expected a string"],
        ),
        mistake(
            &["DEL REALMS", "SET REALMS x"],
            &[REALMS, "expected a hash"],
        ),
        mistake(&["DEL RULES"], &[RULES]),
    ]
}

/// Writes good data again, and a notification, in one step.
fn heal(redis: &RedisServer, good: SocketAddr) {
    let mut connection = redis.connection();
    for command in [
        &["MULTI"][..],
        &["DEL", RULES, REALMS],
        &["HSET", REALMS, "1", &good.to_string()],
        &["SET", RULES, &game_at(good)],
        &["PUBLISH", &format!("{RULES}:notify"), "healed"],
        &["EXEC"],
    ] {
        let answer = connection.ask(command).expect("an answer");
        assert!(!matches!(answer, Reply::Error(_)), "{answer:?}");
    }
}

#[tokio::test]
async fn bad_data_keeps_the_last_good_rules_and_is_named() {
    let a = named("a").await;
    let redis = RedisServer::start();
    heal(&redis, a);
    let gateway = ready(&redis.url(), &[]).await;
    wait_for_subscriber(&redis);
    let version = gateway.metric("game_gateway_routes_version").await;
    let mut counted = counted_mistakes(&gateway).await;
    for Mistake { commands, says } in mistakes(a) {
        for command in &commands {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            redis.command(&words);
        }
        notify(&redis);
        gateway.until(REJECTED, |rejected| rejected == 1).await;
        let (status, body) = until_ready_says(&gateway, says[0]).await;
        assert_eq!(status, 200, "{commands:?}");
        for part in says {
            assert!(body.contains(part), "{commands:?}: no {part} in {body}");
        }
        assert_eq!(visit(&gateway, "game", 0).await, "a", "{commands:?}");
        counted += 1;
        assert_eq!(counted_mistakes(&gateway).await, counted, "{commands:?}");
        heal(&redis, a);
        gateway.until(REJECTED, |rejected| rejected == 0).await;
    }
    assert_eq!(gateway.metric("game_gateway_routes_version").await, version);
    assert!(gateway.get("/ready").await.1.contains("null"));
}

/// Returns the number of rejections of data, for any reason.
async fn counted_mistakes(gateway: &Gateway) -> u64 {
    let mut sum = 0;
    for reason in ["mistaken", "unreadable"] {
        let name = format!("game_gateway_rejected_routes_total{{reason=\"{reason}\"}}");
        sum += gateway.metric(&name).await;
    }
    sum
}

#[tokio::test]
async fn a_gateway_that_starts_with_bad_data_waits_for_good_data() {
    let a = named("a").await;
    for Mistake { commands, says } in mistakes(a) {
        let redis = RedisServer::start();
        for command in &commands {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            redis.command(&words);
        }
        // Rules that are good by themselves do not help where the realms are bad.
        if says[0] == REALMS {
            set_rules(&redis, &game_at(a));
        }
        let gateway = unready(&redis.url(), &[]);
        let (status, body) = until_ready_says(&gateway, says[0]).await;
        assert_eq!(status, 503, "{commands:?}");
        for part in says {
            assert!(body.contains(part), "{commands:?}: no {part} in {body}");
        }
        assert_eq!(visit(&gateway, "game", 0).await, "503");
        wait_for_subscriber(&redis);
        heal(&redis, a);
        until_ready(&gateway).await;
        assert_eq!(visit(&gateway, "game", 0).await, "a");
    }
}

#[tokio::test]
async fn an_unknown_member_is_a_warning_only() {
    let a = named("a").await;
    let redis = RedisServer::start();
    let rule =
        format!(r#"{{"game":{{"strategy":"round_robin","endpoints":["{a}"],"colour":"red"}}}}"#);
    set_rules(&redis, &rule);
    let gateway = ready(&redis.url(), &[]).await;
    assert_eq!(visit(&gateway, "game", 0).await, "a");
}
