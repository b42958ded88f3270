//! A worker's part in a drain: who is asked to go elsewhere, who is still there, who is cut off.

use actix::prelude::*;

use serde::Serialize;
use utoipa::ToSchema;

use super::Worker;
use crate::actors::client::{CutOff, GoAway};
use crate::supervision::Receive;

/// Ends all clients with CLOSE 503.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CutOffClients {
    /// Connections are still accepted, to be told that no session starts.
    pub go_on_accepting: bool,
}

/// Those who can go elsewhere are asked to: so many at a time, and at least this share of them.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct AskAway {
    /// Those who are asked and still here, at most.
    pub at_once: usize,
    /// From 0 to 1; who does not go holds nobody else up.
    pub share: f64,
}

/// The drain is undone: nobody more is asked to go.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopAsking;

/// Asks who is still there.
#[derive(Debug, Message)]
#[rtype(result = "ClientCounts")]
pub struct CountClients;

/// Those that are asked to go, and how many of them have been.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// Slots, and who sat there when the list was made.
    clients: Vec<(u32, u64)>,
    asked: usize,
    /// How many of the asked have gone.
    gone: usize,
}

impl Asking {
    /// Returns how many are to have been asked by now.
    fn due(&self, msg: AskAway) -> usize {
        let all = self.clients.len();
        let even = (all as f64 * msg.share).ceil() as usize;
        let paced = self.gone.saturating_add(msg.at_once);
        even.max(paced).min(all)
    }
}

/// The clients of a gateway, by what becomes of them in a drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema, MessageResponse)]
pub struct ClientCounts {
    /// With sessions that can be resumed: asked to go, they move to another gateway.
    pub resumable: u64,
    /// With sessions that cannot: they stay until they leave or are cut off.
    pub plain: u64,
    /// HTTP connections: they end with the request under way.
    pub http: u64,
    /// Without a session.
    pub newcomers: u64,
}

impl std::ops::AddAssign for ClientCounts {
    fn add_assign(&mut self, other: ClientCounts) {
        self.resumable += other.resumable;
        self.plain += other.plain;
        self.http += other.http;
        self.newcomers += other.newcomers;
    }
}

impl Worker {
    /// Everybody whose session can be resumed now; who comes later is asked at once.
    fn list(&mut self) -> Asking {
        let everybody = self.state.clients.iter_mut();
        everybody.for_each(|(_, seated)| seated.asked = false);
        let resumable = self
            .state
            .clients
            .iter()
            .filter(|(_, seated)| seated.stats.is_resumable());
        Asking {
            clients: resumable
                .map(|(slot, seated)| (slot as u32, seated.stats.client_number))
                .collect(),
            asked: 0,
            gone: 0,
        }
    }

    /// A client that may have been asked is gone: somebody else may be.
    pub(super) fn went(&mut self, asked: bool) {
        if let (Some(asking), true) = (&mut self.asking, asked) {
            asking.gone += 1;
        }
    }
}

impl Receive<AskAway> for Worker {
    type Result = ();

    fn receive(&mut self, msg: AskAway, _: &mut Context<Self>) {
        let mut asking = self.asking.take().unwrap_or_else(|| self.list());
        while asking.asked < asking.due(msg) {
            let (slot, client_number) = asking.clients[asking.asked];
            asking.asked += 1;
            match self.state.clients.get_mut(slot as usize) {
                Some(seated) if seated.stats.client_number == client_number => {
                    seated.asked = true;
                    seated.client.do_send(GoAway);
                }
                Some(_) | None => asking.gone += 1,
            }
        }
        self.asking = Some(asking);
    }
}

impl Receive<StopAsking> for Worker {
    type Result = ();

    fn receive(&mut self, _: StopAsking, _: &mut Context<Self>) {
        self.asking = None;
    }
}

impl Receive<CountClients> for Worker {
    type Result = ClientCounts;

    fn receive(&mut self, _: CountClients, _: &mut Context<Self>) -> ClientCounts {
        let mut counts = ClientCounts::default();
        for (_, seated) in &self.state.clients {
            let stats = &seated.stats;
            match (stats.session_id(), stats.is_resumable()) {
                // The session of an HTTP request is counted with its connection.
                (Some(_), _) if stats.transport().is_http() => {}
                _ if stats.transport().is_http() => counts.http += 1,
                (Some(_), true) if stats.is_suspended() => {}
                (Some(_), true) => counts.resumable += 1,
                (Some(_), false) => counts.plain += 1,
                (None, _) => counts.newcomers += 1,
            }
        }
        counts
    }
}

impl Receive<CutOffClients> for Worker {
    type Result = ();

    fn receive(&mut self, msg: CutOffClients, _: &mut Context<Self>) {
        if !msg.go_on_accepting {
            self.state.listener = None;
            self.state.cutting_off = true;
        }
        self.state
            .clients
            .iter()
            .for_each(|(_, seated)| seated.client.do_send(CutOff));
    }
}
