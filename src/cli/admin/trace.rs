//! `admin trace`: begins a trace, prints its events as they come, and deletes it at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::super::output::{self, Reader};
use super::api::{Api, Failure};
use super::args::{given, network, window};
use super::{everywhere, show};

/// Interval between two questions for events, and between two looks for a signal.
const LOOK: Duration = Duration::from_millis(300);
const STEP: Duration = Duration::from_millis(50);
/// The most events of one answer.
const PAGE: &str = "1000";
/// Exit code of a second signal.
const EXIT_INTERRUPTED: i32 = 130;

/// Whom to trace, and for how long.
#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// User id, bound or claimed.
    #[arg(long, value_name = "USER_ID", value_parser = clap::value_parser!(u64).range(1..),
        required_unless_present_any = ["address", "session"], conflicts_with_all = ["address", "session"])]
    user: Option<u64>,
    /// Address or network, e.g. 192.0.2.7 or 192.0.2.0/24.
    #[arg(long, value_parser = network, conflicts_with = "session")]
    address: Option<String>,
    /// Session id, or GATEWAY_ID:SESSION_ID.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Time after which the trace ends, at most 24h.
    #[arg(long = "for", value_name = "TIME", value_parser = window, default_value = "10m")]
    time: String,
}

impl TraceArgs {
    fn body(&self, id: &str) -> Value {
        let members = given([
            ("user_id", self.user.map(|id| id.to_string())),
            ("address", self.address.clone()),
            ("session", self.session.clone()),
            ("for", Some(self.time.clone())),
            ("id", Some(id.to_owned())),
        ]);
        let members = members.into_iter();
        members
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// Traces until the trace is over, a signal comes, or nobody reads any more. Returns false where some gateways have
/// failed.
///
/// # Errors
/// No trace could be begun, or the events cannot be read or written.
pub(super) fn run(args: &TraceArgs, apis: &[Api], json: bool) -> Result<bool, Failure> {
    let interrupted = heed_signals().map_err(Failure::output)?;
    let id = format!("{:016x}", rand::random::<u64>());
    let mut traced = Vec::new();
    let outcome = begin(args, apis, &id, &mut traced);
    let outcome = outcome.and_then(|all| {
        follow(&mut traced, json, &interrupted)?;
        Ok(all && traced.iter().all(|traced| traced.was_whole))
    });
    for traced in &traced {
        // It ends by itself where this fails.
        let _ = traced.api.delete(&["traces", &id]);
    }
    outcome
}

/// Begins the trace. Returns false where a gateway could not be told.
fn begin<'a>(
    args: &TraceArgs,
    apis: &'a [Api],
    id: &str,
    traced: &mut Vec<Traced<'a>>,
) -> Result<bool, Failure> {
    let (body, mut all) = (args.body(id), true);
    let mut failed = None;
    for api in apis {
        match api.send("POST", &["traces"], Some(&body)) {
            Ok(answer) => {
                let silent = silent(&answer);
                for (gateway, why) in &silent {
                    all = false;
                    output::complain(format_args!("warning: {gateway} is not traced: {why}"));
                }
                traced.push(Traced {
                    api,
                    id: id.to_owned(),
                    next: BTreeMap::new(),
                    missing: silent.into_iter().map(|(gateway, _)| gateway).collect(),
                    was_whole: true,
                });
            }
            Err(failure) if apis.len() == 1 => return Err(failure),
            Err(failure) => {
                all = false;
                output::complain(format_args!(
                    "warning: {} is not traced: {failure}",
                    api.url()
                ));
                failed = Some(failure);
            }
        }
    }
    match failed {
        Some(failure) if traced.is_empty() => Err(failure),
        _ => Ok(all),
    }
}

/// The gateways of a deployment that have not begun, and why; workers that are silent, by their number.
fn silent(answer: &Value) -> Vec<(String, String)> {
    let mut silent = Vec::new();
    for gateway in show::list(answer, "gateways") {
        if gateway["status"] != 201 {
            silent.push((everywhere::name(gateway), everywhere::reason(gateway)));
        }
    }
    for worker in show::list(answer, "silent_workers") {
        silent.push((format!("worker {worker}"), "it has not answered".to_owned()));
    }
    silent
}

fn follow(traced: &mut [Traced<'_>], json: bool, interrupted: &AtomicBool) -> Result<(), Failure> {
    let colours =
        !json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    loop {
        let (mut events, mut is_over) = (Vec::new(), true);
        for traced in traced.iter_mut() {
            is_over &= traced.read(&mut events)?;
        }
        // Gateways tell each for itself.
        events.sort_by_key(|event| event["at_us"].as_u64().unwrap_or(u64::MAX));
        let text: String = events
            .iter()
            .map(|event| line(event, json, colours))
            .collect();
        if !text.is_empty() && output::write(&text).map_err(Failure::output)? == Reader::Gone {
            return Ok(());
        }
        if is_over {
            return Ok(());
        }
        for _ in 0..LOOK.as_millis() / STEP.as_millis() {
            if interrupted.load(Relaxed) {
                return Ok(());
            }
            std::thread::sleep(STEP);
        }
    }
}

/// A trace at one gateway, or by one gateway at all of its deployment.
struct Traced<'a> {
    api: &'a Api,
    id: String,
    /// Where to go on, by gateway.
    next: BTreeMap<String, u64>,
    /// Gateways that do not tell anything now, which was said.
    missing: BTreeSet<String>,
    /// All that have begun have told everything so far.
    was_whole: bool,
}

impl Traced<'_> {
    /// Adds new events. Returns true if the trace is over.
    fn read(&mut self, events: &mut Vec<Value>) -> Result<bool, Failure> {
        let after: Vec<String> = self
            .next
            .iter()
            .map(|(gateway, n)| format!("{gateway}:{n}"))
            .collect();
        let after = if after.is_empty() {
            "0".to_owned()
        } else {
            after.join(",")
        };
        let query = [("after", after), ("limit", PAGE.to_owned())];
        let answer = self.api.get(&["traces", &self.id, "events"], &query)?;
        let Some(gateways) = answer["gateways"].as_array() else {
            return Ok(self.take(answer, events));
        };
        let mut is_over = true;
        for gateway in gateways {
            if gateway["status"] == 200 {
                is_over &= self.take(gateway["answer"].clone(), events);
            }
            self.watch(gateway);
        }
        Ok(is_over)
    }

