//! TLS on the admin port: who needs a certificate, changed files, and handshakes that never end.

use std::net::SocketAddr;
use std::process::Command;

use game_gateway::config::Config;
use game_gateway::net::tls::Tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::authority::{Authority, Issued};
use crate::support::wire::{Backend, Gateway, soon};
use crate::tls_scene::Way;

fn admin_shows(issued: &Issued, client_ca: Option<&Authority>) -> impl FnOnce(&mut Config) + use<> {
    let (issued, client_ca) = (issued.clone(), client_ca.map(Authority::ca));
    move |config| {
        config.admin.tls.certificate = Some(issued.certificate);
        config.admin.tls.key = Some(issued.key);
        config.admin.tls.client_ca = client_ca;
    }
}

/// Starts a gateway that nobody has asked anything yet.
async fn gateway(change: impl FnOnce(&mut Config)) -> Gateway {
    let backend = Backend::start().await;
    Gateway::start_unready(&backend.routes(), change)
}

/// Sends a request; returns the status, or why there is none.
async fn status(way: &Way, admin: SocketAddr, path: &str, header: &str) -> std::io::Result<u16> {
    let socket = soon(TcpStream::connect(admin)).await?;
    let mut socket = way.over(socket).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}Connection: close\r\n\r\n");
    soon(socket.write_all(request.as_bytes())).await?;
    let mut answer = Vec::new();
    // A gateway of an earlier time might have left out close_notify; this one does not.
    soon(socket.read_to_end(&mut answer)).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
    status.ok_or_else(|| std::io::Error::other(format!("no status in {answer:?}")))
}

#[tokio::test]
async fn probes_and_pages_need_no_certificate_and_all_else_does() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let shown = authority.issue("admin", "IP:127.0.0.1");
    let gateway = gateway(admin_shows(&shown, Some(&authority))).await;
    let admin = gateway.admin;
    let without = Way::trusting(&authority);
    for path in [
        "/health",
        "/metrics",
        "/",
        "/api/docs/",
        "/api/openapi.json",
    ] {
        assert_eq!(
            status(&without, admin, path, "").await.expect(path),
            200,
            "{path}"
        );
    }
    let ready = status(&without, admin, "/ready", "")
        .await
        .expect("an answer");
    assert!(matches!(ready, 200 | 503), "{ready}");
    let guarded = [
        "/api/v1/info",
        "/api/v1/config",
        "/api/v1/sessions",
        "/nothing",
    ];
    for path in guarded {
        assert_eq!(
            status(&without, admin, path, "").await.expect(path),
            403,
            "{path}"
        );
    }
    let own = authority.issue("anna", "DNS:anna");
    let with = Way::trusting(&authority).showing(&own);
    for (path, expected) in guarded.into_iter().zip([200, 200, 200, 404]) {
        assert_eq!(
            status(&with, admin, path, "").await.expect(path),
            expected,
            "{path}"
        );
    }
    // One that is not good ends the handshake, whatever is asked for.
    for bad in [
        foreign.issue("eve", "DNS:eve"),
        authority.issue_ended("old"),
    ] {
        let bad = Way::trusting(&authority).showing(&bad);
        assert!(status(&bad, admin, "/health", "").await.is_err());
    }
    let stranger = Way::trusting(&foreign);
    assert!(
        status(&stranger, admin, "/health", "").await.is_err(),
        "not its authority"
    );
    let mut plain = soon(TcpStream::connect(admin)).await.expect("the port");
    let request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    soon(plain.write_all(request)).await.expect("sent");
    let mut answer = Vec::new();
    let _ = soon(plain.read_to_end(&mut answer)).await;
    assert!(
        !answer.starts_with(b"HTTP/"),
        "an alert at most: {answer:?}"
    );
}

#[tokio::test]
async fn a_certificate_is_needed_beside_a_token() {
    let authority = Authority::new();
    let shown = authority.issue("admin", "IP:127.0.0.1");
    let tls = admin_shows(&shown, Some(&authority));
    let gateway = gateway(|config| {
        tls(config);
        config.admin.token = Some(game_gateway::config::Secret::new("secret".to_owned()));
    })
    .await;
    let own = authority.issue("anna", "DNS:anna");
    let (with, without) = (
        Way::trusting(&authority).showing(&own),
        Way::trusting(&authority),
    );
    let token = "Authorization: Bearer secret\r\n";
    for (way, header, expected) in [
        (&with, token, 200),
        (&with, "", 401),
        (&without, token, 403),
        (&without, "", 403),
    ] {
        let is = status(way, gateway.admin, "/api/v1/info", header).await;
        assert_eq!(is.expect("an answer"), expected, "{header:?}");
    }
    let health = status(&without, gateway.admin, "/health", "").await;
    assert_eq!(health.expect("an answer"), 200);
}

