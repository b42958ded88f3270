//! `game-gateway admin`: the admin API from a terminal, as tables for people or as its own JSON.

mod actor_args;
mod actors;
pub(super) mod api;
mod args;
mod arrange;
mod assign;
mod backend;
mod bans;
mod drain;
mod everywhere;
pub(super) mod gateways;
mod gathered;
mod here;
mod limits;
mod paint;
mod progress;
mod recent;
pub(super) mod show;
pub(super) mod table;
mod tls;
mod trace;
mod watch;

use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use clap::error::ErrorKind;

use serde_json::{Value, json};

use super::output;
use api::{Api, Failure, Query};
pub use args::AdminArgs;
use args::{BackendsArgs, Command, RefusalsArgs, ResolveArgs, SessionsArgs, TalkersArgs};
use arrange::{Arrangement, RowArgs, WHOLE_PAGE};
use gathered::{Reply, Said};

/// Interval at which `drain --wait` looks.
const WAIT_STEP: Duration = Duration::from_millis(500);

/// Runs one command against one gateway or several.
pub fn run(args: &AdminArgs) -> ExitCode {
    if let Some(contradiction) = args.contradiction() {
        let mut program = super::Arguments::command();
        program
            .error(ErrorKind::ArgumentConflict, contradiction)
            .exit();
    }
    match ask(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            output::complain(format_args!("game-gateway admin: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Asks the gateways, and prints what they say. Returns false where some have failed, which is said then.
fn ask(args: &AdminArgs) -> Result<bool, Failure> {
    let apis: Vec<Api> = (args.gateways.apis()?.into_iter())
        .map(|api| api.for_all(args.deployment))
        .collect();
    if let Command::Trace(trace) = &args.command {
        return trace::run(trace, &apis, args.json);
    }
    if let Some(every) = args.watch {
        let watched = watch::run(every, args.json, || ask_all(&apis, args));
        return watched.map(|()| true).map_err(Failure::output);
    }
    if let [api] = &apis[..] {
        let terminal = Terminal::new(api, args.json, false);
        let outcome = terminal.run(&args.command);
        terminal.say_where(&args.command, outcome.is_err());
        return outcome.map(|()| true);
    }
    gathered::print(&ask_all(&apis, args), args.json).map_err(Failure::output)
}

/// Asks all gateways at the same time; returns what they say in their order.
fn ask_all(apis: &[Api], args: &AdminArgs) -> Vec<Reply> {
    let one = |api: &Api| {
        let terminal = Terminal::new(api, args.json, true);
        let outcome = terminal.run(&args.command);
        let said = terminal.gathered.unwrap_or_default().into_inner();
        Reply {
            gateway: api.url().to_owned(),
            said,
            outcome,
        }
    };
    std::thread::scope(|scope| {
        let asked: Vec<_> = apis
            .iter()
            .map(|api| (api, scope.spawn(move || one(api))))
            .collect();
        let reply = |(api, thread): (&Api, std::thread::ScopedJoinHandle<'_, Reply>)| {
            thread.join().unwrap_or_else(|_| Reply {
                gateway: api.url().to_owned(),
                said: Said::default(),
                outcome: Err(Failure::answer("panicked")),
            })
        };
        asked.into_iter().map(reply).collect()
    })
}

/// The gateway on one side, the reader on the other.
struct Terminal<'a> {
    api: &'a Api,
    json: bool,
    /// What was said, where it is not printed at once.
    gathered: Option<RefCell<Said>>,
    /// Whether a list that was asked for is empty.
    found_nothing: Cell<bool>,
}

impl<'a> Terminal<'a> {
    fn new(api: &'a Api, json: bool, gather: bool) -> Terminal<'a> {
        Terminal {
            api,
            json,
            gathered: gather.then(RefCell::default),
            found_nothing: Cell::default(),
        }
    }

    fn run(&self, command: &Command) -> Result<(), Failure> {
        match command {
            Command::Gateways => self.all_gateways(),
            Command::Actors(args) => self.actors(args),
            Command::Actor { id } => self.print(&self.api.get(&["actors", id], &[])?, actors::one),
            Command::RestartActor { id } => {
                let restarted = self.api.send("POST", &["actors", id, "restart"], None)?;
                self.print(&restarted, show::members)
            }
            Command::Sessions(args) => self.sessions(args),
            Command::Session { id } => {
                self.print(&self.api.get(&["sessions", id], &[])?, recent::story)
            }
            Command::Kick { ids } => self.remove("sessions", ids, "kicked", "sessions not kicked"),
            Command::Assign(args) => self.assign(args),
            Command::Ban(args) => self.ban(args),
            Command::Unban(args) => self.unban(args),
            Command::Bans(args) => self.bans(args),
            Command::TopTalkers(args) => self.talkers(args),
            Command::Refusals(args) => self.refusals(args),
            Command::Backends(args) => self.backends(args),
            Command::Backend(args) => self.backend(args),
            Command::Routes => self.print(&self.api.get(&["routes"], &[])?, show::routes),
            Command::Resolve(args) => self.resolve(args),
            Command::Drain(args) => self.drain(args),
            Command::Limits(args) => self.limits(args),
            Command::LogLevel { level } => self.log_level(level.as_deref()),
            // Not a question with one answer.
            Command::Trace(_) => Ok(()),
        }
    }

    fn print(&self, answer: &Value, table: impl Fn(&Value) -> String) -> Result<(), Failure> {
        if !everywhere::is_of_all(answer) {
            return self.show(answer, table);
        }
        self.show(answer, |answer| everywhere::text(answer, table))?;
        everywhere::failure(answer, true).map_or(Ok(()), Err)
    }

    fn show(&self, answer: &Value, table: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        if let Some(said) = &self.gathered {
            let mut said = said.borrow_mut();
            said.text.push_str(&table(answer));
            said.answers.push(answer.clone());
            return Ok(());
        }
        let text = match self.json {
            true => format!("{answer:#}\n"),
            false => table(answer),
        };
        output::write(&text).map(drop).map_err(Failure::output)
    }

    /// Says something beside the answers.
    fn note(&self, line: impl std::fmt::Display) {
        match &self.gathered {
            Some(said) => said.borrow_mut().notes.push(line.to_string()),
            None => output::complain(line),
        }
    }

    fn all_gateways(&self) -> Result<(), Failure> {
        let answer = self.api.get(&["gateways"], &[])?;
        for name in show::list(&answer, "unresolved") {
            self.note(format_args!("warning: {}", show::cell(name)));
        }
        if answer["configured"] == false {
            self.note("peer.gateways is not configured: this gateway knows no other");
        }
        self.print(&answer, show::gateways)?;
        everywhere::silent(&answer).map_or(Ok(()), Err)
    }

    fn sessions(&self, args: &SessionsArgs) -> Result<(), Failure> {
        let wanted = Arrangement::new(&show::SESSIONS, args.sort.as_deref(), &args.rows);
        let wanted = wanted.needs_all().then_some(&wanted);
        let page = self.pages("sessions", &args.filters(), args.limit, args.all, wanted)?;
        self.silent(&page, "their sessions are missing");
        for missing in show::list(&page, "unanswered") {
            let (gateway, why) = (&missing["gateway"], &missing["why_not"]);
            let (gateway, why) = (show::cell(gateway), show::cell(why));
            self.note(format_args!(
                "warning: {gateway}: {why}; its sessions are missing"
            ));
        }
        self.more(&page);
        self.note_empty(&page, "sessions");
        self.print(&page, show::sessions)
    }

    /// Says on stderr that this is not all, for tables do not.
    fn more(&self, page: &Value) {
        if !self.json && !page["next_cursor"].is_null() {
            self.note("there are more; --all lists them");
        }
    }

    /// Fetches one page, or all of them as one. `wanted`: which entries of all, and in which order.
    fn pages(
        &self,
        list: &str,
        query: Query<'_>,
        limit: Option<u16>,
        all: bool,
        wanted: Option<&Arrangement<'_>>,
    ) -> Result<Value, Failure> {
        let walk = all || wanted.is_some();
        let shown = Arrangement::limit(limit, all);
        let page_size = if walk { Some(WHOLE_PAGE) } else { limit };
        let mut query = query.to_vec();
        query.extend(page_size.map(|limit| ("limit", limit.to_string())));
        let mut whole = self.api.get(&[list], &query)?;
        let mut more = false;
        if let Some(wanted) = wanted {
            for part in everywhere::parts(&mut whole) {
                more |= wanted.apply_to(part, list, shown);
            }
        }
        while let Some(cursor) = whole["next_cursor"].as_str().filter(|_| walk) {
            let mut next = query.clone();
            next.push(("cursor", cursor.to_owned()));
            let mut page = self.api.get(&[list], &next)?;
            if page["next_cursor"] == whole["next_cursor"] {
                return Err(Failure::answer("the gateway returned the same page twice"));
            }
            whole["next_cursor"] = page["next_cursor"].take();
            for part in [list, "silent_workers", "unanswered"] {
                let entries = page[part].take();
                if let (Some(whole), Value::Array(entries)) = (whole[part].as_array_mut(), entries)
                {
                    for entry in entries {
                        // The same worker may be silent on every page.
                        if part == list || !whole.contains(&entry) {
                            whole.push(entry);
                        }
                    }
                }
            }
            more |= wanted.is_some_and(|wanted| wanted.apply_to(&mut whole, list, shown));
        }
        if more {
            self.note("there are more; --all lists them");
        }
        Ok(whole)
    }

    /// Deletes entries of a list, each on its own. `done`: what has become of them; `not`: of the others.
    fn remove(&self, list: &str, ids: &[String], done: &str, not: &str) -> Result<(), Failure> {
        let mut gone = Vec::new();
        let mut failed: Vec<(&String, Failure)> = Vec::new();
        for id in ids {
            match self.api.delete(&[list, id]) {
                Ok(answer) => match everywhere::failure(&answer, false) {
                    None => gone.push(id),
                    Some(failure) => failed.push((id, failure)),
                },
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
        if ids.len() == 1 {
            return failed.pop().map_or(Ok(()), |(_, only)| Err(only));
        }
        if failed.is_empty() {
            return Ok(());
        }
        // Each may have failed for a reason of its own.
        let mut message = format!("{} of {} {not}", failed.len(), ids.len());
        for (id, failure) in &failed {
            message += &format!("\n{id}: {failure}");
        }
        Err(Failure::answer(message))
    }

    fn talkers(&self, args: &TalkersArgs) -> Result<(), Failure> {
        let rows = RowArgs::filter(args.filter.clone());
        let wanted = Arrangement::new(&recent::TALKERS, None, &rows);
        let limit = wanted.asked(Some(args.limit));
        let mut answer = self.api.get(&["top-talkers"], &args.query(limit))?;
        for part in everywhere::parts(&mut answer) {
            wanted.apply_to(part, "talkers", usize::from(args.limit));
        }
        self.silent(&answer, "their sessions are missing");
        self.print(&answer, recent::talkers)
    }

    fn refusals(&self, args: &RefusalsArgs) -> Result<(), Failure> {
        let wanted = Arrangement::new(&recent::REFUSALS, args.sort.as_deref(), &args.rows);
        let limit = wanted.asked(args.limit);
        let mut page = self.api.get(&["refusals"], &args.query(limit))?;
        for part in everywhere::parts(&mut page) {
            wanted.apply_to(part, "refusals", Arrangement::limit(args.limit, false));
        }
        self.silent(&page, "their refusals are missing");
        self.note_empty(&page, "refusals");
        self.print(&page, recent::refusals)
    }

    fn backends(&self, args: &BackendsArgs) -> Result<(), Failure> {
        let mut answer = self.api.get(&["backends"], &[])?;
        let wanted = Arrangement::new(&show::BACKENDS, args.sort.as_deref(), &args.rows);
        for part in everywhere::parts(&mut answer) {
            wanted.apply_to(part, "backends", usize::MAX);
        }
        self.print(&answer, show::backends)
    }

    /// Warns of workers that have not answered.
    fn silent(&self, answer: &Value, consequence: &str) {
        let silent: Vec<String> = show::list(answer, "silent_workers")
            .map(show::cell)
            .collect();
        if !silent.is_empty() {
            let workers = silent.join(", ");
            self.note(format_args!(
                "warning: workers {workers} have not answered; {consequence}"
            ));
        }
    }

    fn resolve(&self, args: &ResolveArgs) -> Result<(), Failure> {
        let answer = self.api.get(&["routes", "resolve"], &args.query())?;
        self.print(&answer, show::resolution)
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
