//! What the admin API answers, and to whom.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::wire::{Backend, Gateway, soon};

/// Sends a request as it is; returns the whole answer.
async fn ask(gateway: &Gateway, line: &str, headers: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let mut socket = soon(TcpStream::connect(gateway.admin))
        .await
        .expect("the admin port");
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    soon(socket.read_to_string(&mut answer))
        .await
        .expect("an answer");
    answer
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).expect("a status")
}

#[tokio::test]
async fn probes_metrics_and_info() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.routes()).await;
    for path in ["/health", "/ready", "/metrics", "/api/v1/info"] {
        assert_eq!(
            status(&ask(&gateway, &format!("GET {path}"), "").await),
            "200",
            "{path}"
        );
        let head = ask(&gateway, &format!("HEAD {path}"), "").await;
        assert_eq!(status(&head), "200", "{path}");
        assert!(head.ends_with("\r\n\r\n"), "no body: {head}");
        let post = ask(&gateway, &format!("POST {path}"), "Content-Length: 0\r\n").await;
        assert_eq!(status(&post), "405", "{path}");
        assert!(post.contains("\"code\":\"method_not_allowed\""), "{post}");
        assert!(post.to_lowercase().contains("allow: get, head"), "{post}");
    }
    let missing = ask(&gateway, "GET /nothing", "").await;
    assert_eq!(status(&missing), "404");
    assert!(missing.contains("\"code\":\"not_found\""), "{missing}");
    let (_, info) = gateway.get("/api/v1/info").await;
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!(info["gateway_id"], "gw-test");
    assert_eq!(
        (&info["state"], &info["workers"]),
        (&"serving".into(), &1.into())
    );
    let (_, metrics) = gateway.get("/metrics").await;
    let families = metrics
        .lines()
        .filter(|line| line.starts_with("# TYPE game_gateway_"));
    assert!(families.count() >= 20);
}

#[tokio::test]
async fn with_a_token_only_its_bearer_is_answered() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.admin.token = Some(game_gateway::config::Secret::new("sesame".to_owned()));
    })
    .await;
    for open in ["/health", "/ready", "/metrics"] {
        assert_eq!(
            status(&ask(&gateway, &format!("GET {open}"), "").await),
            "200"
        );
    }
    let ask_info = async |headers: &str| ask(&gateway, "GET /api/v1/info", headers).await;
    for wrong in [
        "",
        "Authorization: Bearer sesam\r\n",
        "Authorization: Bearer sesame2\r\n",
        "Authorization: Basic sesame\r\n",
    ] {
        let answer = ask_info(wrong).await;
        assert_eq!(status(&answer), "401", "{wrong}");
        assert!(answer.contains("\"code\":\"unauthorized\""), "{answer}");
    }
    assert_eq!(
        status(&ask_info("Authorization: Bearer sesame\r\n").await),
        "200"
    );
}
