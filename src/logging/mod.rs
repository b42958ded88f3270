//! What the gateway says on stderr, and on stdout for scripts. Nothing waits until it is read: all of it goes
//! through [`Lines`].
//!
//! With `log.format = "json"` each line is one JSON object, whatever it is about: events, panics, mistakes in
//! the configuration, and what stdout says.

mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

use crate::config::LogFormat;

pub use lines::Lines;

/// Time that the end of the process waits until everything is written.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Libraries that say too much: mistakes of HTTP clients at `error`, which are common and counted, the
/// start of the admin API's server, and each ticket of TLS at `warn`. A level that names them overrides this.
const QUIET: &str = "actix_http=off,actix_server=warn,rustls=error";

/// The log of the process.
#[derive(Debug, Clone)]
pub struct Log {
    format: LogFormat,
    stderr: Lines,
    stdout: Lines,
}

impl Log {
    /// Starts to write lines, and has panics written as such.
    ///
    /// # Errors
    /// A thread cannot be started, or an output cannot be opened a second time.
    pub fn start(format: LogFormat) -> io::Result<Log> {
        // Files of their own: a thread that waits in `std::io::stderr` would lock everybody else out.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let recovered =
            |dropped| tracing::warn!(dropped, "log lines were dropped: nobody read them");
        let log = Log {
            format,
            stderr: Lines::start("log", stderr, recovered)?,
            stdout: Lines::start("stdout", stdout, |_| ())?,
        };
        let own = log.clone();
        std::panic::set_hook(Box::new(move |info| own.panicked(info)));
        Ok(log)
    }

    /// Logs events that pass `level`; returns the function that changes it.
    ///
    /// # Errors
    /// The level is no filter, or something logs already.
    pub fn subscribe(
        &self,
        level: &str,
    ) -> Result<
        impl Fn(&str) -> Result<(), String> + Send + Sync + use<>,
        Box<dyn std::error::Error + Send + Sync>,
    > {
        let (filter, in_force) = reload::Layer::new(filtered(level)?);
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(io::stderr().is_terminal())
            .with_writer(Events(self.stderr.clone()));
        let lines = match self.format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().boxed(),
        };
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .try_init()?;
        Ok(move |level: &str| {
            let filter = filtered(level).map_err(|error| error.to_string())?;
            in_force.reload(filter).map_err(|error| error.to_string())
        })
    }

    /// Says on stdout what scripts wait for: `text`, or in JSON `message` with `fields`.
    pub fn announce(&self, text: &str, message: &str, fields: Value) {
        let line = match self.format {
            LogFormat::Text => format!("{text}\n"),
            LogFormat::Json => event("INFO", message, fields),
        };
        self.stdout.push(line.as_bytes(), true);
    }

    /// Says on stderr why the program ends, a line for each of `text`, whatever the level is.
    pub fn complain(&self, text: &str) {
        for line in text.lines() {
            let line = match self.format {
                LogFormat::Text => format!("game-gateway: {line}\n"),
                LogFormat::Json => event("ERROR", line, json!({})),
            };
            self.stderr.push(line.as_bytes(), true);
        }
    }

    /// Returns how many log lines were dropped because nobody read them.
    pub fn dropped(&self) -> u64 {
        self.stderr.dropped()
    }

    /// Waits until everything is written, up to `timeout` for each output.
    pub fn flush(&self, timeout: Duration) {
        for lines in [&self.stderr, &self.stdout] {
            // What is still unwritten then is lost.
            let _ = lines.flush(timeout);
        }
    }

    fn panicked(&self, info: &PanicHookInfo<'_>) {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("<unnamed>");
        let payload = info.payload();
        let literal = payload.downcast_ref::<&str>().copied();
        let text = literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("a panic without a text");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        let line = match self.format {
            LogFormat::Text => {
                let mut said = format!("thread '{thread}' panicked at {place}:\n{text}\n");
                if let Some(backtrace) = backtrace {
                    // Writing to a String cannot fail.
                    let _ = writeln!(said, "{backtrace}");
                }
                said
            }
            LogFormat::Json => {
                let backtrace = backtrace.map(|backtrace| backtrace.to_string());
                let more =
                    json!({"thread": thread, "at": place, "panic": text, "backtrace": backtrace});
                event("ERROR", "panicked", more)
            }
        };
        self.stderr.push(line.as_bytes(), true);
    }
}

fn filtered(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{QUIET},{level}"))
}

/// Returns a line in the form of the others.
fn event(level: &str, message: &str, fields: Value) -> String {
    let mut all = Map::new();
    all.insert("message".to_owned(), message.into());
    if let Value::Object(fields) = fields {
        all.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
    }
    let line = json!({
        "timestamp": timestamp(), "level": level, "fields": all, "target": env!("CARGO_CRATE_NAME"),
    });
    format!("{line}\n")
}

/// Returns the time, UTC, as log lines have it.
pub fn timestamp() -> String {
    let mut text = String::new();
    let timer = tracing_subscriber::fmt::time::SystemTime;
    if timer.format_time(&mut Writer::new(&mut text)).is_err() {
        // Seconds since 1970 will do where the calendar will not.
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        text = since.as_secs().to_string();
    }
    text
}

/// Takes events as lines; errors have more room than others.
struct Events(Lines);

/// Takes one event.
struct Event {
    lines: Lines,
    urgent: bool,
}

impl MakeWriter<'_> for Events {
    type Writer = Event;

    fn make_writer(&self) -> Event {
        Event {
            lines: self.0.clone(),
            urgent: false,
        }
    }

    fn make_writer_for(&self, metadata: &Metadata<'_>) -> Event {
        Event {
            lines: self.0.clone(),
            urgent: *metadata.level() == Level::ERROR,
        }
    }
}

impl io::Write for Event {
    /// The formatter writes an event as a whole.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.push(bytes, self.urgent);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object() {
        let line = event(
            "ERROR",
            "two\nlines",
            json!({"at": "here", "backtrace": null}),
        );
        assert_eq!(line.lines().count(), 1);
        let json: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            json["fields"],
            json!({"message": "two\nlines", "at": "here"})
        );
        assert_eq!(json["target"], "game_gateway");
    }
}
