//! How far a run is, while it runs, and its early end: on stderr a bar in a terminal, else a line now and then.
//! Ctrl-C ends the run early, with its figures; a second one ends the program.

use std::io::IsTerminal;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::plan::Clock;
use crate::cli::output;

/// The exit code of a program that SIGINT has ended.
const EXIT_INTERRUPTED: i32 = 130;
/// Interval at which the bar is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);
/// Interval of lines, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Marks on the bar: milliseconds.
const STYLE: &str = "{msg} [{bar:30}] {elapsed_precise}";

/// A counter of one thread, on a cache line of its own: only that thread writes it.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counter(AtomicU64);

/// Shared by the threads that drive and the one that shows.
#[derive(Debug)]
pub(super) struct Progress {
    sessions: usize,
    connected: AtomicU64,
    /// By thread.
    answered: Vec<Counter>,
    clock: OnceLock<Clock>,
    interrupted: watch::Sender<Option<Instant>>,
}

impl Progress {
    pub(super) fn new(sessions: usize, threads: usize) -> Arc<Progress> {
        let mut answered = Vec::new();
        answered.resize_with(threads, Counter::default);
        Arc::new(Progress {
            sessions,
            connected: AtomicU64::new(0),
            answered,
            clock: OnceLock::new(),
            interrupted: watch::channel(None).0,
        })
    }

    /// A session is connected.
    pub(super) fn connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread has so many answers more.
    #[inline]
    pub(super) fn answered(&self, thread: usize, answers: u64) {
        let counter = &self.answered[thread].0;
        let before = counter.load(Ordering::Relaxed);
        counter.store(before + answers, Ordering::Relaxed);
    }

    /// The load begins.
    pub(super) fn begin(&self, clock: Clock) {
        // Once: a run begins once.
        let _ = self.clock.set(clock);
    }

    /// Ends the run now. The first call counts.
    pub(super) fn interrupt(&self) {
        self.interrupted.send_if_modified(|at| {
            let first = at.is_none();
            at.get_or_insert_with(Instant::now);
            first
        });
    }

    /// Returns when the run was ended early, if it was.
    pub(super) fn interrupted_at(&self) -> Option<Instant> {
        *self.interrupted.borrow()
    }

    /// Returns the time that was measured before an early end, if there was one.
    pub(super) fn measured(&self) -> Option<Duration> {
        let at = self.interrupted_at()?;
        let begun = self.clock.get().map_or(at, |clock| clock.measure);
        Some(at.saturating_duration_since(begun))
    }

    /// Waits until the run is ended early; returns when. Cancelling this loses nothing.
    pub(super) async fn interrupted(&self) -> Instant {
        let mut interrupted = self.interrupted.subscribe();
        // Its sender lives as long as this does.
        let at = interrupted.wait_for(Option::is_some).await;
        at.ok().and_then(|at| *at).unwrap_or_else(Instant::now)
    }

    fn answers(&self) -> u64 {
        let counters = self.answered.iter();
        counters
            .map(|counter| counter.0.load(Ordering::Relaxed))
            .sum()
    }

    /// Describes the stage of the run, and how much of it is over, in milliseconds of how many.
    fn stage(&self, now: Instant) -> (String, u64, u64) {
        let Some(clock) = self.clock.get() else {
            let connected = self.connected.load(Ordering::Relaxed);
            let text = format!("connecting: {connected} of {} sessions", self.sessions);
            return (text, connected, self.sessions as u64);
        };
        let millis = |time: Duration| time.as_millis() as u64;
        let all = millis(clock.stop.saturating_duration_since(clock.start));
        let passed = millis(now.saturating_duration_since(clock.start)).min(all);
        let stage = match self.interrupted_at() {
            Some(_) => "interrupted, waiting for answers",
            None if now < clock.measure => "warming up",
            None if now < clock.stop => "measuring",
            None => "waiting for answers",
        };
        let connected = self.connected.load(Ordering::Relaxed);
        let text = format!("{stage}: {connected} sessions, {} answers", self.answers());
        (text, passed, all)
    }
}

/// Shows the progress, and heeds Ctrl-C, until this is dropped.
pub(super) struct Shown {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    /// Dropped with this, it ends the thread that heeds signals.
    _heeding: oneshot::Sender<()>,
}

impl Shown {
    pub(super) fn start(progress: &Arc<Progress>) -> std::io::Result<Shown> {
        let heeding = heed_signals(Arc::clone(progress))?;
        let (stop, stopped) = mpsc::channel();
        let progress = Arc::clone(progress);
        let show = move || match std::io::stderr().is_terminal() {
            true => draw(&progress, &stopped),
            false => tell(&progress, &stopped),
        };
        let thread = thread::Builder::new().name("progress".into()).spawn(show)?;
        Ok(Shown {
            stop: Some(stop),
            thread: Some(thread),
            _heeding: heeding,
        })
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A view that has panicked has said so; the figures are still good.
            let _ = thread.join();
        }
    }
}

fn is_over(stopped: &mpsc::Receiver<()>, interval: Duration) -> bool {
    !matches!(
        stopped.recv_timeout(interval),
        Err(mpsc::RecvTimeoutError::Timeout)
    )
}

fn draw(progress: &Progress, stopped: &mpsc::Receiver<()>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(STYLE) {
        bar.set_style(style);
    }
    loop {
        let (text, passed, all) = progress.stage(Instant::now());
        bar.set_length(all);
        bar.set_position(passed);
        bar.set_message(text);
        if is_over(stopped, DRAW_INTERVAL) {
            break;
        }
    }
    bar.finish_and_clear();
}

fn tell(progress: &Progress, stopped: &mpsc::Receiver<()>) {
    while !is_over(stopped, LINE_INTERVAL) {
        let (text, passed, all) = progress.stage(Instant::now());
        match progress.clock.get() {
            Some(_) => output::complain(format_args!(
                "{text}, {} of {} s",
                passed / 1000,
                all / 1000
            )),
            None => output::complain(text),
        }
    }
}

/// Ends the run at the first SIGINT or SIGTERM, and the program at the second, until the returned sender is
/// dropped.
fn heed_signals(progress: Arc<Progress>) -> std::io::Result<oneshot::Sender<()>> {
    let (heeding, mut over) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    drop(entered);
    let heed = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = &mut over => return,
                }
                if progress.interrupted_at().is_some() {
                    process::exit(EXIT_INTERRUPTED);
                }
                progress.interrupt();
            }
        });
    };
    thread::Builder::new().name("signals".into()).spawn(heed)?;
    Ok(heeding)
}
