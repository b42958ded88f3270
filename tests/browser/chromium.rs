//! Chromium without a window, driven over its DevTools protocol.

use std::process::Command;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::process::Process;

/// Timeout of one action of the browser; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A headless Chromium with one page.
pub(crate) struct Chromium {
    socket: WebSocketStream<TcpStream>,
    commands: u64,
    page: Option<String>,
    process: Process,
    _profile: TempDir,
}

impl Chromium {
    pub(crate) async fn start() -> Chromium {
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
        chromium.command("Log.enable", json!({})).await;
        chromium
    }

    /// Reads the next message. An error that nobody catches in the page fails the test, and so does one in its console;
    /// answers that are errors are not meant.
    async fn next(&mut self) -> Value {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await;
            let message = message.expect("Chromium says something in time");
            let message = message.expect("Chromium runs").expect("a message");
            if let Message::Text(text) = message {
                let said: Value = serde_json::from_str(&text).expect("JSON");
                assert_ne!(said["method"], "Runtime.exceptionThrown", "{said}");
                let entry = &said["params"]["entry"];
                let complains = entry["level"] == "error" && entry["source"] != "network";
                let writes = &said["params"]["type"];
                assert!(
                    !complains && writes != "error" && writes != "warning",
                    "{said}"
                );
                return said;
            }
        }
    }

    pub(crate) async fn command(&mut self, method: &str, params: Value) -> Value {
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

    pub(crate) async fn open(&mut self, url: &str) {
        self.command("Page.navigate", json!({ "url": url })).await;
        while self.next().await["method"] != "Page.loadEventFired" {}
    }

    /// Ends it with all its processes, so that none still writes into the profile.
    pub(crate) async fn quit(mut self) {
        self.page = None;
        self.command("Browser.close", json!({})).await;
        self.process.wait_for_exit();
    }

    /// Returns the value of a promise in the page.
    pub(crate) async fn run(&mut self, script: &str) -> Value {
        let params = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let done = self.command("Runtime.evaluate", params).await;
        assert!(done["exceptionDetails"].is_null(), "{done}");
        done["result"]["value"].clone()
    }
}
