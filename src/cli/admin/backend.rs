//! `game-gateway admin backend`: the state that an operator puts a backend in.

use clap::Args;
use serde_json::Value;

use super::api::Failure;
use super::args::{given, object, window};
use super::progress::Progress;
use super::{Terminal, WAIT_STEP, everywhere, show};
use crate::routing::EndpointName;

#[derive(Debug, Args)]
pub(super) struct BackendArgs {
    /// Address or name as rules have it, host:port.
    #[arg(value_parser = endpoint)]
    address: String,
    /// ready: it takes sessions; drain: no new ones; maintenance: none, and its sessions end.
    #[arg(value_parser = ["ready", "drain", "maintenance"])]
    pub(super) state: Option<String>,
    /// Move the sessions that it has to other backends, with their state; with drain those that cannot be moved stay.
    #[arg(long = "move", requires = "state")]
    moves: bool,
    /// Time after which it is ready again, e.g. 10m, at most 720h; until it is told so if omitted.
    #[arg(long = "for", value_name = "TIME", value_parser = window, requires = "state")]
    time: Option<String>,
    /// Reason, for operators.
    #[arg(long, requires = "state")]
    reason: Option<String>,
    /// Wait until the backend has no session any more.
    #[arg(long, requires = "state")]
    pub(super) wait: bool,
}

impl BackendArgs {
    fn body(&self) -> Value {
        let mut body = object(given([
            ("state", self.state.clone()),
            ("for", self.time.clone()),
            ("reason", self.reason.clone()),
        ]));
        if self.moves {
            body["move"] = true.into();
        }
        body
    }
}

impl Terminal<'_> {
    /// Shows or changes a backend's state, and waits until it is empty if asked to.
    pub(super) fn backend(&self, args: &BackendArgs) -> Result<(), Failure> {
        let path = &["backends", &args.address, "state"];
        let mut answer = match args.state {
            None => self.api.get(path, &[])?,
            Some(_) => self.api.send("PUT", path, Some(&args.body()))?,
        };
        let label = self.gathered.as_ref().map(|_| self.api.url().to_owned());
        let mut progress = Progress::new(!self.json && args.moves, label);
        while args.wait && args.state.as_deref() != Some("ready") && answer["sessions"] != 0 {
            progress.show(show::evacuation(&answer), "");
            std::thread::sleep(WAIT_STEP);
            answer = self.api.get(path, &[])?;
            if answer["state"] == "ready" {
                return Err(Failure::answer(
                    "the backend is ready again, and has sessions",
                ));
            }
        }
        progress.end();
        if args.state.is_none() {
            // Nothing was changed: there is no state before.
            for part in everywhere::parts(&mut answer) {
                if let Some(members) = part.as_object_mut() {
                    members.remove("before");
                }
            }
        }
        self.print(&answer, show::members)
    }
}

fn endpoint(text: &str) -> Result<String, String> {
    let name: Result<EndpointName, _> = text.parse();
    name.map(|_| text.to_owned()).map_err(|why| why.to_string())
}
