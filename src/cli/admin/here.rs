//! What concerns one gateway alone where there are others: then it is said.

use serde_json::Value;

use super::Terminal;
use super::args::Command;
use super::show;

impl Terminal<'_> {
    /// Notes that a list has nothing in it.
    pub(super) fn note_empty(&self, page: &Value, list: &str) {
        if show::list(page, list).next().is_none() {
            self.found_nothing.set(true);
        }
    }

    /// Says that a command has changed, or looked at, one gateway of several.
    pub(super) fn say_where(&self, command: &Command, failed: bool) {
        let is_partial = match command {
            Command::Ban(_)
            | Command::Drain(_)
            | Command::Limits(_)
            | Command::Backend(_)
            | Command::LogLevel { .. } => command.changes() && !failed,
            // Here it is gone, or was never: elsewhere it may be.
            Command::Unban(_) => true,
            Command::Session { .. } | Command::Kick { .. } | Command::Assign(_) => failed,
            _ => self.found_nothing.get(),
        };
        if self.api.is_for_all() || !is_partial {
            return;
        }
        // One that does not answer has said so already.
        if let Ok(info) = self.api.get(&["info"], &[])
            && info["deployment"] == true
        {
            let gateway = show::cell(&info["gateway_id"]);
            self.note(format_args!(
                "on this gateway ({gateway}) only; --deployment for all"
            ));
        }
    }
}
