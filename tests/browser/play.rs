//! The page of examples/ against the demo, and its module in Node.js against the document.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::chromium::Chromium;
use crate::support::process::Process;

/// The actions of a user. They wait for the contents of the page, never for a time.
const PLAY: &str = r#"
(async () => {
  const at = (id) => document.getElementById(id);
  const until = (holds) => new Promise((resolve) => {
    const look = () => holds() && (observer.disconnect(), resolve());
    const observer = new MutationObserver(look);
    observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    look();
  });
  const state = (is) => until(() => at("state").dataset.is === is);
  const newest = (kind) => at("log").querySelector(`[data-kind=${kind}]`)?.innerText ?? "";
  const ask = async (service, text, kind) => {
    const before = at("log").children.length;
    at("service").value = service;
    at("text").value = text;
    at("send").click();
    await until(() => at("log").children.length >= before + 2);
    return newest(kind);
  };
  const disabled = [at("send").disabled];
  at("connect").click();
  await state("connected");
  const greeting = await ask("account", "hello <b>you</b>", "answer");
  const connected = at("state").innerText;
  const refusal = await ask("chat", "anyone?", "error");
  const move = await ask("game", "north", "answer");
  at("cut").click();
  await until(() => newest("resumed") !== "");
  const resumed = newest("resumed");
  const cut = newest("cut");
  const on = await ask("game", "south", "answer");
  at("leave").click();
  await state("ended");
  disabled.push(at("send").disabled);
  return { greeting, connected, refusal, move, cut, resumed, on, gap: newest("gap"), disabled, end: at("state").innerText, markup: at("log").querySelector("b") !== null };
})()
"#;

fn demo() -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    let process = Process::spawn(command.args(["demo", "--duration", "10m", "--sessions", "3"]));
    let url = process.wait_for_line("A page to play along, while this runs: ");
    (process, url)
}

/// Sends Ctrl-C and asserts that the demo ends with all its servers, without losses.
fn finish(mut demo: Process) {
    demo.signal("INT");
    assert!(demo.wait_for_exit().success(), "{}", demo.output());
}

#[tokio::test]
async fn a_browser_plays_with_the_demo() {
    let (demo, url) = self::demo();
    let mut chromium = Chromium::start().await;
    chromium.open(&url).await;
    let shown = chromium.run(PLAY).await;
    chromium.quit().await;
    let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
    // Which of the two account servers is the gateway's choice.
    let greeting = text("greeting");
    assert!(
        ["account-1", "account-2"].contains(&greeting.split(' ').nth(1).unwrap_or_default()),
        "{shown}"
    );
    assert!(greeting.ends_with(" hello <b>you</b>"), "{shown}");
    assert_eq!(shown["markup"], false, "answers are text: {shown}");
    assert!(text("connected").contains(", session "), "{shown}");
    assert!(text("refusal").starts_with("chat: 404 "), "{shown}");
    assert_eq!(text("move"), "game: game-realm-1 1 north", "{shown}");
    // On the other gateway, with the login that the session has had on the first.
    assert!(text("cut").ends_with("leads to demo-2"), "{shown}");
    assert_eq!(
        text("resumed"),
        "the session goes on, and nothing is missing",
        "{shown}"
    );
    assert_eq!(
        (text("on").as_str(), text("gap").as_str()),
        ("game: game-realm-1 2 south", ""),
        "{shown}"
    );
    assert_eq!(text("end"), "The session has ended.", "{shown}");
    assert_eq!(shown["disabled"], json!([true, true]), "{shown}");
    finish(demo);
}

#[tokio::test]
async fn a_page_from_elsewhere_is_refused() {
    let (demo, url) = self::demo();
    let (other, elsewhere) = self::demo();
    let (page, _) = elsewhere.split_once('?').expect("a page and its gateway");
    let (_, gateway) = url.split_once('?').expect("a page and its gateway");
    let (gateway, _) = gateway
        .split_once('&')
        .expect("a gateway and a way to be cut");
    let mut chromium = Chromium::start().await;
    chromium.open(&format!("{page}?{gateway}")).await;
    let script = r#"
        new Promise((resolve) => {
            const state = document.getElementById("state");
            const look = () => state.dataset.is === "ended" && resolve(state.innerText);
            new MutationObserver(look).observe(state, { attributes: true });
            document.getElementById("connect").click();
        })
    "#;
    let shown = chromium.run(script).await;
    chromium.quit().await;
    let expected = gateway.strip_prefix("gateway=").expect("a gateway");
    assert_eq!(shown, json!(format!("no connection to {expected}.")));
    finish(demo);
    finish(other);
}

#[test]
fn the_module_does_as_the_document_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("node");
    let file = root.join("tests/javascript/ggp.test.mjs");
    let mut node = Process::spawn(command.arg("--test").arg(file));
    let status = node.wait_for_exit();
    assert!(status.success(), "{}", node.output());
}
