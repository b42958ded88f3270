//! The files of TLS: replaced under a gateway that runs, and bad ones.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use game_gateway::config::Config;
use game_gateway::net::tls::Tls;
use game_gateway::run;

use crate::scene::{connect, data, echo};
use crate::support::authority::{Authority, Issued};
use crate::support::process::Process;
use crate::support::wire::{Gateway, soon};
use crate::tls_scene::{Way, answer, paths, send, shows};

const RELOADS: &str = "game_gateway_tls_reloads_total";
const FAILURES: &str = "game_gateway_tls_reload_failures_total";
const EXPIRY: &str = "game_gateway_tls_certificate_expiry_timestamp_seconds";

/// A directory as Kubernetes mounts a secret: `tls.crt` → `..data/tls.crt`, `..data` → a directory
/// with a name of its own, which a change replaces by renaming a link.
struct Secret {
    directory: tempfile::TempDir,
    versions: usize,
}

impl Secret {
    fn new(issued: &Issued) -> Secret {
        let directory = tempfile::tempdir().expect("a directory");
        for file in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(file), directory.path().join(file)).expect("a link");
        }
        let mut secret = Secret {
            directory,
            versions: 0,
        };
        secret.replace(issued);
        secret
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn replace(&mut self, issued: &Issued) {
        self.versions += 1;
        let name = format!("..version-{}", self.versions);
        let version = self.path(&name);
        fs::create_dir(&version).expect("a directory");
        fs::copy(&issued.certificate, version.join("tls.crt")).expect("copied");
        fs::copy(&issued.key, version.join("tls.key")).expect("copied");
        symlink(&name, self.path("..data_tmp")).expect("a link");
        fs::rename(self.path("..data_tmp"), self.path("..data")).expect("renamed");
    }

    fn configured(&self) -> impl FnOnce(&mut Config) + use<> {
        let (certificate, key) = (self.path("tls.crt"), self.path("tls.key"));
        move |config| {
            config.listen.tls.certificate = paths([certificate.as_path()]);
            config.listen.tls.key = paths([key.as_path()]);
        }
    }
}

async fn is_shown(gateway: &Gateway, authority: &Authority) -> bool {
    let way = Way::trusting(authority);
    way.over(connect(gateway).await).await.is_ok()
}

#[tokio::test]
async fn a_secret_that_changes() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut secret = Secret::new(&old.issue("a", "IP:127.0.0.1"));
    let gateway = echo(secret.configured()).await;
    let mut player = Way::trusting(&old).connect(gateway.players).await;
    send(&mut player, &data("game", b"before")).await;
    assert_eq!(answer(&mut player).await, b"before");
    let expiry = gateway.metric(EXPIRY).await;

    secret.replace(&new.issue_with("b", "IP:127.0.0.1", "-days 60"));
    gateway.until(RELOADS, |n| n == 1).await;
    assert!(is_shown(&gateway, &new).await);
    assert!(!is_shown(&gateway, &old).await);
    let month = 30 * 24 * 3600;
    let later = gateway.metric(EXPIRY).await;
    assert!((month - 60..=month + 60).contains(&(later - expiry)));
    // Existing connections are not affected.
    send(&mut player, &data("game", b"after")).await;
    assert_eq!(answer(&mut player).await, b"after");
    assert_eq!(gateway.metric(FAILURES).await, 0);
}

/// Behind a link to a directory that is not watched.
#[tokio::test]
async fn a_change_that_nobody_tells_of() {
    let (old, new) = (Authority::new(), Authority::new());
    let (directory, elsewhere) = (old.path("linked"), old.path("elsewhere"));
    fs::create_dir(&directory).expect("a directory");
    fs::create_dir(&elsewhere).expect("a directory");
    let write = |issued: &Issued| {
        fs::copy(&issued.certificate, elsewhere.join("tls.crt")).expect("copied");
        fs::copy(&issued.key, elsewhere.join("tls.key")).expect("copied");
    };
    write(&old.issue("a", "IP:127.0.0.1"));
    for file in ["tls.crt", "tls.key"] {
        symlink(elsewhere.join(file), directory.join(file)).expect("a link");
    }
    let linked = Issued {
        certificate: directory.join("tls.crt"),
        key: directory.join("tls.key"),
    };
    let gateway = echo(shows(&[&linked])).await;
    write(&new.issue("b", "IP:127.0.0.1"));
    gateway.reload();
    gateway.until(RELOADS, |n| n == 1).await;
    assert!(is_shown(&gateway, &new).await);
}

