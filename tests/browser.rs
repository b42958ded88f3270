//! The browser examples: the page of examples/ in Chromium against the demo, and its module in Node.js
//! against the document.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::process::Process;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Timeout of one action of the browser; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);
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

/// A headless Chromium with one page.
struct Chromium {
    socket: WebSocketStream<TcpStream>,
    commands: u64,
    page: Option<String>,
    process: Process,
    _profile: TempDir,
}

impl Chromium {
    async fn start() -> Chromium {
        let profile = tempfile::tempdir().expect("a directory");
        // It says on stderr where it is driven from; a browser of root wants no sandbox.
        let script = "root=; [ $(id -u) = 0 ] && root=--no-sandbox; exec chromium --headless $root \
             --disable-gpu --disable-dev-shm-usage --no-first-run --no-proxy-server \
             --disable-background-networking --disable-component-update --disable-extensions \
             --remote-debugging-port=0 --user-data-dir=\"$0\" about:blank 2>&1";
        let mut command = Command::new("sh");
        let process = Process::spawn(command.args(["-c", script]).arg(profile.path()));
        let url = process.wait_for_line("DevTools listening on ");
        let address = url.split('/').nth(2).expect("a host and port");
        let stream = TcpStream::connect(address).await.expect("DevTools");
        let (socket, _) = tokio_tungstenite::client_async(url.clone(), stream)
            .await
            .expect("a WebSocket");
        let mut chromium = Chromium {
            socket,
            commands: 0,
            page: None,
            process,
            _profile: profile,
        };
        let target = chromium
            .command("Target.createTarget", json!({"url": "about:blank"}))
            .await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let page = chromium.command("Target.attachToTarget", attach).await;
        chromium.page = page["sessionId"].as_str().map(str::to_owned);
        chromium.command("Page.enable", json!({})).await;
        chromium.command("Runtime.enable", json!({})).await;
        chromium
    }

    /// Reads the next message. An error that nobody catches in the page fails the test.
    async fn next(&mut self) -> Value {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await;
            let message = message.expect("Chromium says something in time");
            let message = message.expect("Chromium runs").expect("a message");
            if let Message::Text(text) = message {
                let said: Value = serde_json::from_str(&text).expect("JSON");
                assert_ne!(said["method"], "Runtime.exceptionThrown", "{said}");
                return said;
            }
        }
    }

    async fn command(&mut self, method: &str, params: Value) -> Value {
        self.commands += 1;
        let mut command = json!({"id": self.commands, "method": method, "params": params});
        if let Some(page) = &self.page {
            command["sessionId"] = json!(page);
        }
        let message = Message::text(command.to_string());
        self.socket.send(message).await.expect("sent");
        loop {
            let said = self.next().await;
            if said["id"] == self.commands {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
        }
    }

    async fn open(&mut self, url: &str) {
        self.command("Page.navigate", json!({ "url": url })).await;
        while self.next().await["method"] != "Page.loadEventFired" {}
    }

    /// Ends it with all its processes, so that none still writes into the profile.
    async fn quit(mut self) {
        self.page = None;
        self.command("Browser.close", json!({})).await;
        self.process.wait_for_exit();
    }

    /// Returns the value of a promise in the page.
    async fn run(&mut self, script: &str) -> Value {
        let params = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let done = self.command("Runtime.evaluate", params).await;
        assert!(done["exceptionDetails"].is_null(), "{done}");
        done["result"]["value"].clone()
    }
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
    assert_eq!(text("move"), "game: game-realm-1 north", "{shown}");
    // On the other gateway, with the login that the session has had on the first.
    assert!(text("cut").ends_with("leads to demo-2"), "{shown}");
    assert_eq!(
        text("resumed"),
        "the session goes on, and nothing is missing",
        "{shown}"
    );
    assert_eq!(
        (text("on").as_str(), text("gap").as_str()),
        ("game: game-realm-1 south", ""),
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
