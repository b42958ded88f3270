//! A worker's part in the beginning of a trace: the clients that it concerns are marked.

use actix::prelude::*;

use super::Worker;
use super::queries::MAX_LOOKED_AT;
use crate::supervision::Receive;
use crate::traces::TraceTarget;

/// Marks the clients that a trace concerns. Looks at a bounded number of them.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "TracedMarked")]
pub struct MarkTraced {
    /// Whom the trace concerns.
    pub target: TraceTarget,
    /// The slot to begin with.
    pub from: usize,
}

/// The outcome for some of a worker's clients.
#[derive(Debug, Clone, Copy, MessageResponse)]
pub struct TracedMarked {
    /// Clients that are marked.
    pub clients: u64,
    /// The slot to go on with; `None`: there are no more.
    pub next: Option<usize>,
}

impl Receive<MarkTraced> for Worker {
    type Result = TracedMarked;

    fn receive(&mut self, msg: MarkTraced, _: &mut Context<Self>) -> TracedMarked {
        let (clients, worker) = (&self.state.clients, self.shared.scope.worker);
        let end = clients.capacity();
        let next = end.min(msg.from.saturating_add(MAX_LOOKED_AT));
        let mut marked = 0;
        for slot in msg.from..next {
            let Some(seated) = clients.get(slot) else {
                continue;
            };
            if msg.target.concerns(&seated.stats.subject(worker)) {
                seated.stats.set_traced(true);
                marked += 1;
            }
        }
        TracedMarked {
            clients: marked,
            next: (next < end).then_some(next),
        }
    }
}