#[tokio::test]
async fn a_bad_file_leaves_the_old_one_in_force() {
    let (old, new) = (Authority::new(), Authority::new());
    let own = old.issue("a", "IP:127.0.0.1");
    let mut secret = Secret::new(&own);
    let gateway = echo(secret.configured()).await;
    let other = old.issue("other", "IP:127.0.0.1");
    let empty = old.path("empty.pem");
    fs::write(&empty, "").expect("written");
    for (failures, certificate, key, reason) in [
        (
            1,
            &own.certificate,
            &other.key,
            "private key does not match",
        ),
        (2, &empty, &own.key, "no certificate found"),
        (
            3,
            &own.certificate,
            &own.certificate,
            "no private key found",
        ),
    ] {
        secret.replace(&Issued {
            certificate: certificate.clone(),
            key: key.clone(),
        });
        gateway.until(FAILURES, |n| n == failures).await;
        assert!(is_shown(&gateway, &old).await, "{reason}");
        let watcher = "/api/v1/actors?kind=certificate_watcher";
        soon(async {
            while !gateway.get(watcher).await.1.contains(reason) {
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }
    assert_eq!(gateway.metric(RELOADS).await, 0);
    secret.replace(&new.issue("b", "IP:127.0.0.1"));
    gateway.until(RELOADS, |n| n == 1).await;
    assert!(is_shown(&gateway, &new).await);
}

/// Returns the error of a gateway that does not start.
fn refusal(change: impl FnOnce(&mut Config)) -> String {
    let loopback = "127.0.0.1:0".parse().expect("an address");
    let mut config = Config::default();
    config.listen.address = loopback;
    config.admin.address = loopback;
    change(&mut config);
    run::start(config).expect_err("a bad file").to_string()
}

#[test]
fn a_bad_file_stops_the_start() {
    let authority = Authority::new();
    let own = authority.issue("own", "IP:127.0.0.1");
    let other = authority.issue("other", "IP:127.0.0.1");
    let missing = authority.path("missing.pem");
    let broken = authority.path("broken.pem");
    let bytes = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(&broken, bytes).expect("written");
    let locked = authority.path("locked.key");
    let header =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(&locked, header).expect("written");
    for (certificate, key, expected) in [
        (&missing, &own.key, "cannot be read: No such file"),
        (&own.key, &own.key, "no certificate found"),
        (&broken, &own.key, "invalid certificate"),
        (&own.certificate, &own.certificate, "no private key found"),
        (&own.certificate, &locked, "encrypted private key"),
        (&own.certificate, &other.key, "private key does not match"),
    ] {
        let said = refusal(|config| {
            config.listen.tls.certificate = paths([certificate.as_path()]);
            config.listen.tls.key = paths([key.as_path()]);
        });
        let path = [certificate, key].map(|p| said.contains(&p.display().to_string()));
        assert!(path.contains(&true) && said.contains(expected), "{said}");
    }
    // All at once, each in its line.
    let said = refusal(|config| {
        config.listen.tls.certificate = paths([own.certificate.as_path()]);
        config.listen.tls.key = paths([own.key.as_path()]);
        config.listen.tls.client_ca = Some(own.key.clone());
        config.backend.tls.enabled = true;
        config.backend.tls.ca = Some(missing.clone());
    });
    let keys: Vec<_> = said.lines().filter_map(|l| l.split_once(':')).collect();
    let keys: Vec<_> = keys.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["listen.tls.client_ca", "backend.tls.ca"], "{said}");
}

#[test]
fn a_certificate_that_ends_is_warned_of() {
    let authority = Authority::new();
    let lasting = |days: &str| authority.issue_with(&days.replace(" ", ""), "IP:127.0.0.1", days);
    for (issued, expected) in [
        (lasting("-days 30"), None),
        (lasting("-days 3"), Some("certificate expires in ")),
        (authority.issue_ended("old"), Some("certificate expired ")),
        // It begins after its end.
        (lasting("-days -1"), Some("unknown expiry date")),
    ] {
        let mut config = Config::default();
        config.listen.tls.certificate = paths([issued.certificate.as_path()]);
        config.listen.tls.key = paths([issued.key.as_path()]);
        let (tls, warnings) = Tls::load(&config.into()).expect("good files");
        assert!(tls.server().is_some() && tls.client().is_none());
        let path = issued.certificate.display().to_string();
        let right = |w: &String| w.contains(&path) && w.contains(expected.unwrap_or("nothing"));
        assert_eq!(warnings.len(), usize::from(expected.is_some()));
        assert!(warnings.iter().all(right), "{warnings:?}");
    }
}

#[test]
fn the_program_names_path_and_reason() {
    let authority = Authority::new();
    let own = authority.issue("own", "IP:127.0.0.1");
    let missing = authority.path("missing.pem").display().to_string();
    for command in ["serve", "check"] {
        let mut program = Process::spawn(
            std::process::Command::new(env!("CARGO_BIN_EXE_game-gateway"))
                .arg(command)
                .env("GATEWAY__LISTEN__ADDRESS", "127.0.0.1:0")
                .env("GATEWAY__ADMIN__ADDRESS", "127.0.0.1:0")
                .env("GATEWAY__LISTEN__TLS__CERTIFICATE", &missing)
                .env("GATEWAY__LISTEN__TLS__KEY", &own.key),
        );
        assert_eq!(program.wait_for_exit().code(), Some(1), "{command}");
        let said = program.output();
        let expected = format!("listen.tls.certificate: {missing}: cannot be read");
        assert!(said.contains(&expected), "{said}");
    }
}
