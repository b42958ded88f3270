//! The beginning of a trace: those whom it concerns and who are there are marked.

use std::sync::Arc;

use actix::clock::timeout;
use futures_util::future::join_all;

use super::{ANSWER_TIMEOUT, Inspector};
use crate::actors::worker::{MarkTraced, Worker};
use crate::supervision::Seat;
use crate::traces::{BeginFailed, Trace, TraceTarget};

/// A trace that has begun.
#[derive(Debug)]
pub struct BegunTrace {
    /// The trace.
    pub trace: Arc<Trace>,
    /// Sessions and connections that it concerns now.
    pub clients: u64,
    /// Workers that have not answered in time: those of theirs who are there already may not be traced.
    pub silent_workers: Vec<usize>,
}

impl Inspector {
    /// Begins a trace of those who are there, on all workers at once, and of all who come.
    ///
    /// # Errors
    /// There are too many, or one with the same id.
    pub async fn begin_trace(&self, trace: Trace) -> Result<BegunTrace, BeginFailed> {
        let target = trace.target();
        // In force before any worker looks: who comes behind the look is looked at by itself.
        let trace = self.traces.begin(trace)?;
        let workers = self.workers.iter().map(|worker| mark_on(worker, target));
        let mut begun = BegunTrace {
            trace,
            clients: 0,
            silent_workers: Vec::new(),
        };
        for (worker, marked) in join_all(workers).await.into_iter().enumerate() {
            match marked {
                Some(clients) => begun.clients += clients,
                None => begun.silent_workers.push(worker),
            }
        }
        Ok(begun)
    }
}

/// Returns the number of clients that a trace concerns on one worker; `None` if it does not answer any more.
async fn mark_on(worker: &Seat<Worker>, target: TraceTarget) -> Option<u64> {
    let (mut clients, mut from) = (0, 0);
    loop {
        let answer = timeout(ANSWER_TIMEOUT, worker.send(MarkTraced { target, from })).await;
        let marked = answer.ok()?.ok()?;
        clients += marked.clients;
        match marked.next {
            Some(next) => from = next,
            None => return Some(clients),
        }
    }
}
