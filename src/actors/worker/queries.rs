//! Queries for a worker's clients. Each looks at a bounded number of them, so that traffic goes on
//! between two; the next query continues from where the answer ended.

use std::net::SocketAddr;
use std::sync::Arc;

use actix::prelude::*;
use serde_json::json;

use super::{Seated, Worker};
use crate::actors::client::{
    Assign, Kick, Place, SessionFilter, SessionRow, SessionStory, slot_of,
};
#[cfg(feature = "fault-injection")]
use crate::supervision::{Fault, Inspect};
use crate::supervision::{Inspectable, Receive, Registration, Supervised, mailbox};

/// Clients that one question looks at.
pub(super) const MAX_LOOKED_AT: usize = 4096;
/// Rows of one answer: nothing else happens on the thread while they are written.
pub(super) const MAX_ROWS: usize = 128;

/// Asks for sessions.
#[derive(Debug, Message)]
#[rtype(result = "SessionsSnapshot")]
pub struct ListSessions {
    /// The slot to begin with.
    pub from: usize,
    /// Upper limit of the answer's length.
    pub limit: usize,
    /// Which.
    pub filter: Arc<SessionFilter>,
}

/// Some sessions of a worker, by slot.
#[derive(Debug, MessageResponse)]
pub struct SessionsSnapshot {
    /// Those that pass the filter.
    pub sessions: Vec<SessionRow>,
    /// Where they are.
    pub place: Place,
    /// The slot to go on with; `None`: there are no more.
    pub next: Option<usize>,
    /// There is one more at `next`.
    pub more: bool,
}

/// Asks for clients, as actors.
#[derive(Debug, Message)]
#[rtype(result = "ClientsSnapshot")]
pub struct ListClients {
    /// The slot to begin with.
    pub from: usize,
    /// Upper limit of the answer's length.
    pub limit: usize,
}

/// A client as an actor. As of a session, texts are made where they are wanted.
#[derive(Debug)]
#[expect(missing_docs, reason = "as `ActorSnapshot` has them")]
pub struct ClientRow {
    pub client_number: u64,
    pub remote: SocketAddr,
    pub uptime_seconds: u32,
    pub handled: u64,
    pub waiting: u64,
    pub waiting_highest: u64,
    pub busy_seconds: f64,
    pub session: Option<SessionRow>,
}

/// Some clients of a worker, by slot.
#[derive(Debug, MessageResponse)]
pub struct ClientsSnapshot {
    /// The clients.
    pub clients: Vec<ClientRow>,
    /// Where they are.
    pub place: Place,
    /// The slot to go on with; `None`: there are no more.
    pub next: Option<usize>,
    /// There is one more at `next`.
    pub more: bool,
}

/// Some values of a worker's clients, and where to go on.
struct Collected<T> {
    values: Vec<T>,
    next: Option<usize>,
    more: bool,
}

/// Asks for one session.
#[derive(Debug, Message)]
#[rtype(result = "Option<SessionStory>")]
pub struct ReadSession {
    /// Which.
    pub session_id: u64,
    /// The number of its client.
    pub client_number: u64,
}

/// Ends a session with CLOSE 440. `false`: it is not here.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct KickSession {
    /// Which.
    pub session_id: u64,
    /// The number of its client.
    pub client_number: u64,
}

/// Says where a service of a session goes. `false`: it is not here.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct AssignSession {
    /// The number of its client.
    pub client_number: u64,
    /// What its client is told.
    pub assign: Assign,
}

/// Asks for one client, as an actor, and where it is.
#[derive(Debug, Message)]
#[rtype(result = "Option<(ClientRow, Place)>")]
pub struct ReadClient {
    /// Its number.
    pub client_number: u64,
    /// The fault to inject.
    #[cfg(feature = "fault-injection")]
    pub fault: Option<Fault>,
}

impl Worker {
    /// Collects at most `limit` values of the clients that pass, from the slots beginning with `from`, and
    /// looks for one more.
    fn collect<T>(
        &self,
        from: usize,
        limit: usize,
        passes: impl Fn(&Seated) -> bool,
        value: impl Fn(&Seated) -> T,
    ) -> Collected<T> {
        let limit = limit.min(MAX_ROWS);
        let (mut values, end) = (Vec::new(), self.state.clients.capacity());
        let look_until = end.min(from.saturating_add(MAX_LOOKED_AT));
        for slot in from..look_until {
            let seated = self.state.clients.get(slot);
            let Some(seated) = seated.filter(|seated| passes(seated)) else {
                continue;
            };
            if values.len() == limit {
                return Collected {
                    values,
                    next: Some(slot),
                    more: true,
                };
            }
            values.push(value(seated));
        }
        Collected {
            values,
            next: (look_until < end).then_some(look_until),
            more: false,
        }
    }

