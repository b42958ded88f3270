//! Lines to a pipe or file that may not take them, without ever waiting for it.
//!
//! A line goes into a bounded buffer, which a thread of its own writes out. When nobody reads at the other end,
//! that thread stands still and nothing else does: what does not fit is dropped and counted.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that may wait to be written.
const MAX_WAITING_BYTES: usize = 1024 * 1024;
/// Bytes beyond them that only urgent lines may take, so that a flood of others drops no panic.
const URGENT_BYTES: usize = 64 * 1024;
/// Time until a target that takes nothing for now is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// A bounded buffer of lines, and the thread that writes it out. Clones are the same buffer.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Buffer {
    waiting: Vec<u8>,
    /// Lines that `waiting` holds.
    lines: u64,
    /// The thread writes what it has taken out of `waiting`.
    writing: bool,
    dropped: u64,
}

impl Lines {
    /// Starts the thread, which writes to `target` for as long as the process lives. It calls `recovered`
    /// with the number of lines that were dropped once the target takes lines again.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        name: &str,
        target: impl Write + Send + 'static,
        recovered: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Lines> {
        let lines = Lines(Arc::default());
        let own = lines.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || own.write_out(target, recovered))?;
        Ok(lines)
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        let buffer = self.0.buffer.lock();
        buffer.unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, with its line break. Drops it if it does not fit; an urgent one has more room.
    pub fn push(&self, line: &[u8], urgent: bool) {
        let room = MAX_WAITING_BYTES + if urgent { URGENT_BYTES } else { 0 };
        let mut buffer = self.lock();
        if buffer.waiting.len() + line.len() > room {
            buffer.dropped += 1;
            return;
        }
        buffer.waiting.extend_from_slice(line);
        buffer.lines += 1;
        drop(buffer);
        self.0.changed.notify_all();
    }

    /// Returns how many lines were dropped.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Waits until everything is written; returns false if that takes longer than `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut buffer = self.lock();
        while buffer.writing || !buffer.waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.0.changed.wait_timeout(buffer, left);
            buffer = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn write_out(&self, mut target: impl Write, recovered: impl Fn(u64)) {
        let (mut taken, mut told) = (Vec::new(), 0);
        loop {
            let mut buffer = self.lock();
            buffer.writing = false;
            self.0.changed.notify_all();
            while buffer.waiting.is_empty() {
                let woken = self.0.changed.wait(buffer);
                buffer = woken.unwrap_or_else(PoisonError::into_inner);
            }
            // The two buffers take turns, so that none is allocated again.
            taken.clear();
            std::mem::swap(&mut taken, &mut buffer.waiting);
            let lines = std::mem::take(&mut buffer.lines);
            buffer.writing = true;
            drop(buffer);
            let written = write_all(&mut target, &taken).is_ok();
            let mut buffer = self.lock();
            if !written {
                buffer.dropped += lines;
            }
            let dropped = buffer.dropped;
            drop(buffer);
            if written && dropped > told {
                recovered(dropped - told);
                told = dropped;
            }
        }
    }
}

/// Writes everything, also to a target that another program has made non-blocking.
fn write_all(target: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match target.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    target.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Takes a write whenever it is allowed one, and passes it on.
    struct Gated {
        allowed: Receiver<io::Result<()>>,
        begun: Sender<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(()).expect("a test that listens");
            self.allowed.recv().expect("a test that allows")?;
            self.written
                .send(bytes.to_vec())
                .expect("a test that reads");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Stage {
        lines: Lines,
        allow: Sender<io::Result<()>>,
        begun: Receiver<()>,
        written: Receiver<Vec<u8>>,
        recovered: Receiver<u64>,
    }

    fn stage() -> Stage {
        let (allow, allowed) = channel();
        let (begin, begun) = channel();
        let (write, written) = channel();
        let (recover, recovered) = channel();
        let gated = Gated {
            allowed,
            begun: begin,
            written: write,
        };
        let told = move |dropped| recover.send(dropped).expect("a test that listens");
        Stage {
            lines: Lines::start("lines", gated, told).expect("a thread"),
            allow,
            begun,
            written,
            recovered,
        }
    }

    #[test]
    fn a_target_that_takes_nothing_holds_nobody_up() {
        let stage = stage();
        stage.lines.push(b"first\n", false);
        stage.begun.recv().expect("the thread writes");
        let line = [b'x'; 1024];
        for _ in 0..MAX_WAITING_BYTES / line.len() {
            stage.lines.push(&line, false);
        }
        assert_eq!(stage.lines.dropped(), 0);
        stage.lines.push(b"too much\n", false);
        stage.lines.push(b"urgent\n", true);
        assert_eq!(stage.lines.dropped(), 1);
        for _ in 0..URGENT_BYTES / line.len() {
            stage.lines.push(&line, true);
        }
        assert_eq!(stage.lines.dropped(), 2, "urgent lines are bounded too");
        assert!(!stage.lines.flush(Duration::ZERO));

        stage.allow.send(Ok(())).expect("allowed");
        assert_eq!(stage.written.recv().expect("written"), b"first\n");
        assert_eq!(stage.recovered.recv(), Ok(2), "told once lines pass again");
        stage.allow.send(Ok(())).expect("allowed");
        let rest = stage.written.recv().expect("written");
        assert!(rest.len() > MAX_WAITING_BYTES);
        assert!(rest.windows(7).any(|w| w == b"urgent\n"));
        assert!(stage.lines.flush(Duration::from_secs(60)));
        assert!(stage.recovered.try_recv().is_err(), "told once");
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let stage = stage();
        stage.lines.push(b"lost\n", false);
        let full = io::Error::from(ErrorKind::StorageFull);
        stage.allow.send(Err(full)).expect("allowed");
        assert!(stage.lines.flush(Duration::from_secs(60)));
        assert_eq!(stage.lines.dropped(), 1);
        stage.lines.push(b"again\n", false);
        stage
            .allow
            .send(Err(ErrorKind::WouldBlock.into()))
            .expect("allowed");
        stage.allow.send(Ok(())).expect("allowed");
        assert_eq!(stage.written.recv().expect("written"), b"again\n");
        assert_eq!(stage.recovered.recv(), Ok(1));
    }
}