    /// Says when a gateway has nothing to tell any more, and when it has again.
    fn watch(&mut self, gateway: &Value) {
        let name = everywhere::name(gateway);
        if gateway["status"] == 200 {
            if self.missing.remove(&name) {
                output::complain(format_args!("{name} tells again what it has traced"));
            }
            return;
        }
        if self.missing.contains(&name) {
            return;
        }
        self.was_whole = false;
        let why = match gateway["status"].as_u64() {
            Some(404) => {
                "it has no such trace: it has started anew, or the trace was deleted".to_owned()
            }
            _ => everywhere::reason(gateway),
        };
        output::complain(format_args!("warning: events of {name} are missing: {why}"));
        self.missing.insert(name);
    }

    /// Takes one gateway's page. Returns true if it is the last one.
    fn take(&mut self, mut page: Value, events: &mut Vec<Value>) -> bool {
        let gateway = page["gateway_id"].as_str().unwrap_or_default().to_owned();
        if page["lost"].as_u64().is_some_and(|lost| lost > 0) {
            events.push(json!({"event": "lost", "gateway_id": gateway, "events": page["lost"]}));
        }
        if let Some(next) = page["next"].as_u64() {
            self.next.insert(gateway, next);
        }
        if let Value::Array(new) = page["events"].take() {
            events.extend(new);
        }
        page["end"] == true
    }
}

/// Formats an event as one line.
fn line(event: &Value, json: bool, colours: bool) -> String {
    if json {
        return format!("{event}\n");
    }
    let name = show::cell(&event["event"]);
    if name == "lost" {
        return format!(
            "{} events are lost at {}\n",
            event["events"],
            show::cell(&event["gateway_id"])
        );
    }
    let who = match event["global_id"].as_str() {
        Some(_) => show::cell(&event["global_id"]),
        None => show::cell(&event["connection"]),
    };
    let (colour, said) = match &event["frame"] {
        Value::Null => (colour_of(&name), decision(event, &name)),
        frame => frame_line(frame),
    };
    let code = match event["code"].as_u64() {
        Some(code) => format!(" {code}"),
        None => String::new(),
    };
    let said = format!("{said}{code}");
    let said = match (colours, event["detail"].as_str()) {
        (true, _) => format!("\x1b[{colour}m{said}\x1b[0m"),
        (false, _) => said,
    };
    let detail = match event["detail"].as_str() {
        Some(_) => format!(": {}", show::cell(&event["detail"])),
        None => String::new(),
    };
    format!("{} {who} {said}{detail}\n", clock(event["at_us"].as_u64()))
}