    /// The same of a user's sessions, which are found without a look at anybody else.
    fn of_user(&self, user_id: u64, msg: &ListSessions) -> Collected<SessionRow> {
        let (mut values, limit) = (Vec::new(), msg.limit.min(MAX_ROWS));
        let slots = self
            .shared
            .slots_of_user(user_id, msg.from, MAX_LOOKED_AT + 1);
        for (looked_at, slot) in slots.into_iter().enumerate() {
            let seated = self.state.clients.get(slot);
            let passes = |seated: &&Seated| seated.stats.passes(&msg.filter);
            let found = seated.filter(passes);
            let more = found.is_some() && values.len() == limit;
            if more || looked_at == MAX_LOOKED_AT {
                let next = Some(slot);
                return Collected { values, next, more };
            }
            values.extend(found.map(|seated| seated.stats.row()));
        }
        Collected {
            values,
            next: None,
            more: false,
        }
    }

    fn find(&self, client_number: u64) -> Option<&Seated> {
        let seated = self.state.clients.get(slot_of(client_number))?;
        (seated.stats.client_number == client_number).then_some(seated)
    }

    fn session(&self, session_id: u64, client_number: u64) -> Option<&Seated> {
        let its = |seated: &&Seated| seated.stats.session_id() == Some(session_id);
        self.find(client_number).filter(its)
    }

    fn client_row(&self, seated: &Seated) -> ClientRow {
        let (stats, mail) = (&seated.stats, seated.client.mail());
        ClientRow {
            client_number: stats.client_number,
            remote: stats.remote(),
            uptime_seconds: stats.uptime_seconds(self.shared.now_ms()),
            handled: mail.handled_count(),
            waiting: mail.waiting(),
            waiting_highest: mail.highest(),
            busy_seconds: mail.busy_seconds(),
            session: stats.session_id().map(|_| stats.row()),
        }
    }
}

impl Receive<ListSessions> for Worker {
    type Result = SessionsSnapshot;

    fn receive(&mut self, msg: ListSessions, _: &mut Context<Self>) -> SessionsSnapshot {
        let passes = |seated: &Seated| seated.stats.passes(&msg.filter);
        let some = match msg.filter.user_id {
            // 0 is whoever has not said who it is.
            Some(user_id) if user_id != 0 => self.of_user(user_id, &msg),
            _ => self.collect(msg.from, msg.limit, passes, |seated| seated.stats.row()),
        };
        SessionsSnapshot {
            sessions: some.values,
            place: self.shared.place(),
            next: some.next,
            more: some.more,
        }
    }
}

impl Receive<ListClients> for Worker {
    type Result = ClientsSnapshot;

    fn receive(&mut self, msg: ListClients, _: &mut Context<Self>) -> ClientsSnapshot {
        let some = self.collect(
            msg.from,
            msg.limit,
            |_| true,
            |seated| self.client_row(seated),
        );
        ClientsSnapshot {
            clients: some.values,
            place: self.shared.place(),
            next: some.next,
            more: some.more,
        }
    }
}

impl Receive<ReadSession> for Worker {
    type Result = Option<SessionStory>;

    fn receive(&mut self, msg: ReadSession, _: &mut Context<Self>) -> Self::Result {
        let seated = self.session(msg.session_id, msg.client_number)?;
        Some(seated.stats.story(&self.shared.place()))
    }
}

impl Receive<KickSession> for Worker {
    type Result = bool;

    fn receive(&mut self, msg: KickSession, _: &mut Context<Self>) -> bool {
        let session_id = msg.session_id;
        let seated = self.session(session_id, msg.client_number);
        seated
            .inspect(|s| s.client.do_send(Kick { session_id }))
            .is_some()
    }
}

impl Receive<AssignSession> for Worker {
    type Result = bool;

    fn receive(&mut self, msg: AssignSession, _: &mut Context<Self>) -> bool {
        let seated = self.session(msg.assign.session_id, msg.client_number);
        seated
            .map(|seated| seated.client.do_send(msg.assign))
            .is_some()
    }
}

impl Receive<ReadClient> for Worker {
    type Result = Option<(ClientRow, Place)>;

    fn receive(&mut self, msg: ReadClient, _: &mut Context<Self>) -> Self::Result {
        let seated = self.find(msg.client_number)?;
        #[cfg(feature = "fault-injection")]
        if msg.fault.is_some() {
            seated.client.do_send(Inspect { fault: msg.fault });
        }
        Some((self.client_row(seated), self.shared.place()))
    }
}

impl Inspectable for Worker {
    type Detail = serde_json::Value;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
        let metrics = &self.shared.scope.metrics;
        json!({
            "clients": self.state.clients.len(),
            "accepting": self.state.listener.is_some(),
            "sessions_started": metrics.sessions_started.total(),
            "sessions_ended": metrics.sessions_ended.get(),
            "client_frames_in": metrics.client_frames_in.get(),
            "client_frames_out": metrics.client_frames_out.get(),
        })
    }
}

mailbox!(Worker);

impl Supervised for Worker {
    fn leave_state(&mut self) {
        self.state.pass_on();
    }
}
