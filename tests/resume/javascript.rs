//! examples/ggp.js in Node.js, in sessions that last.

use std::path::Path;
use std::process::Command;

use game_gateway::sdk::backend::{Replies, SessionInfo};

use crate::played::{cutting_relay, echoing, playing};
use crate::support::wire::soon;

/// Frames to a service that is silent until the last of them.
const ONE_WAY: u32 = 100_000;

/// Runs a script below tests/javascript to its end; returns what it printed.
async fn node(options: &[&str], script: &str, arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = root.join("target/test-tools");
    assert!(
        tools.join("node_modules").exists(),
        "{} is missing: run scripts/test-tools",
        tools.join("node_modules").display()
    );
    let mut command = Command::new("node");
    command
        .args(options)
        .arg(root.join("tests/javascript").join(script));
    command.args(arguments).env("TOOLS", tools);
    let played = tokio::task::spawn_blocking(move || command.output());
    let output = soon(played).await.expect("no panic").expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_module_loses_nothing_over_connections_that_are_cut() {
    let (gateway, _backend) = echoing().await;
    let relay = cutting_relay(gateway.players, 7).await;
    let said = node(&[], "resume.mjs", &[&format!("ws://{relay}/"), "1000"]).await;
    let resumed = said.strip_prefix("exact, resumed ");
    let resumed = resumed.and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(resumed.is_some_and(|times| times > 3), "{said}");
    gateway.until("game_gateway_sessions", |n| n == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_module_forgets_what_is_acknowledged() {
    let mut next = 0_u32;
    let count = move |session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>| {
        assert_eq!(payload[..4], next.to_be_bytes(), "in order");
        next += 1;
        if next == ONE_WAY {
            out.send(session.session_id, &next.to_be_bytes());
        }
    };
    let (gateway, _backend) = playing(count).await;
    let url = format!("ws://{}/", gateway.players);
    let said = node(
        &["--expose-gc"],
        "bounded.mjs",
        &[&url, &ONE_WAY.to_string()],
    )
    .await;
    println!("{said}");
    gateway.until("game_gateway_sessions", |n| n == 0).await;
}
