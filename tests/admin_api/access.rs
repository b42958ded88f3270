//! Access control.

use game_gateway::config::{Config, Secret};

use crate::http::{get, request};
use crate::support::wire::{Backend, Gateway};

const GUARDED: [&str; 11] = [
    "GET /api/v1/info",
    "GET /api/v1/actors",
    "GET /api/v1/actors/busiest",
    "POST /api/v1/actors/link-7/restart",
    "GET /api/v1/sessions",
    "DELETE /api/v1/sessions/7",
    "GET /api/v1/routes/resolve?service=game",
    "POST /api/v1/drain",
    "PUT /api/v1/log-level",
    "GET /nothing",
    "PATCH /api/v1/drain",
];
const PAGES: [&str; 4] = [
    "/",
    "/api/openapi.json",
    "/api/docs/",
    "/api/docs/swagger-ui.css",
];

async fn gateway(change: impl FnOnce(&mut Config)) -> Gateway {
    let backend = Backend::start().await;
    Gateway::start_with(&backend.routes(), change).await
}

/// Whatever is added to the API, nobody reaches it without a token, and who may only read changes nothing by it.
#[tokio::test]
async fn every_path_of_the_document_is_guarded() {
    let gateway = gateway(|config| {
        let tokens = r#"[{"name": "wall", "role": "read", "token": "look"}]"#;
        config.admin.tokens = tokens.parse().expect("tokens");
    })
    .await;
    let document = get(gateway.admin, "/api/openapi.json").await.json();
    let paths = document["paths"].as_object().expect("paths").iter();
    let mut changes = 0;
    for (path, methods) in paths.filter(|(path, _)| path.starts_with("/api/v1/")) {
        let path: String = path
            .split('{')
            .map(|part| {
                part.split_once('}')
                    .map_or(part.to_owned(), |(_, rest)| format!("7{rest}"))
            })
            .collect();
        for method in methods.as_object().expect("methods").keys() {
            let line = format!("{} {path}", method.to_uppercase());
            let nobody = request(gateway.admin, &line, &[], "").await;
            nobody.error(401, "unauthorized");
            if method != "get" {
                let wall = request(gateway.admin, &line, &["Authorization: Bearer look"], "");
                wall.await.error(403, "forbidden");
                changes += 1;
            }
        }
    }
    assert!(changes > 10, "{changes} are in the document");
}

/// Each token has what its role allows, and no request gets further by the other's name.
#[tokio::test]
async fn what_a_token_allows_is_its_role() {
    let gateway = gateway(|config| {
        config.admin.tokens = r#"[{"name": "wall", "role": "read", "token": "look"},
                                  {"name": "anna", "role": "operate", "token": "touch"}]"#
            .parse()
            .expect("tokens");
    })
    .await;
    let admin = gateway.admin;
    for line in GUARDED {
        request(admin, line, &[], "")
            .await
            .error(401, "unauthorized");
        let method = line.split(' ').next().expect("a method");
        let wall = request(admin, line, &["Authorization: Bearer look"], "").await;
        let anna = request(admin, line, &["Authorization: Bearer touch"], "").await;
        if method == "GET" {
            assert_eq!(wall.status, anna.status, "{line}");
        } else {
            wall.error(403, "forbidden");
        }
        assert!(!matches!(anna.status, 401 | 403), "{line}: {}", anna.status);
    }
    let head = request(
        admin,
        "HEAD /api/v1/info",
        &["Authorization: Bearer look"],
        "",
    )
    .await;
    assert_eq!(head.status, 200);
    let both = ["Authorization: Bearer look", "Authorization: Bearer touch"];
    let answer = request(admin, "DELETE /api/v1/sessions/7", &both, "").await;
    answer.error(403, "forbidden");
    let config = request(
        admin,
        "GET /api/v1/config",
        &["Authorization: Bearer look"],
        "",
    )
    .await;
    assert!(config.body.contains("wall (read), anna (operate)"));
    assert!(!config.body.contains("touch"));
}

