//! One thread of the load generator: a runtime of its own and a share of the sessions.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::closed::{self, Pace};
use super::connect::{Connections, connect_all};
use super::pace::{Lane, Paced, Sender, pace, receive};
use super::plan::{Clock, Mode, Plan};
use super::reconnect;
use super::session::Run;
use super::tally::Tally;
use super::wire::Writer;
use crate::net::dial::Stream;

/// A thread has connected its sessions and waits for the word to start.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) sessions: usize,
    pub(super) go: mpsc::Sender<Go>,
}

/// The word to start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Go {
    pub(super) clock: Clock,
    /// The place of this thread's first session among all.
    pub(super) first: usize,
    /// All sessions that are connected.
    pub(super) total: usize,
}

/// One thread's share.
#[derive(Debug)]
pub(super) struct Driver {
    thread: usize,
    plan: Arc<Plan>,
    indices: Range<u32>,
    ready: mpsc::Sender<Connected>,
}

type Pacer = JoinHandle<io::Result<Paced>>;

impl Driver {
    /// Shares the sessions out evenly.
    pub(super) fn share(plan: &Arc<Plan>, ready: &mpsc::Sender<Connected>) -> Vec<Driver> {
        let at = |thread: usize| (plan.sessions * thread / plan.threads) as u32;
        (0..plan.threads)
            .map(|thread| Driver {
                thread,
                plan: plan.clone(),
                indices: at(thread)..at(thread + 1),
                ready: ready.clone(),
            })
            .collect()
    }

    /// Connects, waits for the start, and drives to the end.
    pub(super) fn run(self) -> io::Result<Tally> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connections = runtime.block_on(connect_all(&self.plan, self.indices));
        let mut tally = Tally::new()?;
        tally.connected = connections.made.len() as u64;
        tally.connect_failed = connections.failed.clone();
        let (sender, go) = mpsc::channel();
        let connected = Connected {
            sessions: connections.made.len(),
            go: sender,
        };
        let gone = |_| io::Error::other("the load generator was stopped");
        self.ready
            .send(connected)
            .map_err(|_| gone(mpsc::RecvError))?;
        drop(self.ready);
        let go = go.recv().map_err(gone)?;
        let run = Rc::new(Run {
            plan: self.plan,
            clock: go.clock,
            thread: self.thread,
            tally: RefCell::new(tally),
        });
        play(&runtime, &run, go, connections)?;
        // Every task has ended, and with it its share in the run.
        let run = Rc::try_unwrap(run).map_err(|_| io::Error::other("a session is still open"))?;
        Ok(run.tally.into_inner())
    }
}

fn play(runtime: &Runtime, run: &Rc<Run>, go: Go, connections: Connections) -> io::Result<()> {
    let tasks = LocalSet::new();
    let _inside = runtime.enter();
    let pacer = match run.plan.mode {
        Mode::Open { rate } => Some(open(&tasks, run, go, rate, connections.made)?),
        Mode::Closed { in_flight, think } => {
            let pace = Pace {
                in_flight: in_flight as u64,
                think,
                frames: u64::MAX,
            };
            closed(&tasks, run, pace, connections.made);
            None
        }
        Mode::Idle => {
            closed(&tasks, run, Pace::IDLE, connections.made);
            None
        }
        Mode::Reconnect => {
            for (index, stream) in connections.made {
                tasks.spawn_local(reconnect::drive(run.clone(), index, stream));
            }
            None
        }
    };
    runtime.block_on(tasks);
    if let Some(pacer) = pacer {
        let died = |_| io::Error::other("the pacing thread panicked");
        let paced = pacer.join().map_err(died)??;
        let mut tally = run.tally.borrow_mut();
        tally.not_sent += paced.not_sent;
        tally.lag.add(&paced.lag)?;
    }
    Ok(())
}

fn closed(tasks: &LocalSet, run: &Rc<Run>, pace: Pace, made: Vec<(u32, Stream)>) {
    for (index, stream) in made {
        tasks.spawn_local(closed::drive(run.clone(), pace, index, stream));
    }
}

fn open(
    tasks: &LocalSet,
    run: &Rc<Run>,
    go: Go,
    rate: f64,
    made: Vec<(u32, Stream)>,
) -> io::Result<Pacer> {
    let (done, paced) = watch::channel(false);
    let mut senders = Vec::with_capacity(made.len());
    for (index, stream) in made {
        let (reader, writer) = stream.into_split();
        let lane = Lane::new(Writer::new(writer));
        senders.push(Sender::new(lane.clone(), &run.plan, index));
        tasks.spawn_local(receive(run.clone(), lane, index, reader, paced.clone()));
    }
    let plan = run.plan.clone();
    thread::Builder::new()
        .name("pace".into())
        .spawn(move || pace(senders, &plan, &go, rate, &done))
}
