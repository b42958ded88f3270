//! A gateway and its page in a browser, for tests that do what operators do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use game_gateway::codec::client::Header;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chromium::Chromium;
use crate::support::process::Process;
use crate::support::wire::{Backend, Link, Player};

/// What the scripts share. They wait for what the page shows, which only a failing test does not in time.
const WORDS: &str = r###"
  const until = (holds) => new Promise((resolve, reject) => {
    const late = Date.now() + 45_000;
    const look = () => {
      const found = holds();
      if (found) return resolve(found);
      if (Date.now() > late) return reject(new Error(`not in time: ${holds}\n${document.body.innerText}`));
      setTimeout(look, 20);
    };
    look();
  });
  const all = (what) => [...document.querySelectorAll(what)];
  const text = (what) => document.querySelector(what)?.textContent ?? "";
  const press = async (name) => (await until(() => all("button").find((b) => b.textContent === name && b.checkVisibility() && !b.disabled))).click();
  const fill = (form, values) => { [...form.querySelectorAll("input")].forEach((input, at) => { input.value = values[at] ?? ""; }); form.requestSubmit(); };
  const answer = async (...values) => { const form = await until(() => document.querySelector("dialog form")); const asked = form.textContent; fill(form, values); return asked; };
  const closed = () => until(() => !document.querySelector("dialog"));
  const view = (name) => { location.hash = name; };
  const cards = () => all("main h2").map((heading) => heading.textContent);
  const card = (name) => all("main section").find((section) => section.querySelector("h2")?.textContent === name);
"###;
/// A gateway, two tokens, one backend, and a browser.
pub(crate) struct Scene {
    pub(crate) page: Page,
    pub(crate) process: Process,
    pub(crate) players: SocketAddr,
    pub(crate) routes: PathBuf,
    pub(crate) backend: Backend,
    _directory: TempDir,
}

/// A browser with the page of a gateway.
pub(crate) struct Page {
    pub(crate) chromium: Chromium,
    pub(crate) url: String,
}

impl Page {
    pub(crate) async fn of(admin: &str) -> Page {
        let mut chromium = Chromium::start().await;
        let watch = "window.violations = []; document.addEventListener('securitypolicyviolation', \
                     (event) => violations.push(`${event.violatedDirective} ${event.blockedURI}`));";
        let params = json!({ "source": watch });
        chromium
            .command("Page.addScriptToEvaluateOnNewDocument", params)
            .await;
        Page {
            chromium,
            url: format!("http://{admin}/"),
        }
    }

    pub(crate) async fn run(&mut self, script: &str) -> Value {
        let script = format!("(async () => {{ {WORDS} {script} }})()");
        self.chromium.run(&script).await
    }

    pub(crate) async fn open(&mut self) {
        let url = self.url.clone();
        self.chromium.open(&url).await;
    }

    /// Asserts that nothing of the page was blocked and nothing from outside has run; ends the browser.
    pub(crate) async fn end(mut self) {
        let seen = self
            .run("return [violations, window.hacked ?? null];")
            .await;
        assert_eq!(seen, json!([[], null]));
        self.chromium.quit().await;
    }
}

pub(crate) fn serve(directory: &Path, admin: &str) -> Process {
    let routes = directory.join("routes.json");
    let config = format!(
        r###"
        gateway.id = "gw-test"
        gateway.workers = 1
        listen.address = "127.0.0.1:0"
        admin.address = "{admin}"
        admin.tokens = [{{name = "wall", role = "read", token = "look"}}, {{name = "anna", role = "operate", token = "touch"}}]
        backend.probe_interval = "0s"
        # A scripted backend answers a PING only while a test reads its link.
        backend.ping_interval = "10m"
        routes.file = {routes:?}
        "###
    );
    let file = directory.join("gateway.toml");
    std::fs::write(&file, config).expect("configuration");
    let mut command = Command::new(env!("CARGO_BIN_EXE_game-gateway"));
    command
        .env_remove("GATEWAY__ADMIN__TOKEN")
        .env_remove("POD_NAME");
    Process::spawn(command.arg("serve").arg("--config").arg(&file))
}

/// Waits until it listens; returns the players' address and the admin API's.
pub(crate) fn addresses(process: &Process) -> (SocketAddr, String) {
    let ready = process.wait_for_line("game-gateway ready: players on ");
    let (players, admin) = ready.split_once(", admin on ").expect("both addresses");
    (players.parse().expect("an address"), admin.to_owned())
}

impl Scene {
    pub(crate) async fn begin() -> Scene {
        let backend = Backend::start().await;
        let directory = tempfile::tempdir().expect("a directory");
        let routes = directory.path().join("routes.json");
        std::fs::write(&routes, backend.routes()).expect("routes");
        let process = serve(directory.path(), "127.0.0.1:0");
        let (players, admin) = addresses(&process);
        let page = Page::of(&admin).await;
        Scene {
            page,
            process,
            players,
            routes,
            backend,
            _directory: directory,
        }
    }

    pub(crate) async fn run(&mut self, script: &str) -> Value {
        self.page.run(script).await
    }

    pub(crate) async fn sign_in(&mut self, token: &str) {
        self.page.open().await;
        let script = format!(
            r###"const form = await until(() => document.querySelector("form")); fill(form, ["{token}"]);
               await until(() => text("#live") === "live" && text(".verdict strong"));"###
        );
        self.run(&script).await;
    }

    /// Lets a player in, who claims to be this user; returns it, its backend's link and its session.
    pub(crate) async fn player(&mut self, user_id: u64) -> (Player, Link, u64) {
        let mut player = Player::connect_to(self.players).await;
        let header = Header {
            user_id,
            ..Header::default()
        };
        player.send(header, "game", b"hello").await;
        let mut link = self.backend.link().await;
        let session_id = link.opened().await.session_id;
        link.data().await;
        (player, link, session_id)
    }

    /// Ends everything, and asserts that nothing was blocked.
    pub(crate) async fn end(self) {
        self.page.end().await;
        drop(self.process);
    }
}
