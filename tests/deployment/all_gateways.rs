//! What all gateways answer together; one of them is too old to be asked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::stage::{Deployment, get, members, shown, tell};
use crate::support::wire::Backend;

const OLD: &str = "it is too old: it does not know questions of other gateways";

#[tokio::test]
async fn gateways_are_listed_and_each_answers_for_itself() {
    let all = Deployment::start().await;
    let (status, listed) = get(&all.a, "/api/v1/gateways").await;
    assert_eq!((status, &listed["configured"]), (200, &json!(true)));
    let ids = members(&listed, "gateways", "gateway_id");
    assert_eq!(ids[..2], ["gw-a", "gw-b"], "{listed}");
    assert_eq!(ids.len(), 3, "its own address is skipped: {listed}");
    assert_eq!(listed["gateways"][1]["info"]["state"], "serving");
    assert_eq!(
        listed["gateways"][1]["info"]["version"],
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(listed["gateways"][2]["why_not"], OLD);
    let (status, infos) = get(&all.b, "/api/v1/info?deployment=true").await;
    assert_eq!(
        (status, &infos["answered"], &infos["unanswered"]),
        (207, &json!(2), &json!(1))
    );
    assert_eq!(infos["gateways"][0]["answer"]["gateway_id"], "gw-b");
    assert_eq!(infos["gateways"][1]["answer"]["gateway_id"], "gw-a");
    for path in [
        "backends",
        "drain",
        "bans",
        "refusals",
        "routes",
        "memory",
        "limits",
        "log-level",
        "top-talkers",
    ] {
        let (status, answers) = get(&all.a, &format!("/api/v1/{path}?deployment=true")).await;
        let rows = &answers["gateways"];
        assert_eq!(
            (status, &rows[1]["gateway_id"]),
            (207, &json!("gw-b")),
            "{path}: {answers}"
        );
        let (own, other) = (&rows[0], &rows[1]);
        assert_eq!(own["status"], other["status"], "{path}: {answers}");
        let keys = |row: &Value| -> Vec<String> {
            let members = row["answer"].as_object().expect("an object");
            members.keys().cloned().collect()
        };
        assert_eq!(keys(own), keys(other), "{path}");
    }
}

#[tokio::test]
async fn a_session_is_found_and_kicked_on_whatever_gateway() {
    let all = Deployment::start().await;
    let mut on_b = all.player(&all.b, 4711).await;
    let _others = [all.player(&all.a, 7).await, all.player(&all.b, 8).await];
    let (status, page) = get(&all.a, "/api/v1/sessions?user_id=4711&deployment=true").await;
    assert_eq!(status, 200, "{page}");
    let ids = members(&page, "sessions", "global_id");
    let id = ids[0].as_str().expect("an id").to_owned();
    assert!(ids.len() == 1 && id.starts_with("gw-b:"), "{page}");
    assert_eq!(
        page["unanswered"],
        json!([{"gateway": address_of_old(&page), "why_not": OLD}])
    );
    // By the whole id, and by its number alone.
    let number = id.trim_start_matches("gw-b:");
    for wanted in [&id, number] {
        let path = format!("/api/v1/sessions/{wanted}");
        assert_eq!(get(&all.a, &path).await.0, 404, "only if it is asked for");
        let (status, found) = get(&all.a, &format!("{path}?deployment=true")).await;
        assert_eq!((status, &found["global_id"]), (200, &json!(id)));
    }
    let kick = format!("DELETE /api/v1/sessions/{id}?deployment=true");
    assert_eq!(tell(&all.a, &kick, "").await, (204, Value::Null));
    assert_eq!(on_b.closed().await.0, 440);
    // One who has not answered may have what nobody has.
    let (status, error) = tell(&all.a, "DELETE /api/v1/sessions/17?deployment=true", "").await;
    assert_eq!(status, 503, "{error}");
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(message.contains(OLD), "{message}");
    // It has ended, and is still told of.
    let (_, ended) = get(&all.a, "/api/v1/sessions?state=ended&deployment=true").await;
    assert_eq!(members(&ended, "sessions", "global_id"), [&json!(id)]);
}

#[tokio::test]
async fn a_session_is_assigned_a_backend_on_whatever_gateway() {
    let all = Deployment::start().await;
    for gateway in [&all.a, &all.b] {
        let (_, routes) = get(gateway, "/api/v1/routes").await;
        let mut rules = routes["rules"].clone();
        rules["battle"] = json!({"strategy": "assigned", "assignable": ["127.0.0.0/8"]});
        gateway.set_routes(&json!({ "rules": rules }).to_string());
        let version = "game_gateway_routes_version";
        gateway.until(version, |version| version > 1).await;
    }
    let (wrong, battle) = (Backend::start().await, Backend::start().await);
    let mut on_b = all.player(&all.b, 4711).await;
    let (_, page) = get(&all.b, "/api/v1/sessions").await;
    let ids = members(&page, "sessions", "global_id");
    let id = ids[0].as_str().expect("an id").to_owned();
    let number = id.trim_start_matches("gw-b:");
    let to = |endpoint: &str| json!({"service": "battle", "endpoint": endpoint}).to_string();
    // By the whole id, and by its number alone; the last word counts.
    for (wanted, backend) in [(id.as_str(), &wrong), (number, &battle)] {
        let line = format!("POST /api/v1/sessions/{wanted}/assign");
        let body = to(&backend.address.to_string());
        let (status, error) = tell(&all.a, &line, &body).await;
        assert_eq!(status, 404, "only if it is asked for: {error}");
        let (status, done) = tell(&all.a, &format!("{line}?deployment=true"), &body).await;
        assert_eq!((status, &done["outcome"]), (200, &json!("noted")), "{done}");
    }
    on_b.data("battle", b"here").await;
    let mut link = battle.link().await;
    assert_eq!(link.opened().await.session_id.to_string(), number);
    assert_eq!(&link.data().await.payload[..], b"here");
    // The one that has it says what is wrong, and one that has not answered may have what nobody has.
    let line = format!("POST /api/v1/sessions/{id}/assign?deployment=true");
    let (status, error) = tell(&all.a, &line, &to("10.1.2.3:7000")).await;
    assert_eq!(status, 409, "{error}");
    let line = "POST /api/v1/sessions/17/assign?deployment=true";
    let (status, error) = tell(&all.a, line, &to(&battle.address.to_string())).await;
    assert_eq!(status, 503, "{error}");
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(message.contains(OLD), "{message}");
}

fn address_of_old(page: &Value) -> String {
    page["unanswered"][0]["gateway"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn sessions_of_all_gateways_are_paged_without_a_gap_or_a_double() {
    let all = Deployment::start().await;
    let mut players = Vec::new();
    for user_id in 1..=7 {
        let gateway = if user_id % 3 == 0 { &all.a } else { &all.b };
        players.push(all.player(gateway, user_id).await);
    }
    for limit in [1, 2, 3, 7, 100] {
        let (mut seen, mut cursor, mut ask_b) = (Vec::new(), String::new(), false);
        loop {
            let path = format!("/api/v1/sessions?limit={limit}&deployment=true{cursor}");
            // Whichever gateway is asked goes on in the same place.
            ask_b = !ask_b;
            let (status, page) = get(if ask_b { &all.b } else { &all.a }, &path).await;
            assert_eq!(status, 200, "{page}");
            let users = members(&page, "sessions", "user_id");
            assert!(users.len() <= limit, "{page}");
            seen.extend(users.iter().map(|user| user.to_string()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let different: BTreeSet<&String> = seen.iter().collect();
        assert_eq!((seen.len(), different.len()), (7, 7), "{limit}: {seen:?}");
    }
    for wrong in [
        "cursor=0.17",
        "cursor=rubbish",
        "limit=0",
        "user_id=x",
        "state=ended&cursor=0000000000000000.",
    ] {
        let path = format!("/api/v1/sessions?deployment=true&{wrong}");
        assert_eq!(get(&all.a, &path).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn changes_are_made_everywhere_or_it_is_said_where_not() {
    let all = Deployment::start().await;
    let mut player = all.player(&all.b, 4711).await;
    let ban = r#"{"user_id": "4711", "for": "1h", "reason": "cheats"}"#;
    let (status, made) = tell(&all.a, "POST /api/v1/bans?deployment=true", ban).await;
    assert_eq!(status, 207, "{made}");
    assert_eq!(
        members(&made, "gateways", "status"),
        [&json!(201), &json!(201), &Value::Null]
    );
    player.closed().await;
    let bans = get(&all.b, "/api/v1/bans").await.1;
    assert_eq!(bans["bans"][0]["id"], "user-4711");
    let by = bans["bans"][0]["by"].as_str().expect("by whom");
    assert!(
        by.starts_with("127.0.0.1:") && by.ends_with(" through gw-a"),
        "{by}"
    );
    // What is wrong here is told to nobody else.
    let (status, _) = tell(
        &all.a,
        "POST /api/v1/bans?deployment=true",
        r#"{"user_id": "0"}"#,
    )
    .await;
    assert_eq!(status, 400);
    // Removed here already, it is removed there.
    assert_eq!(
        tell(&all.a, "DELETE /api/v1/bans/user-4711", "").await.0,
        204
    );
    let (_, gone) = tell(&all.a, "DELETE /api/v1/bans/user-4711?deployment=true", "").await;
    assert_eq!(
        members(&gone, "gateways", "status"),
        [&json!(404), &json!(204), &Value::Null]
    );
    let (_, drains) = tell(
        &all.a,
        "POST /api/v1/drain?deployment=true",
        r#"{"window": "1h"}"#,
    )
    .await;
    assert_eq!(
        members(&drains, "gateways", "status"),
        [&json!(202), &json!(202), &Value::Null]
    );
    let (_, listed) = get(&all.a, "/api/v1/gateways").await;
    assert_eq!(listed["gateways"][1]["info"]["drain"]["window"], "1h");
    let (_, undone) = tell(&all.b, "DELETE /api/v1/drain?deployment=true", "").await;
    assert_eq!(undone["gateways"][1]["answer"]["state"], "serving");
}

/// Who may not change anything here may not through another gateway, and nobody without a token.
#[tokio::test]
async fn roles_hold_through_other_gateways() {
    let all = Deployment::start_with(|config| {
        config.admin.tokens = r#"[{"name": "wall", "role": "read", "token": "look"},
                                  {"name": "anna", "role": "operate", "token": "touch"}]"#
            .parse()
            .expect("tokens");
    })
    .await;
    let body = r#"{"user_id": "5"}"#;
    let ban = async |header: &str, path: &str, method: &str| {
        shown(&all.a, &format!("{method} {path}"), header, body).await
    };
    let path = "/api/v1/bans?deployment=true";
    let wall = "Authorization: Bearer look";
    assert_eq!(ban("Accept: */*", path, "POST").await.0, 401);
    assert_eq!(ban(wall, path, "POST").await.0, 403);
    let (status, listed) = ban(wall, path, "GET").await;
    assert_eq!(status, 207, "{listed}");
    assert_eq!(listed.matches("\"bans\":[]").count(), 2, "{listed}");
    let (status, made) = ban("Authorization: Bearer touch", path, "POST").await;
    assert_eq!(
        (status, made.matches("\"status\":201").count()),
        (207, 2),
        "{made}"
    );
    assert!(made.contains("through gw-a\""), "{made}");
}

#[tokio::test]
async fn without_neighbours_it_is_said_and_what_is_not_for_all_is_refused() {
    let all = Deployment::start_with(|config| {
        if config.gateway.id == "gw-b" {
            config.peer.gateways = "".parse().expect("none");
        }
    })
    .await;
    let (status, error) = get(&all.b, "/api/v1/info?deployment=true").await;
    assert_eq!(status, 409, "{error}");
    assert!(error.to_string().contains("peer.gateways"), "{error}");
    assert_eq!(get(&all.b, "/api/v1/sessions?deployment=true").await.0, 409);
    assert_eq!(get(&all.b, "/api/v1/info?deployment=false").await.0, 200);
    let (status, alone) = get(&all.b, "/api/v1/gateways").await;
    assert_eq!((status, &alone["configured"]), (200, &json!(false)));
    assert_eq!(members(&alone, "gateways", "gateway_id"), ["gw-b"]);
    // It is asked all the same.
    assert_eq!(
        get(&all.a, "/api/v1/info?deployment=true").await.1["answered"],
        2
    );
    for wrong in [
        "/api/v1/config?deployment=true",
        "/api/v1/info?deployment=1",
        "/api/v1/info?deployment",
        "/api/v1/info?deployment=true&deployment=true",
    ] {
        assert_eq!(get(&all.a, wrong).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_player_is_traced_on_every_gateway() {
    let all = Deployment::start().await;
    let wish = r#"{"user_id": "4711", "id": "00c0ffee00c0ffee"}"#;
    let (status, begun) = tell(&all.a, "POST /api/v1/traces?deployment=true", wish).await;
    assert_eq!(status, 207, "one is too old: {begun}");
    for row in 0..2 {
        assert_eq!(begun["gateways"][row]["status"], 201, "{begun}");
    }
    let _players = [
        all.player(&all.a, 4711).await,
        all.player(&all.b, 4711).await,
    ];
    let events = "/api/v1/traces/00c0ffee00c0ffee/events?deployment=true&after=";
    let (_, pages) = get(&all.a, &format!("{events}0")).await;
    let mut after = Vec::new();
    for row in 0..2 {
        let (gateway, page) = (&pages["gateways"][row], &pages["gateways"][row]["answer"]);
        assert_eq!(page["gateway_id"], gateway["gateway_id"], "{pages}");
        assert_eq!(page["events"][0]["user_id"], "4711", "{pages}");
        let next = page["next"].as_u64().expect("a number");
        after.push(format!(
            "{}:{next}",
            gateway["gateway_id"].as_str().expect("an id")
        ));
    }
    let (_, pages) = get(&all.b, &format!("{events}{}", after.join(","))).await;
    for row in 0..2 {
        assert_eq!(pages["gateways"][row]["answer"]["lost"], 0, "{pages}");
    }
    // Without an id it has that of the gateway that was asked.
    let wish = r#"{"user_id": "4712"}"#;
    let (_, begun) = tell(&all.a, "POST /api/v1/traces?deployment=true", wish).await;
    let id = |row: usize| begun["gateways"][row]["answer"]["id"].as_str();
    assert!(id(0).is_some() && id(0) == id(1), "{begun}");
    let endless = "/api/v1/traces/00c0ffee00c0ffee/events?deployment=true";
    assert_eq!(get(&all.b, endless).await.0, 400);
    let gone = "DELETE /api/v1/traces/00c0ffee00c0ffee?deployment=true";
    assert_eq!(tell(&all.b, gone, "").await.0, 207);
    assert_eq!(get(&all.a, "/api/v1/traces/00c0ffee00c0ffee").await.0, 404);
}
