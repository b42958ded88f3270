//! One shard of the sessions of this process: the authority for every session id that is at home
//! with its worker (see [`Homes`](crate::session::id::Homes)). It knows which client has a session,
//! and passes on what a backend says of it on a link that does not carry it.

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;

use super::link::{BackendClose, Refuse};
use crate::codec::link::Bind;

/// Messages that other actors' `send` may have waiting here before they wait themselves.
const MAILBOX: usize = 4096;

/// Registers a session.
#[derive(Message)]
#[rtype(result = "Result<(), IdInUse>")]
pub struct OpenSession {
    /// Drawn by the gateway, or the client's own where that is trusted.
    pub session_id: u64,
    /// The client, unique in the process.
    pub owner: u64,
    /// The client.
    pub client: Recipient<Strayed>,
}

/// Another live client has this session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdInUse;

/// The session is over. Ignored unless it comes from the session's own client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SessionEnded {
    /// The session.
    pub session_id: u64,
    /// The client that had it.
    pub owner: u64,
}

/// Frames that came on a link that does not carry their sessions.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Relay {
    /// The link's service.
    pub service: Arc<str>,
    /// The frames, in order; all their sessions are at home here.
    pub strays: Vec<Stray>,
    /// The link, for what must be refused.
    pub origin: Recipient<Refuse>,
}

/// One frame of a [`Relay`].
#[derive(Debug)]
pub struct Stray {
    /// Whom it concerns.
    pub session_id: u64,
    /// What it says.
    pub frame: StrayFrame,
}

/// What a backend may say of a session on any link of its service (protocol 2.3).
#[derive(Debug)]
pub enum StrayFrame {
    /// The application's bytes.
    Data(Bytes),
    /// Who the session is.
    Bind(Bind),
    /// The session ends.
    Close(BackendClose),
}

/// A stray frame for a client. The client knows which services its session was opened on and
/// refuses the others.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Strayed {
    /// The service whose backend sent it.
    pub service: Arc<str>,
    /// The frame.
    pub stray: Stray,
    /// The link, for when it must be refused.
    pub origin: Recipient<Refuse>,
}

/// Asks whether the actor answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Ping;

/// The actor.
#[derive(Default)]
pub struct SessionRegistry {
    sessions: HashMap<u64, Entry, foldhash::fast::RandomState>,
}

struct Entry {
    owner: u64,
    client: Recipient<Strayed>,
}

impl Actor for SessionRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<OpenSession> for SessionRegistry {
    type Result = Result<(), IdInUse>;

    fn handle(&mut self, msg: OpenSession, _: &mut Context<Self>) -> Self::Result {
        let entry = Entry {
            owner: msg.owner,
            client: msg.client,
        };
        match self.sessions.entry(msg.session_id) {
            std::collections::hash_map::Entry::Occupied(_) => Err(IdInUse),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(entry);
                Ok(())
            }
        }
    }
}

impl Handler<SessionEnded> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, msg: SessionEnded, _: &mut Context<Self>) {
        let ended = |entry: &Entry| entry.owner == msg.owner;
        if self.sessions.get(&msg.session_id).is_some_and(ended) {
            self.sessions.remove(&msg.session_id);
        }
    }
}

impl Handler<Relay> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, msg: Relay, _: &mut Context<Self>) {
        let mut unknown = Vec::new();
        for stray in msg.strays {
            match self.sessions.get(&stray.session_id) {
                Some(entry) => entry.client.do_send(Strayed {
                    service: Arc::clone(&msg.service),
                    stray,
                    origin: msg.origin.clone(),
                }),
                // A CLOSE that crossed ours on the way: a CLOSE is never answered.
                None if matches!(stray.frame, StrayFrame::Close(_)) => {}
                None => unknown.push(stray.session_id),
            }
        }
        if !unknown.is_empty() {
            msg.origin.do_send(Refuse {
                session_ids: unknown,
            });
        }
    }
}

impl Handler<Ping> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) {}
}
