//! TLS for players, with programs that others wrote: OpenSSL, curl, Python, sslscan.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::peers::{WEBSOCKETS, run, tool};
use crate::scene::{closed, data, echo};
use crate::support::authority::{Authority, Issued};
use crate::support::wire::{Gateway, soon};
use crate::tls_scene::shows;

/// Starts a gateway that presents a certificate for 127.0.0.1 and `play.example`.
async fn trusted() -> (Authority, Issued, Gateway) {
    let authority = Authority::new();
    let own = authority.issue("gateway", "DNS:play.example,IP:127.0.0.1");
    let gateway = echo(shows(&[&own])).await;
    (authority, own, gateway)
}

/// Starts `openssl s_client`. `-quiet` leaves stdout to the session; `-brief` reports the handshake on
/// stderr.
fn s_client(gateway: &Gateway, ca: &Path, options: &str) -> Child {
    Command::new("openssl")
        .args(["s_client", "-quiet", "-brief", "-verify_return_error"])
        .arg("-connect")
        .arg(gateway.players.to_string())
        .arg("-CAfile")
        .arg(ca)
        .args(options.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the openssl command")
}

/// Waits beside the runtime for what blocks.
async fn aside<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    soon(tokio::task::spawn_blocking(what))
        .await
        .expect("no panic")
}

/// Plays one frame through `openssl s_client`; what it says of the connection.
async fn plays(gateway: &Gateway, ca: &Path, options: &str) -> String {
    let mut child = s_client(gateway, ca, options);
    aside(move || {
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(&data("game", b"hello")).expect("written");
        let mut echoed = [0; 41];
        let mut stdout = child.stdout.take().expect("piped");
        stdout.read_exact(&mut echoed).expect("a frame");
        assert_eq!(&echoed[36..], b"hello");
        child.kill().expect("it runs");
        let output = child.wait_with_output().expect("its end");
        String::from_utf8_lossy(&output.stderr).into_owned()
    })
    .await
}

#[tokio::test]
async fn openssl_plays_over_both_versions() {
    let (authority, _, gateway) = trusted().await;
    let ca = authority.ca();
    let name = "-servername play.example -verify_hostname play.example";
    for (options, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = plays(&gateway, &ca, &format!("{options} {name}")).await;
        assert!(said.contains(version), "{said}");
        assert!(said.contains("Verification: OK"), "{said}");
        plays(&gateway, &ca, &format!("{options} {name} -alpn http/1.1")).await;
    }
}

#[tokio::test]
async fn two_kinds_of_key_for_one_name() {
    let authority = Authority::new();
    let names = "DNS:play.example,IP:127.0.0.1";
    let ecdsa = authority.issue("ecdsa", names);
    let rsa = authority.issue_rsa("rsa", names);
    let gateway = echo(shows(&[&ecdsa, &rsa])).await;
    for (algorithms, kind) in [
        ("ECDSA+SHA256:RSA-PSS+SHA256", "ECDSA"),
        ("ECDSA+SHA256", "ECDSA"),
        ("RSA-PSS+SHA256:RSA+SHA256", "RSA-PSS"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            // No name at all, so the first that can be used.
            for name in ["-noservername", "-servername play.example"] {
                let options = format!("{version} -sigalgs {algorithms} {name}");
                let said = plays(&gateway, &authority.ca(), &options).await;
                let line = format!("Signature type: {kind}");
                assert!(said.contains(&line), "{options}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_weak_is_refused() {
    let (authority, _, gateway) = trusted().await;
    for (n, options) in [
        "-tls1 -cipher ALL:@SECLEVEL=0",
        "-tls1_1 -cipher ALL:@SECLEVEL=0",
        "-tls1_2 -cipher AES128-SHA:AES256-GCM-SHA384:@SECLEVEL=0",
    ]
    .into_iter()
    .enumerate()
    {
        let child = s_client(&gateway, &authority.ca(), options);
        let output = aside(move || child.wait_with_output()).await;
        let output = output.expect("its end");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{options}: {said}");
        assert!(said.contains("alert"), "{options}: {said}");
        gateway
            .until(&closed("tls_failed"), |count| count == n as u64 + 1)
            .await;
    }
}

#[tokio::test]
async fn curl_posts_over_https() {
    let (authority, _, gateway) = trusted().await;
    let port = gateway.players.port();
    for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        let resolve = format!("play.example:{port}:127.0.0.1");
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--fail", "--resolve", &resolve])
            .args(version);
        command.arg("--cacert").arg(authority.ca());
        command.args([
            "--data-binary",
            "hello",
            "-w",
            " %{http_code} %{ssl_verify_result}",
        ]);
        command.arg(format!("https://play.example:{port}/game"));
        assert_eq!(run(&mut command).await.trim(), "hello 200 0");
    }
    let started = "game_gateway_started_sessions_total{transport=\"http+tls\"}";
    assert_eq!(gateway.metric(started).await, 2);
}

#[tokio::test]
async fn pythons_websockets_play_over_wss() {
    let (authority, _, gateway) = trusted().await;
    let uri = format!("wss://127.0.0.1:{}/anything", gateway.players.port());
    let mut command = Command::new(tool("python"));
    command.args(["-c", WEBSOCKETS, &uri]);
    command.env("SSL_CERT_FILE", authority.ca());
    assert_eq!(run(&mut command).await.trim(), "done");
}

#[tokio::test]
async fn sslscan_finds_nothing_weak() {
    let (_authority, _, gateway) = trusted().await;
    let mut command = Command::new("sslscan");
    command.args(["--no-colour", "--show-certificate"]);
    command.arg(gateway.players.to_string());
    let found = run(&mut command).await;
    let says = |line: &str| {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            found.lines().any(|l| words(l).starts_with(line)),
            "no {line:?} in\n{found}"
        );
    };
    for protocol in ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"] {
        says(&format!("{protocol} disabled"));
    }
    says("TLSv1.2 enabled");
    says("TLSv1.3 enabled");
    says("Session renegotiation not supported");
    for version in ["TLSv1.3", "TLSv1.2"] {
        says(&format!("{version} not vulnerable to heartbleed"));
    }
    let ciphers = found
        .lines()
        .filter(|line| line.starts_with("Accepted") || line.starts_with("Preferred"));
    let mut count = 0;
    for cipher in ciphers {
        let modern = ["GCM", "CHACHA20"].iter().any(|word| cipher.contains(word));
        let forward = cipher.contains("ECDHE") || cipher.contains("TLSv1.3");
        assert!(modern && forward, "{cipher}");
        count += 1;
    }
    assert!(count >= 6, "{found}");
}
