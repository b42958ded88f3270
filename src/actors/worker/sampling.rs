//! Counters of a worker's clients, for whoever computes rates of them.

use actix::prelude::*;

use super::Worker;
use crate::actors::client::ClientSample;
use crate::supervision::Receive;

/// Clients that one question looks at: all of them make a row.
const MAX_SAMPLED: usize = 1024;

/// Asks for the counters of some clients.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "ClientsSampled")]
pub struct SampleClients {
    /// The slot to begin with.
    pub from: usize,
}

/// Counters of some clients.
#[derive(Debug, MessageResponse)]
pub struct ClientsSampled {
    /// A row for each.
    pub clients: Vec<ClientSample>,
    /// The slot to go on with; `None`: there are no more.
    pub next: Option<usize>,
}

impl Receive<SampleClients> for Worker {
    type Result = ClientsSampled;

    fn receive(&mut self, msg: SampleClients, _: &mut Context<Self>) -> ClientsSampled {
        let clients = &self.state.clients;
        let end = clients.capacity();
        let look_until = end.min(msg.from.saturating_add(MAX_SAMPLED));
        let some = (msg.from..look_until).filter_map(|slot| clients.get(slot));
        ClientsSampled {
            clients: some.map(|seated| seated.stats.sample()).collect(),
            next: (look_until < end).then_some(look_until),
        }
    }
}
