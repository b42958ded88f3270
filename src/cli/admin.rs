//! `game-gateway admin`: the admin API from a terminal, as tables for people or as its own JSON.

mod api;
mod args;
mod recent;
mod show;
mod table;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::output;
use api::{Api, Failure, Query};
pub use args::AdminArgs;
use args::{
    ActorsArgs, BanArgs, BansArgs, Command, DrainArgs, RefusalsArgs, ResolveArgs, SessionsArgs,
    TalkersArgs,
};

/// Interval at which `drain --wait` looks.
const WAIT_STEP: Duration = Duration::from_millis(500);
/// The entries of one request where all pages are wanted: the most that the API gives.
const WHOLE_PAGE: u16 = 1000;

/// Runs one command against a gateway.
pub fn run(args: &AdminArgs) -> ExitCode {
    let outcome = Terminal::new(args).and_then(|terminal| terminal.run(&args.command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(format_args!("game-gateway admin: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// The gateway on one side, the reader on the other.
struct Terminal {
    api: Api,
    json: bool,
}

impl Terminal {
    fn new(args: &AdminArgs) -> Result<Terminal, Failure> {
        Ok(Terminal {
            api: Api::new(&args.url().map_err(Failure::answer)?, args.token())?,
            json: args.json,
        })
    }

    fn run(&self, command: &Command) -> Result<(), Failure> {
        match command {
            Command::Actors(args) => self.actors(args),
            Command::Actor { id } => {
                self.print(&self.api.get(&["actors", id], &[])?, show::members)
            }
            Command::Sessions(args) => self.sessions(args),
            Command::Session { id } => {
                self.print(&self.api.get(&["sessions", id], &[])?, recent::story)
            }
            Command::Kick { ids } => self.remove("sessions", ids, "kicked", "sessions not kicked"),
            Command::Ban(args) => self.ban(args),
            Command::Unban(args) => {
                self.remove("bans", &args.ids(), "unbanned", "bans not removed")
            }
            Command::Bans(args) => self.bans(args),
            Command::TopTalkers(args) => self.talkers(args),
            Command::Refusals(args) => self.refusals(args),
            Command::Backends => self.print(&self.api.get(&["backends"], &[])?, show::backends),
            Command::Routes => self.print(&self.api.get(&["routes"], &[])?, show::routes),
            Command::Resolve(args) => self.resolve(args),
            Command::Drain(args) => self.drain(args),
            Command::LogLevel { level } => self.log_level(level.as_deref()),
        }
    }

    fn print(&self, answer: &Value, table: impl Fn(&Value) -> String) -> Result<(), Failure> {
        let text = if self.json {
            format!("{answer:#}\n")
        } else {
            table(answer)
        };
        output::write(&text).map(drop).map_err(Failure::output)
    }

    fn actors(&self, args: &ActorsArgs) -> Result<(), Failure> {
        let Some(kind) = &args.kind else {
            return self.print(&self.api.get(&["actors"], &[])?, show::kinds_and_tree);
        };
        let query = [("kind", kind.clone())];
        let page = self.pages("actors", &query, args.limit, args.all)?;
        self.more(&page);
        self.print(&page, show::actors)
    }

    fn sessions(&self, args: &SessionsArgs) -> Result<(), Failure> {
        let page = self.pages("sessions", &args.filters(), args.limit, args.all)?;
        Self::silent(&page, "their sessions are missing");
        self.more(&page);
        self.print(&page, show::sessions)
    }

    /// Says on stderr that this is not all, for tables do not.
    fn more(&self, page: &Value) {
        if !self.json && !page["next_cursor"].is_null() {
            output::complain(format_args!("there are more; --all lists them"));
        }
    }

    /// Fetches one page, or all of them as one.
    fn pages(
        &self,
        list: &str,
        query: Query<'_>,
        limit: Option<u16>,
        all: bool,
    ) -> Result<Value, Failure> {
        let limit = if all { Some(WHOLE_PAGE) } else { limit };
        let mut query = query.to_vec();
        query.extend(limit.map(|limit| ("limit", limit.to_string())));
        let mut whole = self.api.get(&[list], &query)?;
        while let Some(cursor) = whole["next_cursor"].as_str().filter(|_| all) {
            let mut next = query.clone();
            next.push(("cursor", cursor.to_owned()));
            let mut page = self.api.get(&[list], &next)?;
            if page["next_cursor"] == whole["next_cursor"] {
                return Err(Failure::answer("the gateway returned the same page twice"));
            }
            whole["next_cursor"] = page["next_cursor"].take();
            for part in [list, "silent_workers"] {
                let more = page[part].take();
                if let (Some(entries), Value::Array(more)) = (whole[part].as_array_mut(), more) {
                    for entry in more {
                        // The same worker may be silent on every page.
                        if part == list || !entries.contains(&entry) {
                            entries.push(entry);
                        }
                    }
                }
            }
        }
        Ok(whole)
    }

    /// Deletes entries of a list, each on its own. `done`: what has become of them; `not`: of the others.
    fn remove(&self, list: &str, ids: &[String], done: &str, not: &str) -> Result<(), Failure> {
        let (mut gone, mut failed) = (Vec::new(), Vec::new());
        for id in ids {
            match self.api.delete(&[list, id]) {
                Ok(_) => gone.push(id),
                Err(failure) => failed.push((id, failure)),
            }
        }
        let one = list.trim_end_matches('s');
        let told: Vec<Value> = failed
            .iter()
            .map(|(id, failure)| json!({one: id, "error": failure.to_string()}))
            .collect();
        let answer = json!({done: gone, "failed": told});
        self.print(&answer, |answer| show::removed(answer, done))?;
        match failed.into_iter().next() {
            None => Ok(()),
            Some((_, only)) if ids.len() == 1 => Err(only),
            Some((id, first)) => {
                let count = told.len();
                let message = format!("{count} of {} {not}; {id}: {first}", ids.len());
                Err(Failure::answer(message))
            }
        }
    }

    fn ban(&self, args: &BanArgs) -> Result<(), Failure> {
        let answer = self.api.send("POST", &["bans"], Some(&args.body()))?;
        Self::silent(
            &answer,
            "connections and sessions there may go on; ban again to end them",
        );
        self.print(&answer, show::members)
    }

    fn talkers(&self, args: &TalkersArgs) -> Result<(), Failure> {
        let answer = self.api.get(&["top-talkers"], &args.query())?;
        Self::silent(&answer, "their sessions are missing");
        self.print(&answer, recent::talkers)
    }

    fn refusals(&self, args: &RefusalsArgs) -> Result<(), Failure> {
        let page = self.api.get(&["refusals"], &args.query())?;
        Self::silent(&page, "their refusals are missing");
        self.print(&page, recent::refusals)
    }

    fn bans(&self, args: &BansArgs) -> Result<(), Failure> {
        let page = self.pages("bans", &args.filters(), args.limit, args.all)?;
        self.more(&page);
        self.print(&page, show::bans)
    }

    /// Warns of workers that have not answered.
    fn silent(answer: &Value, consequence: &str) {
        let silent: Vec<String> = show::list(answer, "silent_workers")
            .map(show::cell)
            .collect();
        if !silent.is_empty() {
            let workers = silent.join(", ");
            output::complain(format_args!(
                "warning: workers {workers} have not answered; {consequence}"
            ));
        }
    }

    fn resolve(&self, args: &ResolveArgs) -> Result<(), Failure> {
        let answer = self.api.get(&["routes", "resolve"], &args.query())?;
        self.print(&answer, show::resolution)
    }

    fn drain(&self, args: &DrainArgs) -> Result<(), Failure> {
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
        let mut progress = Progress::new(!self.json);
        while args.wait && answer["state"] != "drained" {
            if answer["state"] == "serving" {
                return Err(Failure::answer("the gateway is not draining"));
            }
            progress.show(&answer);
            std::thread::sleep(WAIT_STEP);
            answer = self.api.get(path, &[])?;
        }
        progress.end();
        match args.wait {
            true => self.print(&answer, show::drained),
            false => self.print(&answer, show::members),
        }
    }

    fn log_level(&self, level: Option<&str>) -> Result<(), Failure> {
        let path = &["log-level"];
        let answer = match level {
            None => self.api.get(path, &[])?,
            Some(level) => self.api.send("PUT", path, Some(&json!({"level": level})))?,
        };
        self.print(&answer, |answer| {
            format!("{}\n", show::cell(&answer["level"]))
        })
    }
}

/// The progress of a drain on stderr: one line that is written over in a terminal, else a line for each change.
struct Progress {
    wanted: bool,
    terminal: bool,
    shown: String,
}

impl Progress {
    fn new(wanted: bool) -> Progress {
        Progress {
            wanted,
            terminal: std::io::stderr().is_terminal(),
            shown: String::new(),
        }
    }

    fn show(&mut self, answer: &Value) {
        let counts = show::progress(answer);
        if !self.wanted || (!self.terminal && counts == self.shown) {
            return;
        }
        if self.terminal {
            let left = show::cell(&answer["remaining_seconds"]);
            // Nobody is left who could be told.
            let _ = write!(std::io::stderr(), "\r{counts}, {left} s left\x1b[K");
        } else {
            output::complain(&counts);
        }
        self.shown = counts;
    }

    fn end(&self) {
        if self.terminal && !self.shown.is_empty() {
            output::complain("");
        }
    }
}