#[tokio::test]
async fn with_a_token_only_requests_that_have_it() {
    let gateway = gateway(|config| {
        config.admin.token = Some(Secret::new("sesame".to_owned()));
    })
    .await;
    for line in GUARDED {
        for wrong in [
            &[][..],
            &["Authorization: Bearer sesam"],
            &["Authorization: Bearer sesame2"],
            &["Authorization: Bearer"],
            &["Authorization: Bearer  sesame"],
            &["Authorization: Basic sesame"],
            &["Authorization: sesame"],
            &["Authorization: Bearer \u{e4}"],
        ] {
            let answer = request(gateway.admin, line, wrong, "").await;
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            answer.error(401, "unauthorized");
        }
    }
    assert_eq!(get(gateway.admin, "/health").await.status, 200);
    for path in PAGES {
        assert_eq!(get(gateway.admin, path).await.status, 200, "{path}");
    }
    let token = &["Authorization: Bearer sesame"];
    assert_eq!(
        request(gateway.admin, "GET /api/v1/info", token, "")
            .await
            .status,
        200
    );
    let lower = &["Authorization: bearer sesame"];
    assert_eq!(
        request(gateway.admin, "GET /api/v1/info", lower, "")
            .await
            .status,
        200
    );
    // A token is not sent by a browser on its own, so it may come from anywhere.
    let elsewhere = &[
        "Authorization: Bearer sesame",
        "Host: gw.example.org",
        "Origin: http://a.example",
    ];
    request(gateway.admin, "DELETE /api/v1/sessions/7", elsewhere, "")
        .await
        .error(404, "not_found");
}

#[tokio::test]
async fn without_one_a_page_of_another_site_sees_and_changes_nothing() {
    let gateway = gateway(|_| ()).await;
    let port = gateway.admin.port();
    let own = format!("Host: localhost:{port}");
    let origin = format!("Origin: http://localhost:{port}");
    for headers in [
        &["Host: evil.example"][..],
        &["Host: localhost.evil.example"],
        &[&own, "Origin: http://evil.example"],
        &[&own, "Origin: null"],
        &[&own, "Origin: http://localhost:1"],
    ] {
        for line in GUARDED.into_iter().chain(["GET /"]) {
            request(gateway.admin, line, headers, "")
                .await
                .error(403, "forbidden");
        }
        for open in ["GET /health", "GET /ready", "GET /metrics"] {
            assert_eq!(request(gateway.admin, open, headers, "").await.status, 200);
        }
    }
    // What a proxy on this machine passes on comes from elsewhere.
    for header in [
        "X-Forwarded-For: 192.0.2.7",
        "Forwarded: for=192.0.2.7",
        "Via: 1.1 proxy",
        "X-Forwarded-Proto: http",
    ] {
        let said = request(gateway.admin, "GET /api/v1/sessions", &[header], "")
            .await
            .error(403, "forbidden");
        assert!(said.contains("set admin.token"), "{said}");
    }
    assert_eq!(
        get(gateway.admin, "/api/v1/drain").await.json()["state"],
        "serving"
    );
    for headers in [
        &["Host: 127.0.0.1"][..],
        &[&own],
        &[&own, &origin],
        &["Host: [::1]:9090"],
    ] {
        let answer = request(gateway.admin, "DELETE /api/v1/sessions/7", headers, "").await;
        answer.error(404, "not_found");
    }
}

/// Skipped, with a word, where the machine has no address but loopback ones.
#[tokio::test]
async fn without_one_only_this_machine_is_answered() {
    let gateway = gateway(|config| {
        config.admin.address = "0.0.0.0:0".parse().expect("an address");
    })
    .await;
    let Some(mut outside) = outside_address() else {
        eprintln!("no address but loopback ones: nothing to test");
        return;
    };
    outside.set_port(gateway.admin.port());
    for line in GUARDED
        .into_iter()
        .chain(["GET /", "GET /api/openapi.json"])
    {
        let said = request(outside, line, &[], "")
            .await
            .error(403, "forbidden");
        assert!(
            said.starts_with("without admin.token only loopback addresses"),
            "{said}"
        );
    }
    for open in ["/health", "/ready", "/metrics"] {
        assert_eq!(get(outside, open).await.status, 200, "{open}");
    }
}

/// Returns an address of this machine that is not a loopback one: connecting a UDP socket sends nothing.
fn outside_address() -> Option<std::net::SocketAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?;
    (!address.ip().is_loopback() && !address.ip().is_unspecified()).then_some(address)
}
