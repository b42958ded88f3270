//! `POST /api/v1/sessions/{id}/assign` and `admin assign`: roles, wrong bodies, a terminal. What it does to players is
//! among the flows.

use serde_json::json;

use crate::http::{request, send};
use crate::support::wire::{Backend, Gateway, Player};
use crate::terminal::{run, serve};

#[tokio::test]
async fn mistakes_are_named() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    for (body, message) in [
        ("", "the body is missing, for example"),
        ("{}", "service: missing"),
        (r#"{"service": "game"}"#, "endpoint: missing"),
        (
            r#"{"service": 1, "endpoint": "1.2.3.4:5"}"#,
            "service: `1` is not a text",
        ),
        (
            r#"{"service": "Game", "endpoint": "1.2.3.4:5"}"#,
            "service: `Game` is no service name",
        ),
        (
            r#"{"service": "", "endpoint": "1.2.3.4:5"}"#,
            "service: `` is no service name",
        ),
        (
            r#"{"service": "game", "endpoint": "1.2.3.4"}"#,
            "endpoint: `1.2.3.4` is not a backend's: missing port",
        ),
        (
            r#"{"service": "game", "endpoint": null}"#,
            "endpoint: `null` is not a text",
        ),
        (
            r#"{"service": "game", "endpoint": "1.2.3.4:5", "user": 7}"#,
            "the body: unknown field `user`",
        ),
        (r#"["game"]"#, "the body: expected an object"),
    ] {
        let answer = send(gateway.admin, "POST /api/v1/sessions/7/assign", body).await;
        let said = answer.error(400, "bad_request");
        assert!(said.starts_with(message), "{body}: {said}");
    }
    let good = r#"{"service": "game", "endpoint": "1.2.3.4:5"}"#;
    let send_to = async |id: &str| {
        send(
            gateway.admin,
            &format!("POST /api/v1/sessions/{id}/assign"),
            good,
        )
        .await
    };
    send_to("x").await.error(400, "bad_request");
    send_to("7").await.error(404, "not_found");
    let said = send_to("elsewhere:7").await.error(404, "not_found");
    assert!(said.contains("is on gateway elsewhere"), "{said}");
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
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"hello").await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    let body = json!({"service": "game", "endpoint": backend.address.to_string()}).to_string();
    let ask = async |name: &str| {
        let authorization = format!("Authorization: Bearer {name}-secret");
        let headers = [&*authorization, "Content-Type: application/json"];
        let line = format!("POST /api/v1/sessions/{id}/assign");
        request(gateway.admin, &line, &headers, &body).await
    };
    ask("nobody").await.error(401, "unauthorized");
    ask("eve").await.error(403, "forbidden");
    let answer = ask("olga").await;
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(
        (&answer["outcome"], &answer["service"]),
        (&json!("there"), &json!("game"))
    );
    assert!(
        answer["global_id"]
            .as_str()
            .is_some_and(|global| global.ends_with(&format!(":{id}")))
    );
}

#[tokio::test]
async fn from_a_terminal() {
    let backend = Backend::start().await;
    let rules = backend.routes();
    let served = tokio::task::spawn_blocking(move || serve("", &rules));
    let served = served.await.expect("no panic");
    let mut player = Player::connect_to(served.players).await;
    let header = game_gateway::codec::client::Header {
        user_id: 4711,
        ..Default::default()
    };
    player.send(header, "game", b"hello").await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id.to_string();
    let to = backend.address.to_string();
    let ran = tokio::task::spawn_blocking(move || {
        let words = |who: &[&str]| {
            let url = served.url();
            let all = [
                &["--url", &url, "assign"],
                who,
                &["--service", "game", "--endpoint", &to],
            ];
            run(&all.concat())
        };
        let one = words(&[&id]);
        let user = words(&["--user", "4711"]);
        let nobody = words(&["--user", "4712"]);
        let stranger = words(&["7"]);
        let both = words(&["7", "--user", "4711"]);
        let none = words(&[]);
        [one, user, nobody, stranger, both, none]
    });
    let [one, user, nobody, stranger, both, none] = ran.await.expect("no panic");
    assert!(one.0 == 0 && one.1.contains("outcome    there"), "{one:?}");
    assert!(
        user.0 == 0 && user.1.starts_with("SESSION ") && user.1.contains(" there"),
        "{user:?}"
    );
    assert!(
        nobody.0 == 1 && nobody.2.contains("user 4712 has no session"),
        "{nobody:?}"
    );
    assert!(
        stranger.0 == 1 && stranger.2.contains("there is no session 7"),
        "{stranger:?}"
    );
    assert_eq!((both.0, none.0), (2, 2));
}
