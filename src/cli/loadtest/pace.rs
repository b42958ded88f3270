//! The open loop. A thread of its own sends frame after frame at constant intervals, round the
//! sessions, whatever comes back; tokio's timers tell only milliseconds apart. The sessions' tasks
//! only receive.

use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep_until;

use super::drive::Go;
use super::payload::Template;
use super::plan::Plan;
use super::session::{Receiver, Run};
use super::tally::Times;
use super::wire::Writer;
use crate::net::dial::Reader;

/// Bytes that may wait for one session's socket; frames due beyond it are not sent.
const MAX_PENDING_BYTES: usize = 4 << 20;
/// Between two tries to write what is pending at the end.
const FLUSH_PAUSE: Duration = Duration::from_millis(1);

/// State that the pacing thread and a session's task share.
#[derive(Debug)]
pub(super) struct Lane {
    /// The pacing thread's until it has ended, then the task's: nobody ever waits for it.
    writer: Mutex<Writer>,
    /// Frames sent; only the pacing thread changes it, before it writes the frame.
    sent: AtomicU64,
    ended: AtomicBool,
}

impl Lane {
    pub(super) fn new(writer: Writer) -> Arc<Lane> {
        Arc::new(Lane {
            writer: Mutex::new(writer),
            sent: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        })
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }
}

/// One session's sending side.
#[derive(Debug)]
pub(super) struct Sender {
    lane: Arc<Lane>,
    template: Template,
    pending: Vec<u8>,
}

/// Counters of the pacing thread.
#[derive(Debug)]
pub(super) struct Paced {
    pub(super) not_sent: u64,
    pub(super) lag: Times,
}

/// Runs the pacing thread: frame k over all sessions is due at k / rate.
pub(super) fn pace(
    mut senders: Vec<Sender>,
    plan: &Plan,
    go: &Go,
    rate: f64,
    done: &watch::Sender<bool>,
) -> io::Result<Paced> {
    let clock = &go.clock;
    let mut paced = Paced {
        not_sent: 0,
        lag: Times::new()?,
    };
    'rounds: for round in 0.. {
        for (place, sender) in senders.iter_mut().enumerate() {
            let number = round * go.total as u64 + (go.first + place) as u64;
            let due = clock.start + Duration::from_secs_f64(number as f64 / rate);
            if due >= clock.stop || plan.progress.interrupted_at().is_some() {
                break 'rounds;
            }
            let early = due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                thread::sleep(early);
            }
            if clock.measures(due) {
                paced.lag.record(due.elapsed());
            }
            if !sender.send(plan, clock.nanos(due)) {
                paced.not_sent += 1;
            }
        }
        if senders.is_empty() {
            break;
        }
    }
    let end = plan.end(clock);
    while Instant::now() < end && senders.iter_mut().any(|sender| !sender.flush()) {
        thread::sleep(FLUSH_PAUSE);
    }
    done.send_replace(true);
    Ok(paced)
}

impl Sender {
    pub(super) fn new(lane: Arc<Lane>, plan: &Plan, index: u32) -> Sender {
        Sender {
            lane,
            template: Template::new(plan, index),
            pending: Vec::new(),
        }
    }

    /// Sends a frame; returns false if the session has ended or takes nothing.
    fn send(&mut self, plan: &Plan, due_nanos: u64) -> bool {
        if self.lane.ended.load(Ordering::Relaxed) {
            return false;
        }
        if self.pending.len() > MAX_PENDING_BYTES {
            self.flush();
            if self.pending.len() > MAX_PENDING_BYTES {
                return false;
            }
        }
        let sequence = self.lane.sent();
        self.template
            .append(&plan.pattern, sequence, due_nanos, &mut self.pending);
        self.lane.sent.store(sequence + 1, Ordering::Release);
        self.flush();
        true
    }

    /// Writes what the socket takes. True where nothing is left to write.
    fn flush(&mut self) -> bool {
        self.lane.writer().try_flush(&mut self.pending)
    }
}

/// Runs the receiving task of one session.
pub(super) async fn receive(
    run: Rc<Run>,
    lane: Arc<Lane>,
    index: u32,
    reader: Reader,
    mut done: watch::Receiver<bool>,
) {
    let mut receiver = Receiver::new(reader, run.plan.transport(index), index, 0);
    // A pacing thread that died sends nothing more either.
    let paced = async { drop(done.wait_for(|done| *done).await) };
    let end = sleep_until(run.clock.end.into());
    let interrupted = run.plan.progress.interrupted();
    tokio::pin!(paced, end, interrupted);
    let mut early = false;
    let mut all_sent = false;
    while !receiver.has_ended() {
        if all_sent && receiver.outstanding(lane.sent()) == 0 {
            break;
        }
        tokio::select! {
            biased;
            read = receiver.read() => receiver.digest(read, &run, lane.sent()),
            () = &mut paced, if !all_sent => all_sent = true,
            () = &mut end => break,
            _ = &mut interrupted, if !early => {
                early = true;
                end.as_mut().reset(run.plan.end(&run.clock).into());
            }
        }
    }
    lane.ended.store(true, Ordering::Relaxed);
    if !all_sent {
        paced.await;
    }
    receiver.finish(&mut lane.writer(), &run, lane.sent());
}
