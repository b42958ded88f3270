//! A program that a test starts: spoken to through its output, always ended.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Timeout of anything that a test waits for; only a failing test waits this long.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running program, killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a program with its output piped.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn spawn(command: &mut Command) -> Process {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let output = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let readers = vec![
            read_lines(stdout, Arc::clone(&output), move |line| {
                // A test that waits for nothing more has dropped the receiver.
                let _ = sender.send(line);
            }),
            read_lines(stderr, Arc::clone(&output), |_| ()),
        ];
        Process {
            name,
            child,
            lines,
            output,
            readers,
        }
    }

    /// Waits for a line on stdout that starts with `prefix` and returns what follows the prefix.
    ///
    /// # Panics
    /// The program ends before, or the deadline passes.
    pub fn wait_for_line(&self, prefix: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.next_line(deadline) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return rest.to_owned();
                    }
                }
                Err(why) => self.fail(&format!("no line {prefix:?}: {why}")),
            }
        }
    }

    /// Waits for the program's end, which closes its stdout; [`output`](Self::output) is then all
    /// that it wrote.
    ///
    /// # Panics
    /// The deadline passes.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.next_line(deadline) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.fail("still runs"),
            }
        }
        for reader in self.readers.drain(..) {
            reader.join().expect("a thread that reads lines");
        }
        self.child.wait().expect("the exit status")
    }

    /// Asks the program to end, as a service supervisor does.
    ///
    /// # Panics
    /// There is no `kill` command, or the program has ended already.
    pub fn sigterm(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name without `SIG`.
    ///
    /// # Panics
    /// There is no `kill` command, or the program has ended already.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("the kill command");
        if !status.success() {
            self.fail(&format!("cannot be sent SIG{name}"));
        }
    }

    /// Returns the id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns its memory, in bytes.
    ///
    /// # Panics
    /// It has ended.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Returns the most memory that it has had, in bytes.
    ///
    /// # Panics
    /// It has ended.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(status).expect("a process's status");
        let size = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = size.and_then(|text| text.trim().strip_suffix(" kB"));
        let kibibytes: u64 = kibibytes
            .and_then(|text| text.parse().ok())
            .expect("a size");
        kibibytes * 1024
    }

    /// Returns true if the program is still running.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Returns the program's output so far, stdout and stderr as they came.
    pub fn output(&self) -> String {
        self.output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn next_line(&self, deadline: Instant) -> Result<String, RecvTimeoutError> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left)
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{}: {what}. It wrote:\n{}", self.name, self.output())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where the program has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe to its end on a thread of its own, so that the program never blocks on it.
fn read_lines(
    pipe: impl Read + Send + 'static,
    output: Arc<Mutex<String>>,
    line_came: impl Fn(String) + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut all = output.lock().unwrap_or_else(PoisonError::into_inner);
            all.push_str(&line);
            all.push('\n');
            drop(all);
            line_came(line);
        }
    })
}
