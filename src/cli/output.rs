//! What subcommands print. A reader that has gone, such as `head`, has seen enough: that is no failure.

use std::fmt::Display;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};

/// Whether somebody still reads what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Somebody may.
    There,
    /// Nobody does any more.
    Gone,
}

/// Writes text to stdout.
///
/// # Errors
/// It cannot be written, for a reason other than that its reader has gone.
pub(super) fn write(text: &str) -> io::Result<Reader> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("cannot write output: {error}"),
        )),
    }
}

/// Writes a line to stdout, for commands that go on whether it is read or not.
pub(super) fn say(line: impl Display) {
    // The exit code says how it went.
    let _ = write(&format!("{line}\n"));
}

/// Writes a line to stderr.
pub(super) fn complain(line: impl Display) {
    // Nobody is left who could be told.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Asks for confirmation at a terminal; scripts are not asked.
///
/// # Errors
/// The answer cannot be read.
pub(super) fn agreed(question: &str) -> io::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    // Without a terminal nobody is asked.
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
