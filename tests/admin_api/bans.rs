//! `/api/v1/bans`.

use game_gateway::config::{Config, Secret};
use serde_json::{Value, json};

use crate::http::{Answer, get, request, send};
use crate::support::wire::{Backend, Gateway};

const BANS: &str = "/api/v1/bans";

async fn gateway(change: impl FnOnce(&mut Config)) -> Gateway {
    let backend = Backend::start().await;
    Gateway::start_with(&backend.routes(), change).await
}

async fn post(gateway: &Gateway, body: &Value) -> Answer {
    send(gateway.admin, "POST /api/v1/bans", &body.to_string()).await
}

async fn delete(gateway: &Gateway, id: &str) -> Answer {
    request(gateway.admin, &format!("DELETE {BANS}/{id}"), &[], "").await
}

async fn ids(gateway: &Gateway, query: &str) -> (Vec<String>, Value) {
    let page = get(gateway.admin, &format!("{BANS}{query}")).await.json();
    let bans = page["bans"].as_array().expect("bans").iter();
    let ids = bans.map(|ban| ban["id"].as_str().expect("an id").to_owned());
    (ids.collect(), page["next_cursor"].clone())
}

#[tokio::test]
async fn a_ban_says_what_it_is() {
    let gateway = gateway(|_| ()).await;
    let answer = post(
        &gateway,
        &json!({"address": "::ffff:192.0.2.0/120", "for": "10m", "reason": "flood \"x\""}),
    )
    .await;
    assert_eq!(answer.status, 201);
    let ban = answer.json();
    let since = ban["since_seconds"].as_u64().expect("a time");
    assert_eq!(ban["until_seconds"], since + 600);
    assert!(
        matches!(ban["remaining_seconds"].as_u64(), Some(1..=600)),
        "{ban}"
    );
    let by = ban["by"].as_str().expect("who");
    assert!(by.starts_with("127.0.0.1:"), "{by}");
    for (member, expected) in [
        ("id", json!("192.0.2.0-24")),
        ("address", json!("192.0.2.0/24")),
        ("user_id", json!(null)),
        ("reason", json!("flood \"x\"")),
        ("refusals", json!(0)),
        ("ended_sessions", json!(0)),
        ("silent_workers", json!([])),
    ] {
        assert_eq!(ban[member], expected, "{member}");
    }
    // The same again replaces it, and its beginning stays.
    let again = post(&gateway, &json!({"address": "192.0.2.0/24"})).await;
    assert_eq!(again.status, 200);
    let again = again.json();
    assert_eq!(again["since_seconds"], since);
    assert_eq!(
        (&again["until_seconds"], &again["reason"]),
        (&json!(null), &json!(""))
    );
    let mut listed = gateway.only_ban().await;
    assert!(listed["age_seconds"].is_u64(), "{listed}");
    for (name, value) in again.as_object().expect("members") {
        if name != "silent_workers" && name != "age_seconds" {
            assert_eq!(listed[name].take(), *value, "{name}");
        }
    }
}

#[tokio::test]
async fn mistakes_name_the_member_and_change_nothing() {
    let gateway = gateway(|_| ()).await;
    for (body, message) in [
        (json!({}), "address, user_id: one of them must be given"),
        (
            json!({"address": "192.0.2.1/24"}),
            "address: invalid network `192.0.2.1/24`: host bits",
        ),
        (
            json!({"address": "example.org"}),
            "address: `example.org` is not an address",
        ),
        (json!({"user_id": "0"}), "user_id: `0` is nobody"),
        (json!({"user_id": 7}), "user_id: `7` is not a text"),
        (
            json!({"user_id": "7", "address": "192.0.2.1"}),
            "address, user_id: only one",
        ),
        (
            json!({"user_id": "7", "for": "721h"}),
            "for: duration `721h` too long",
        ),
        (json!({"user_id": "7", "for": "0s"}), "for: `0s` is no time"),
        (
            json!({"user_id": "7", "reason": "a\u{1b}[2J"}),
            "reason: has a line break or",
        ),
        (
            json!({"user_id": "7", "reason": "x".repeat(257)}),
            "reason: longer than 256",
        ),
        (
            json!({"user_id": "7", "until": "x"}),
            "the body: unknown field `until`",
        ),
        (json!(["7"]), "the body: "),
        (json!("7"), "the body: "),
        (json!(null), "the body is missing"),
    ] {
        let said = post(&gateway, &body).await.error(400, "bad_request");
        assert!(said.starts_with(message), "{body}: {said}");
    }
    assert_eq!(ids(&gateway, "").await, (Vec::new(), json!(null)));
}

