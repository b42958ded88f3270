//! `/api/v1/backends/{address}/state`: roles, wrong addresses and bodies. What it does to players is among the flows.

use serde_json::{Value, json};

use crate::http::{Answer, get, request, send};
use crate::support::wire::{Backend, Gateway, soon};

async fn gateway() -> (Gateway, String) {
    let backend = Backend::start().await;
    let path = format!("/api/v1/backends/{}/state", backend.address);
    (Gateway::start(&backend.routes()).await, path)
}

async fn put(gateway: &Gateway, path: &str, body: &str) -> Answer {
    send(gateway.admin, &format!("PUT {path}"), body).await
}

async fn state(gateway: &Gateway, path: &str) -> Value {
    get(gateway.admin, path).await.json()
}

#[tokio::test]
async fn it_says_what_it_is_and_the_same_again_is_the_same() {
    let (gateway, path) = gateway().await;
    let before = state(&gateway, &path).await;
    assert_eq!(
        (&before["state"], &before["order"]),
        (&json!("ready"), &json!(null))
    );
    for was in ["ready", "drain"] {
        let answer = put(
            &gateway,
            &path,
            r#"{"state": "drain", "move": false, "for": "10m"}"#,
        )
        .await;
        assert_eq!(answer.status, 200);
        let answer = answer.json();
        assert_eq!(answer["before"], was);
        let order = &answer["order"];
        assert!(
            order["by"]
                .as_str()
                .is_some_and(|by| by.starts_with("127.0.0.1:")),
            "{order}"
        );
        assert!(
            matches!(order["remaining_seconds"].as_u64(), Some(590..=600)),
            "{order}"
        );
    }
    let row = &state(&gateway, "/api/v1/backends").await["backends"][0];
    assert_eq!(row["operator_state"], "drain");
    assert_eq!(row["order"]["address"], row["endpoint"]);
    let state_of = |state: &str| {
        format!(
            "game_gateway_endpoint_operator_state{{service_type=\"game\",endpoint_address={},state=\"{state}\"}}",
            row["endpoint"]
        )
    };
    let drains = async || {
        let metrics = get(gateway.admin, "/metrics").await.body;
        metrics.contains(&format!("{} 1\n", state_of("drain")))
    };
    // Rows are up to a second old.
    soon(async {
        while !drains().await {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    for _ in 0..2 {
        let answer = put(&gateway, &path, r#"{"state": "ready"}"#).await.json();
        assert_eq!(
            (&answer["state"], &answer["order"]),
            (&json!("ready"), &json!(null))
        );
    }
}

/// Whoever has taken it out need not be told.
#[tokio::test]
async fn one_that_is_taken_out_is_not_counted_as_down() {
    let routes =
        r#"{"rules": {"game": {"strategy": "round_robin", "endpoints": ["127.0.0.1:1"]}}}"#;
    let gateway = Gateway::start_with(routes, |config| {
        config.backend.probe_interval = std::time::Duration::from_millis(50);
    })
    .await;
    let down = "game_gateway_endpoints_down";
    gateway.until(down, |endpoints| endpoints == 1).await;
    for (state, counted) in [("maintenance", 0), ("ready", 1), ("drain", 0)] {
        let path = "/api/v1/backends/127.0.0.1:1/state";
        let wish = json!({ "state": state }).to_string();
        assert_eq!(put(&gateway, path, &wish).await.status, 200);
        gateway.until(down, |endpoints| endpoints == counted).await;
    }
}

#[tokio::test]
async fn mistakes_are_named_and_change_nothing() {
    let (gateway, path) = gateway().await;
    let long = format!(r#"{{"state": "drain", "reason": "{}"}}"#, "a".repeat(257));
    for (body, message) in [
        ("", "the body is missing, for example"),
        ("null", "the body is missing, for example"),
        ("{}", "state: missing, expected ready"),
        (
            r#"{"state": "down"}"#,
            "state: `down` is none of ready, drain, maintenance",
        ),
        (r#"{"state": "Drain"}"#, "state: `Drain` is none of"),
        (r#"{"state": 1}"#, "state: `1` is not a text"),
        (r#"{"state": null}"#, "state: `null` is not a text"),
        (
            r#"{"state": ["drain"]}"#,
            "state: `[\"drain\"]` is not a text",
        ),
        (
            r#"{"state": "drain", "move": "no"}"#,
            "move: `\"no\"` is not true or false",
        ),
        (
            r#"{"state": "drain", "move": null}"#,
            "move: `null` is not true or false",
        ),
        (
            r#"{"state": "ready", "move": true}"#,
            "move: only with drain or maintenance",
        ),
        (r#"{"state": "drain", "for": 5}"#, "for: `5` is not a text"),
        (r#"{"state": "drain", "for": "0s"}"#, "for: `0s` is no time"),
        (r#"{"state": "drain", "for": "9999999h"}"#, "for: "),
        (
            r#"{"state": "ready", "for": "1h"}"#,
            "for: only with drain or maintenance",
        ),
        (
            r#"{"state": "drain", "reason": 5}"#,
            "reason: `5` is not a text",
        ),
        (
            r#"{"state": "drain", "reason": "a\nb"}"#,
            "reason: has a line break",
        ),
        (&long, "reason: longer than 256"),
        (
            r#"{"state": "drain", "why": 1}"#,
            "the body: unknown field `why`",
        ),
        (
            r#"{"state": "drain", "state": "ready"}"#,
            "the body: duplicate field `state`",
        ),
        (r#"["drain"]"#, "the body: expected an object"),
        ("drain", "the body: "),
    ] {
        let said = put(&gateway, &path, body).await.error(400, "bad_request");
        assert!(said.starts_with(message), "{body}: {said}");
    }
    let huge = format!(r#"{{"state": "{}"}}"#, "a".repeat(20_000));
    put(&gateway, &path, &huge).await.error(413, "too_large");
    let query = format!("{path}?now=1");
    put(&gateway, &query, r#"{"state": "drain"}"#)
        .await
        .error(400, "bad_request");
    assert_eq!(state(&gateway, &path).await["state"], "ready");
}

#[tokio::test]
async fn addresses_that_are_none_and_backends_that_are_not_there() {
    let (gateway, _) = gateway().await;
    let drain = r#"{"state": "drain"}"#;
    for (address, why) in [
        ("10.0.0.1", "missing port"),
        ("10.0.0.1:", "missing port"),
        ("10.0.0.1:0", "invalid port"),
        ("10.0.0.1:65536", "invalid port"),
        ("10.0.0.999:1", "invalid IPv4 address"),
        ("::1:1", "IPv6 address without brackets"),
        ("%5B::g%5D:1", "invalid IPv6 address"),
        ("a%20b:1", "invalid host name"),
        ("a%2Fb:1", "invalid host name"),
        ("%00:1", "invalid host name"),
        (":1", "missing host"),
        (&format!("{}:1", "a".repeat(300)), "invalid host name"),
    ] {
        let path = format!("/api/v1/backends/{address}/state");
        for answer in [
            put(&gateway, &path, drain).await,
            get(gateway.admin, &path).await,
        ] {
            let said = answer.error(400, "bad_request");
            assert!(
                said.starts_with("address: `") && said.contains(why),
                "{address}: {said}"
            );
        }
    }
    put(&gateway, "/api/v1/backends/%ff:1/state", drain)
        .await
        .error(400, "bad_request");
    for address in [
        "10.0.0.1:1",
        "game.example:1",
        "%5B2001:db8::1%5D:1",
        "127.0.0.1:1",
    ] {
        let path = format!("/api/v1/backends/{address}/state");
        for answer in [
            put(&gateway, &path, drain).await,
            get(gateway.admin, &path).await,
        ] {
            let said = answer.error(404, "not_found");
            assert!(said.starts_with("there is no backend "), "{said}");
        }
    }
}

#[tokio::test]
async fn it_takes_the_role_to_operate() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        let tokens = r#"[{"name": "eve", "role": "read", "token": "eve-secret"},
            {"name": "olga", "role": "operate", "token": "olga-secret"}]"#;
        config.admin.tokens = tokens.parse().expect("tokens");
    })
    .await;
    let path = format!("/api/v1/backends/{}/state", backend.address);
    let ask = async |method: &str, name: &str, body: &str| {
        let authorization = format!("Authorization: Bearer {name}-secret");
        let headers = [&*authorization, "Content-Type: application/json"];
        request(gateway.admin, &format!("{method} {path}"), &headers, body).await
    };
    let drain = r#"{"state": "drain"}"#;
    ask("GET", "nobody", "").await.error(401, "unauthorized");
    ask("PUT", "nobody", drain).await.error(401, "unauthorized");
    assert_eq!(ask("GET", "eve", "").await.json()["state"], "ready");
    ask("PUT", "eve", drain).await.error(403, "forbidden");
    assert_eq!(ask("GET", "eve", "").await.json()["state"], "ready");
    let answer = ask("PUT", "olga", drain).await.json();
    let by = answer["order"]["by"].as_str().expect("who");
    assert!(by.starts_with("olga at 127.0.0.1:"), "{by}");
}