fn frame_line(frame: &Value) -> (&'static str, String) {
    let part = |name: &str| show::cell(&frame[name]);
    let (arrow, colour) = match (frame["direction"].as_str(), frame["fate"].as_str()) {
        (_, Some("kept")) => ("=", "33"),
        (Some("from_client"), _) => (">", "36"),
        _ => ("<", "32"),
    };
    let service = match frame["service"].as_str() {
        None | Some("") => String::new(),
        Some(_) => format!(" {}", part("service")),
    };
    let mut said = format!(
        "{arrow} {}{service} {} bytes",
        part("kind"),
        part("payload_bytes")
    );
    for (name, none) in [("realm_id", "0"), ("user_id", "0"), ("flags", "0")] {
        let value = part(name);
        if value != none {
            said.push_str(&format!(" {name}={value}"));
        }
    }
    (colour, said)
}

fn decision(event: &Value, name: &str) -> String {
    let part = |member: &str, before: &str| match event[member].as_str() {
        Some(_) => format!("{before}{}", show::cell(&event[member])),
        None => String::new(),
    };
    format!("{name}{}{}", part("service", " "), part("endpoint", " at "))
}

/// Returns the colour of a decision: red for what went wrong.
fn colour_of(name: &str) -> &'static str {
    match name {
        "route_failed" | "not_reached" | "link_lost" | "refused" | "resume_refused"
        | "over_rate" | "held_back" | "ring_cut" => "31",
        "link_full" | "disconnected" | "suspended" | "asked_away" | "service_left" => "33",
        _ => "1",
    }
}

/// Formats a time of day, UTC.
fn clock(at_us: Option<u64>) -> String {
    let us = at_us.unwrap_or(0) % 86_400_000_000;
    let (s, us) = (us / 1_000_000, us % 1_000_000);
    format!("{:02}:{:02}:{:02}.{us:06}", s / 3600, s / 60 % 60, s % 60)
}

/// Returns what the first SIGINT or SIGTERM sets; the second one ends the program.
fn heed_signals() -> std::io::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    drop(entered);
    let interrupted = Arc::<AtomicBool>::default();
    let told = Arc::clone(&interrupted);
    let heed = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if told.swap(true, Relaxed) {
                    std::process::exit(EXIT_INTERRUPTED);
                }
            }
        });
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(heed)?;
    Ok(interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let routed = json!({"at_us": 1_795_966_336_390_602_u64, "global_id": "gw-1:7", "event": "routed", "service": "game",
            "endpoint": "10.0.0.7:9300", "detail": "round_robin, turn 1 of 1"});
        let expected =
            "15:32:16.390602 gw-1:7 routed game at 10.0.0.7:9300: round_robin, turn 1 of 1\n";
        assert_eq!(line(&routed, false, false), expected);
        let frame = json!({"at_us": 0, "connection": "client-7", "event": "frame", "code": 404,
            "frame": {"direction": "to_client", "fate": "sent", "kind": "ERROR", "flags": 0, "realm_id": 0,
                      "user_id": "0", "session_id": "7", "service": "zone", "payload_bytes": 26}});
        let expected = "00:00:00.000000 client-7 \x1b[32m< ERROR zone 26 bytes 404\x1b[0m\n";
        assert_eq!(line(&frame, false, true), expected);
        let lost = json!({"event": "lost", "gateway_id": "gw-1", "events": 5});
        assert_eq!(line(&lost, false, true), "5 events are lost at gw-1\n");
        assert_eq!(line(&lost, true, true), format!("{lost}\n"));
        let foreign =
            json!({"at_us": 0, "global_id": "g\u{1b}[2J:7", "event": "refused", "detail": "a\nb"});
        assert_eq!(
            line(&foreign, false, false),
            "00:00:00.000000 g [2J:7 refused: a b\n"
        );
    }
}
