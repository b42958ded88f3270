//! `game-gateway admin drain`: its arguments, and how its end is waited for.

use clap::Args;
use serde_json::Value;

use super::super::output;
use super::api::Failure;
use super::args::{given, object, window};
use super::progress::Progress;
use super::{Terminal, WAIT_STEP, show};

/// What is asked before every gateway is drained.
const ALL_AT_ONCE: &str =
    "drain all gateways of the deployment at once, so that none takes players?";

#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    /// Time that players may stay, e.g. 30s; drain.window of the gateway if omitted.
    #[arg(long, value_parser = window, conflicts_with_all = ["status", "undo"])]
    window: Option<String>,
    /// Reason, for operators.
    #[arg(long, conflicts_with_all = ["status", "undo"])]
    reason: Option<String>,
    /// Only show the progress.
    #[arg(long)]
    pub(super) status: bool,
    /// Cancel the drain and accept new sessions again.
    #[arg(long, conflicts_with_all = ["status", "wait"])]
    undo: bool,
    /// Wait until all sessions have ended.
    #[arg(long)]
    pub(super) wait: bool,
    /// With --deployment: drain all gateways without asking.
    #[arg(long, short)]
    yes: bool,
}

/// Tells whether somebody who was cut off is still being told so.
fn somebody_is_left(answer: &Value) -> bool {
    let count = |who: &str| answer["remaining"][who].as_u64().unwrap_or(0);
    count("resumable") + count("plain") > 0
}

/// Lines that say how many have left, moved and were cut off; of a drain that is over nothing else matters.
fn told(answer: &Value) -> String {
    match answer["state"].as_str() {
        Some("drained") => show::drained(answer),
        _ => show::members(answer),
    }
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
            let asks = self.api.is_for_all() && !args.yes;
            if asks && !output::agreed(ALL_AT_ONCE).map_err(Failure::output)? {
                return Err(Failure::answer("nothing was drained"));
            }
            let members = [
                ("window", args.window.clone()),
                ("reason", args.reason.clone()),
            ];
            self.api.send("POST", path, Some(&object(given(members))))?
        };
        let label = self.gathered.as_ref().map(|_| self.api.url().to_owned());
        let mut progress = Progress::new(!self.json, label);
        while args.wait && (answer["state"] != "drained" || somebody_is_left(&answer)) {
            if answer["state"] == "serving" {
                return Err(Failure::answer("the gateway is not draining"));
            }
            let left = show::cell(&answer["remaining_seconds"]);
            progress.show(show::progress(&answer), &format!(", {left} s left"));
            std::thread::sleep(WAIT_STEP);
            answer = self.api.get(path, &[])?;
        }
        progress.end();
        self.print(&answer, told)
    }
}
