//! `game-gateway admin drain`: its arguments, and how its end is waited for.

use clap::Args;
use serde_json::json;

use super::api::Failure;
use super::args::window;
use super::progress::Progress;
use super::{Terminal, WAIT_STEP, show};

#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    /// Time that players may stay, e.g. 30s; drain.window of the gateway if omitted.
    #[arg(long, value_parser = window, conflicts_with_all = ["status", "undo"])]
    window: Option<String>,
    /// Only show the progress.
    #[arg(long)]
    pub(super) status: bool,
    /// Cancel the drain and accept new sessions again.
    #[arg(long, conflicts_with_all = ["status", "wait"])]
    undo: bool,
    /// Wait until all sessions have ended.
    #[arg(long)]
    pub(super) wait: bool,
}

impl Terminal<'_> {
    pub(super) fn drain(&self, args: &DrainArgs) -> Result<(), Failure> {
        let path = &["drain"];
        if args.undo {
            return self.print(&self.api.delete(path)?, show::members);
        }
        let mut answer = if args.status {
            self.api.get(path, &[])?
        } else {
            let body = args.window.as_ref().map(|window| json!({"window": window}));
            self.api.send("POST", path, body.as_ref())?
        };
        let label = self.gathered.as_ref().map(|_| self.api.url().to_owned());
        let mut progress = Progress::new(!self.json, label);
        while args.wait && answer["state"] != "drained" {
            if answer["state"] == "serving" {
                return Err(Failure::answer("the gateway is not draining"));
            }
            let left = show::cell(&answer["remaining_seconds"]);
            progress.show(show::progress(&answer), &format!(", {left} s left"));
            std::thread::sleep(WAIT_STEP);
            answer = self.api.get(path, &[])?;
        }
        progress.end();
        match args.wait {
            true => self.print(&answer, show::drained),
            false => self.print(&answer, show::members),
        }
    }
}