#[tokio::test]
async fn so_do_those_around_the_body() {
    let gateway = gateway(|_| ()).await;
    let plain = request(
        gateway.admin,
        "POST /api/v1/bans",
        &[],
        r#"{"user_id": "7"}"#,
    )
    .await;
    plain.error(415, "unsupported_media_type");
    let large = json!({"user_id": "7", "reason": "x".repeat(20_000)});
    post(&gateway, &large).await.error(413, "too_large");
    for (id, message) in [
        ("4711", "`4711` is no ban's id"),
        ("user-0", "`user-0` is no ban's id"),
        ("192.0.2.1-24", "`192.0.2.1-24` is no ban's id"),
        ("%ff", "id: not percent-encoded"),
    ] {
        let said = delete(&gateway, id).await.error(400, "bad_request");
        assert!(said.starts_with(message), "{said}");
    }
    for query in [
        "?cursor=7",
        "?limit=0",
        "?address=x",
        "?user_id=x",
        "?who=x",
        "?cursor=192.0.2.7-32",
    ] {
        get(gateway.admin, &format!("{BANS}{query}"))
            .await
            .error(400, "bad_request");
    }
}

#[tokio::test]
async fn they_are_listed_found_and_removed() {
    let gateway = gateway(|_| ()).await;
    for body in [
        json!({"user_id": "18446744073709551615"}),
        json!({"address": "10.0.0.0/8"}),
        json!({"address": "10.1.0.0/16"}),
        json!({"address": "2001:db8::/32"}),
        json!({"user_id": "7"}),
    ] {
        assert_eq!(post(&gateway, &body).await.status, 201);
    }
    let all = [
        "10.0.0.0-8",
        "10.1.0.0-16",
        "2001:db8::-32",
        "user-7",
        "user-18446744073709551615",
    ];
    assert_eq!(ids(&gateway, "").await.0, all);
    let (first, cursor) = ids(&gateway, "?limit=3").await;
    assert_eq!(
        (&first[..], &cursor),
        (&all.map(str::to_owned)[..3], &json!("2001:db8::-32"))
    );
    // Its end between two pages costs the listing nothing.
    assert_eq!(delete(&gateway, "2001:db8::-32").await.status, 204);
    let (rest, cursor) = ids(&gateway, "?limit=3&cursor=2001:db8::-32").await;
    assert_eq!(
        (&rest[..], &cursor),
        (&all.map(str::to_owned)[3..], &json!(null))
    );
    assert_eq!(ids(&gateway, "?address=10.1.2.3").await.0, all[..2]);
    assert_eq!(ids(&gateway, "?address=10.1.0.0%2F16").await.0, all[..2]);
    assert_eq!(ids(&gateway, "?user_id=7").await.0, ["user-7"]);
    assert!(
        ids(&gateway, "?user_id=7&address=10.1.2.3")
            .await
            .0
            .is_empty()
    );
    let said = delete(&gateway, "10.1.2.3").await.error(404, "not_found");
    assert_eq!(said, "there is no ban 10.1.2.3; 10.0.0.0-8 covers it");
    let said = delete(&gateway, "user-8").await.error(404, "not_found");
    assert_eq!(said, "there is no ban user-8");
    assert_eq!(delete(&gateway, "10.0.0.0%2F8").await.status, 204);
    delete(&gateway, "10.0.0.0-8").await.error(404, "not_found");
    assert_eq!(gateway.metric("game_gateway_bans").await, 3);
}

#[tokio::test]
async fn there_are_no_more_than_there_may_be() {
    let gateway = gateway(|config| config.limits.max_bans = 2).await;
    for user in ["1", "2"] {
        assert_eq!(post(&gateway, &json!({"user_id": user})).await.status, 201);
    }
    let said = post(&gateway, &json!({"user_id": "3"}))
        .await
        .error(409, "conflict");
    assert_eq!(
        said,
        "2 bans are in force, and limits.max_bans is 2; remove some first"
    );
    assert_eq!(
        post(&gateway, &json!({"user_id": "2", "for": "1ms"}))
            .await
            .status,
        200
    );
    // One that is over makes room, swept or not.
    let room = crate::support::wire::soon(async {
        while post(&gateway, &json!({"user_id": "3"})).await.status != 201 {
            crate::support::wire::look_again().await;
        }
    });
    room.await;
    assert_eq!(ids(&gateway, "").await.0, ["user-1", "user-3"]);
}

#[tokio::test]
async fn only_who_may_change_something_may_ban() {
    let gateway = gateway(|config| {
        config.admin.token = Some(Secret::new("sesame".to_owned()));
    })
    .await;
    for line in [
        "GET /api/v1/bans",
        "POST /api/v1/bans",
        "DELETE /api/v1/bans/user-7",
    ] {
        request(gateway.admin, line, &[], "")
            .await
            .error(401, "unauthorized");
    }
    let headers = [
        "Authorization: Bearer sesame",
        "Content-Type: application/json",
    ];
    let made = request(
        gateway.admin,
        "POST /api/v1/bans",
        &headers,
        r#"{"user_id": "7"}"#,
    )
    .await;
    let by = made.json()["by"].as_str().expect("who").to_owned();
    assert!(by.starts_with("admin.token at 127.0.0.1:"), "{by}");
}

#[tokio::test]
async fn pages_of_other_sites_ban_nobody() {
    let gateway = gateway(|_| ()).await;
    let headers = [
        "Origin: http://evil.example",
        "Content-Type: application/json",
    ];
    let body = r#"{"address": "0.0.0.0/0"}"#;
    request(gateway.admin, "POST /api/v1/bans", &headers, body)
        .await
        .error(403, "forbidden");
    assert_eq!(gateway.metric("game_gateway_bans").await, 0);
}
