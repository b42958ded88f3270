//! Three gateways in processes of their own, one of which is stopped: its kernel takes everything, and nothing answers.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{KEY, backend, list, members, player, tell_at};
use crate::support::address;
use crate::support::process::Process;
use crate::support::wire::soon;

pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) players: SocketAddr,
    pub(crate) admin: SocketAddr,
    _directory: TempDir,
}

impl Server {
    fn start(id: &str, own: SocketAddr, all: &[SocketAddr], routes: &str) -> Server {
        Server::start_with(id, own, all, routes, "30s")
    }

    /// Starts one that gives others so long to take its connection.
    pub(crate) fn start_with(
        id: &str,
        own: SocketAddr,
        all: &[SocketAddr],
        routes: &str,
        connect_timeout: &str,
    ) -> Server {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, rules) = (
            directory.path().join("g.toml"),
            directory.path().join("routes.json"),
        );
        std::fs::write(&rules, routes).expect("routes");
        let config = format!(
            "gateway.id = {id:?}\ngateway.workers = 1\nlisten.address = \"127.0.0.1:0\"\n\
             admin.address = \"127.0.0.1:0\"\nroutes.file = {rules:?}\nsession.token_keys = {KEY:?}\n\
             peer.address = \"{own}\"\npeer.gateways = {:?}\nbackend.probe_interval = \"0s\"\n\
             backend.connect_timeout = {connect_timeout:?}\n",
            list(all)
        );
        std::fs::write(&file, config).expect("configuration");
        let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
        command
            .args(["serve", "--config"])
            .arg(&file)
            .env_remove("POD_NAME");
        let process = Process::spawn(&mut command);
        let ready = process.wait_for_line("game-gateway ready: players on ");
        let (players, admin) = ready.split_once(", admin on ").expect("both addresses");
        Server {
            players: players.parse().expect("an address"),
            admin: admin.parse().expect("an address"),
            process,
            _directory: directory,
        }
    }

    /// Asks until the second gateway has had its turn in time.
    pub(crate) async fn tell(&self, line: &str, body: &str) -> (u16, Value) {
        let asked = async {
            loop {
                let (status, answer) = tell_at(self.admin, line, body).await;
                let second = &answer["gateways"][1]["answered"];
                let late = answer["unanswered"].to_string().contains("gw-b");
                if second != &json!(false) && !late {
                    return (status, answer);
                }
            }
        };
        soon(asked).await
    }

    /// Asks until all have answered in time.
    pub(crate) async fn all_answer(&self) -> Value {
        let asked = async {
            loop {
                let (status, info) = self.tell("GET /api/v1/info?deployment=true", "").await;
                if status == 200 {
                    return info;
                }
            }
        };
        soon(asked).await
    }
}

#[tokio::test]
async fn a_gateway_that_hangs_costs_its_own_answer_alone() {
    let (_backend, routes) = backend().await;
    let addresses = [address::fixed(), address::fixed(), address::fixed()];
    let start = |id, own: usize| Server::start(id, addresses[own], &addresses, &routes);
    let (a, b, c) = (start("gw-a", 0), start("gw-b", 1), start("gw-c", 2));
    let mut on_b = player(b.players, 4711).await;
    let mut on_c = player(c.players, 4711).await;
    let info = a.all_answer().await;
    assert_eq!(
        members(&info, "gateways", "gateway_id"),
        ["gw-a", "gw-b", "gw-c"]
    );
    let both = a
        .tell("GET /api/v1/sessions?user_id=4711&deployment=true", "")
        .await;
    assert_eq!(
        members(&both.1, "sessions", "user_id").len(),
        2,
        "{}",
        both.1
    );
    c.process.signal("STOP");
    let late = "it has not answered in time";
    let (status, info) = a.tell("GET /api/v1/info?deployment=true", "").await;
    assert_eq!(status, 207, "{info}");
    let row = &info["gateways"][2];
    assert_eq!(
        (&row["gateway_id"], &row["why_not"]),
        (&json!("gw-c"), &json!(late)),
        "{row}"
    );
    assert_eq!(info["gateways"][1]["status"], 200, "{info}");
    let (_, found) = a
        .tell("GET /api/v1/sessions?user_id=4711&deployment=true", "")
        .await;
    assert_eq!(members(&found, "sessions", "user_id").len(), 1, "{found}");
    let unanswered = &found["unanswered"];
    assert_eq!(members(&found, "unanswered", "gateway"), ["gw-c"]);
    let why = unanswered[0]["why_not"].as_str().expect("a reason");
    assert!(
        why.starts_with(late) && why.ends_with(" s now"),
        "nobody waits for it again: {why}"
    );
    let ban = r#"{"user_id": "4711"}"#;
    let (status, banned) = a.tell("POST /api/v1/bans?deployment=true", ban).await;
    assert_eq!(status, 207, "{banned}");
    let done = |status: &Value| *status == json!(201) || *status == json!(200);
    let statuses = members(&banned, "gateways", "status");
    assert!(
        done(statuses[0]) && done(statuses[1]) && statuses[2].is_null(),
        "{banned}"
    );
    on_b.closed().await;
    // It does not do, when it is back, what was said not to be done.
    c.process.signal("CONT");
    a.all_answer().await;
    let (_, bans) = tell_at(c.admin, "GET /api/v1/bans", "").await;
    assert_eq!(bans["bans"], json!([]));
    says_what_it_has_not_done(&c).await;
    let (_, banned) = a.tell("POST /api/v1/bans?deployment=true", ban).await;
    assert!(
        members(&banned, "gateways", "status").into_iter().all(done),
        "{banned}"
    );
    on_c.closed().await;
    // Their logs say who has asked, and through whom.
    let audit = "banned over the admin API";
    let output = b.process.output();
    let line = output.lines().find(|line| line.contains(audit));
    let line = line.unwrap_or_else(|| panic!("no {audit:?} in {output}"));
    assert!(line.contains(" through gw-a"), "{line}");
}

/// Waits until the log says that the change which was asked for while it hung is not made.
async fn says_what_it_has_not_done(c: &Server) {
    let not_made = "a change is not made: who asked for it no longer waits gateway=\"gw-a\"";
    soon(async {
        while !c.process.output().contains(not_made) {
            tell_at(c.admin, "GET /api/v1/info", "").await;
        }
    })
    .await;
}