#[tokio::test]
async fn changed_files_are_in_force_and_bad_ones_are_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let first = old.issue("admin", "IP:127.0.0.1");
    let gateway = gateway(admin_shows(&first, None)).await;
    let old_way = Way::trusting(&old);
    assert_eq!(
        status(&old_way, gateway.admin, "/health", "")
            .await
            .expect("an answer"),
        200
    );
    std::fs::write(&first.key, "rubbish").expect("written");
    gateway.reload();
    soon(async {
        while failures(&old_way, gateway.admin).await == 0 {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    let second = new.issue("admin", "IP:127.0.0.1");
    std::fs::copy(&second.key, &first.key).expect("copied");
    std::fs::copy(&second.certificate, &first.certificate).expect("copied");
    gateway.reload();
    let new_way = Way::trusting(&new);
    soon(async {
        while status(&new_way, gateway.admin, "/health", "")
            .await
            .is_err()
        {}
    })
    .await;
    assert!(
        status(&old_way, gateway.admin, "/health", "")
            .await
            .is_err()
    );
}

/// Returns how often changed files had mistakes.
async fn failures(way: &Way, admin: SocketAddr) -> u64 {
    let mut socket = way.connect(admin).await;
    let request = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    soon(socket.write_all(request)).await.expect("sent");
    let mut answer = String::new();
    soon(socket.read_to_string(&mut answer))
        .await
        .expect("an answer");
    crate::support::wire::metric(&answer, "game_gateway_tls_reload_failures_total")
}

/// Handshakes that never end, and some that have begun, keep nobody out.
#[tokio::test]
async fn three_hundred_silent_connections_delay_no_probe() {
    let authority = Authority::new();
    let shown = authority.issue("admin", "IP:127.0.0.1");
    let gateway = gateway(admin_shows(&shown, None)).await;
    let way = Way::trusting(&authority);
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut socket = soon(TcpStream::connect(gateway.admin))
            .await
            .expect("the port");
        if number % 2 == 0 {
            // The first bytes of a ClientHello that never goes on; the gateway may have closed it already.
            let _ = socket.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1]).await;
        }
        silent.push(socket);
        if number % 50 == 49 {
            let health = status(&way, gateway.admin, "/health", "").await;
            assert_eq!(health.expect("an answer"), 200, "behind {number}");
        }
    }
}

#[tokio::test]
async fn the_terminal_speaks_tls() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let shown = authority.issue("admin", "IP:127.0.0.1");
    let gateway = gateway(admin_shows(&shown, Some(&authority))).await;
    let own = authority.issue("anna", "DNS:anna");
    let url = format!("https://{}", gateway.admin);
    let path = |path: &std::path::Path| path.display().to_string();
    let (ca, cert, key) = (
        path(&authority.ca()),
        path(&own.certificate),
        path(&own.key),
    );
    let run = |options: &[&str]| {
        let mut command = Command::new("timeout");
        command.args([
            "60",
            env!("CARGO_BIN_EXE_game-gateway"),
            "admin",
            "--url",
            &url,
        ]);
        let output = command
            .args(options)
            .arg("sessions")
            .output()
            .expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), said)
    };
    let good = run(&["--ca", &ca, "--cert", &cert, "--key", &key]);
    assert_eq!(good, (Some(0), String::new()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    let files = [("CA", &ca), ("CERT", &cert), ("KEY", &key)];
    command.envs(files.map(|(name, file)| (format!("GATEWAY_ADMIN_{name}"), file)));
    command.args(["admin", "--url", &url, "sessions"]);
    assert!(command.output().expect("it runs").status.success());
    for (options, part) in [
        (&["--ca", &ca][..], "client certificate"),
        (&["--ca", &path(&foreign.ca())], "certificate"),
        (&[], "certificate"),
        (&["--ca", &ca, "--cert", &cert], "together"),
        (&["--ca", &key], "no certificate found"),
        (&["--ca", "/nothing"], "/nothing"),
    ] {
        let (code, said) = run(options);
        assert_eq!(code, Some(1), "{options:?}: {said}");
        assert!(said.contains(part), "{options:?}: no {part} in {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// So does the live view; one frame of it is text.
#[tokio::test]
async fn top_speaks_tls() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let shown = authority.issue("admin", "IP:127.0.0.1");
    let gateway = gateway(admin_shows(&shown, None)).await;
    let url = format!("https://{}", gateway.admin);
    let once = |ca: &Authority| {
        let mut command = Command::new("timeout");
        command.args(["60", env!("CARGO_BIN_EXE_game-gateway"), "top", "--once"]);
        command.args(["--url", &url, "--ca"]).arg(ca.ca());
        let output = command.output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("text"))
    };
    let (code, frame) = once(&authority);
    assert!(
        code == Some(0) && frame.contains("gw-test"),
        "{code:?}: {frame}"
    );
    let (code, frame) = once(&foreign);
    assert!(
        code == Some(1) && frame.contains("certificate"),
        "{code:?}: {frame}"
    );
}

#[test]
fn what_does_not_go_together_stops_the_start() {
    let load = |variables: &[(&str, &str)]| {
        let named = |(key, value): &(&str, &str)| {
            (format!("GATEWAY__ADMIN__TLS__{key}"), (*value).to_owned())
        };
        game_gateway::config::load(None, variables.iter().map(named))
    };
    for variables in [
        &[("CERTIFICATE", "a.pem")][..],
        &[("KEY", "a.key")],
        &[("CLIENT_CA", "ca.pem")],
    ] {
        assert!(load(variables).is_err(), "{variables:?}");
    }
    let config =
        load(&[("CERTIFICATE", "/no/a.pem"), ("KEY", "/no/a.key")]).expect("it goes together");
    let Err(mistakes) = Tls::load(&config.into()) else {
        panic!("no files");
    };
    let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert!(
        mistakes[0].starts_with("admin.tls.certificate: /no/a.pem: cannot be read"),
        "{mistakes:?}"
    );
    assert!(mistakes[1].starts_with("admin.tls.key: "), "{mistakes:?}");
}
