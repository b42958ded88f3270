//! One shard of the sessions of this process: the authority for every session id that is at home
//! with its worker (see [`Homes`](crate::session::id::Homes)). It knows which client has a session,
//! and passes on what a backend says of it on a link that does not carry it.
//!
//! When it panics, the next one inherits the sessions. What lay in its mailbox is lost: those who asked
//! ask again, and sessions whose end it was told are found by looking for clients that are gone.

mod forwarded;
mod messages;
mod relaying;
mod shards;
mod under_way;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use actix::prelude::*;
use serde_json::json;

use crate::codec::peer::PeerGateway;
use crate::supervision::{
    Inspectable, Receive, Registration, Rescued, Supervised, WeakCountedRecipient, mailbox,
};

pub use forwarded::Forwarded;
pub use messages::{
    ClientMessage, FindClient, FindClientNumber, Found, IdInUse, MoveWish, OpenSession,
    PeerRequest, Ping, Relay, Relayed, ResumeConnection, SessionEnded, SessionMoved, Stray,
    StrayFrame, Strayed, StraysRefused,
};
pub use shards::Shards;
pub use under_way::UnderWay;

/// Messages that other actors' `send` may have waiting here before they wait themselves.
const MAILBOX: usize = 4096;
/// When a registry that has taken over looks once more for clients that are gone: by then those that
/// were closing have closed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The actor.
pub struct SessionRegistry {
    registration: Registration,
    shard: Rescued<Shard>,
}

/// State of a shard.
#[derive(Debug, Default)]
pub struct Shard {
    sessions: HashMap<u64, Entry, foldhash::fast::RandomState>,
    /// Sessions that have gone to other gateways.
    moved: HashMap<u64, Moved, foldhash::fast::RandomState>,
    /// The same, the oldest first; some of them have come back since.
    moved_order: VecDeque<(Instant, u64)>,
    /// Frames that wait for room to pass them on.
    relays: VecDeque<Relay>,
    /// Looks for room that the first of them has waited for.
    looks: u32,
}

#[derive(Debug)]
struct Moved {
    to: PeerGateway,
    until: Instant,
}

/// The client that has a session.
#[derive(Debug)]
pub struct Entry {
    client_number: u64,
    /// Weak, because it costs an idle session less; a stray frame is rare.
    client: WeakCountedRecipient<ClientMessage>,
}

impl SessionRegistry {
    /// A shard with the sessions of the one before it, if there was one.
    pub fn new(registration: Registration, shard: Rescued<Shard>) -> SessionRegistry {
        let mut registry = SessionRegistry {
            registration,
            shard,
        };
        registry.forget_the_gone();
        registry
    }

    fn forget_the_gone(&mut self) {
        self.shard
            .sessions
            .retain(|_, entry| entry.client.upgrade().is_some());
    }

    /// Removes records of moved sessions that have expired.
    fn forget_moved(&mut self) {
        let now = Instant::now();
        while let Some((until, session_id)) = self.shard.moved_order.front().copied()
            && until <= now
        {
            self.shard.moved_order.pop_front();
            // It may have come back and gone again since.
            if self
                .shard
                .moved
                .get(&session_id)
                .is_some_and(|m| m.until <= now)
            {
                self.shard.moved.remove(&session_id);
            }
        }
    }
}

impl Inspectable for SessionRegistry {
    type Detail = serde_json::Value;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
        json!({"sessions": self.shard.sessions.len(), "moved": self.shard.moved.len()})
    }
}

mailbox!(SessionRegistry);

impl Supervised for SessionRegistry {
    fn leave_state(&mut self) {
        self.shard.pass_on();
    }
}

impl Actor for SessionRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_later(LOOK_AGAIN, |registry, _| registry.forget_the_gone());
        self.relay_on(ctx);
    }
}

impl Receive<OpenSession> for SessionRegistry {
    type Result = Result<(), IdInUse>;

    fn receive(&mut self, msg: OpenSession, _: &mut Context<Self>) -> Self::Result {
        let entry = Entry {
            client_number: msg.client_number,
            client: msg.client,
        };
        match self.shard.sessions.entry(msg.session_id) {
            std::collections::hash_map::Entry::Occupied(mut occupied) => {
                // Asked again, or the word of its end is lost or still on its way.
                let known = occupied.get();
                if known.client_number != entry.client_number && known.client.upgrade().is_some() {
                    return Err(IdInUse);
                }
                occupied.insert(entry);
                Ok(())
            }
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(entry);
                Ok(())
            }
        }
    }
}

impl Receive<SessionEnded> for SessionRegistry {
    type Result = ();

    fn receive(&mut self, msg: SessionEnded, _: &mut Context<Self>) {
        let ended = |entry: &Entry| entry.client_number == msg.client_number;
        if self.shard.sessions.get(&msg.session_id).is_some_and(ended) {
            self.shard.sessions.remove(&msg.session_id);
        }
    }
}

impl Receive<SessionMoved> for SessionRegistry {
    type Result = ();

    fn receive(&mut self, msg: SessionMoved, _: &mut Context<Self>) {
        self.forget_moved();
        let its = |entry: &Entry| entry.client_number == msg.client_number;
        if self.shard.sessions.get(&msg.session_id).is_some_and(its) {
            self.shard.sessions.remove(&msg.session_id);
            let (to, until) = (msg.to, Instant::now() + msg.keep);
            self.shard.moved.insert(msg.session_id, Moved { to, until });
            self.shard.moved_order.push_back((until, msg.session_id));
        }
    }
}

impl Receive<FindClientNumber> for SessionRegistry {
    type Result = Option<u64>;

    fn receive(&mut self, msg: FindClientNumber, _: &mut Context<Self>) -> Option<u64> {
        let entry = self.shard.sessions.get(&msg.session_id);
        entry.map(|entry| entry.client_number)
    }
}

impl Receive<FindClient> for SessionRegistry {
    type Result = Option<Found>;

    fn receive(&mut self, msg: FindClient, _: &mut Context<Self>) -> Option<Found> {
        let entry = self.shard.sessions.get(&msg.session_id);
        if let Some(client) = entry.and_then(|entry| entry.client.upgrade()) {
            return Some(Found::Client(client));
        }
        let moved = self.shard.moved.get(&msg.session_id)?;
        (moved.until > Instant::now()).then(|| Found::Moved(moved.to.clone()))
    }
}

impl Receive<Ping> for SessionRegistry {
    type Result = ();

    fn receive(&mut self, _: Ping, _: &mut Context<Self>) {}
}
